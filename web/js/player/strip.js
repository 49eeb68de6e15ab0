// A strip below the slider: where a new mouth shows, where something in front of it was left unchanged, and what loops.

import { element } from "../picker/elements.js";
import { say } from "../words.js";

const SCALE = 2; // drawn pixels per pixel of the page
const HEIGHT = 8; // pixels
const LEAST = 1.5; // drawn pixels, of the shortest run
const KINDS = [
    ["changed", "new mouth", "#46be6e"],
    ["occluded", "something in front of it, left unchanged", "#5aaaf0"],
];

const count = (runs) => runs.reduce((sum, [first, stop]) => sum + stop - first, 0);

export function drawStrip(canvas, legend, comparison, [first, last]) {
    Object.assign(canvas, { width: Math.max(1, canvas.offsetWidth * SCALE), height: HEIGHT * SCALE });
    const context = canvas.getContext("2d");
    const place = (frame) => (frame / comparison.frames) * canvas.width;
    for (const [kind, , color] of KINDS) {
        context.fillStyle = color;
        for (const [from, to] of comparison[kind])
            context.fillRect(place(from), 0, Math.max(place(to) - place(from), LEAST), canvas.height);
    }
    context.fillStyle = "rgb(0 0 0 / 0.7)"; // over what isn't played
    context.fillRect(0, 0, place(first), canvas.height);
    context.fillRect(place(last + 1), 0, canvas.width, canvas.height);
    const seen = KINDS.filter(([kind]) => comparison[kind].length);
    const words = seen.map(([kind, text]) =>
        say("{outcome} in {count} frames", { outcome: say(text), count: count(comparison[kind]) }),
    );
    const said = { count: comparison.frames, parts: words.join(", ") || say("no new mouth") };
    canvas.setAttribute("aria-label", say("{count} frames: {parts}", said));
    legend.replaceChildren(
        ...seen.map(([, text, color]) => {
            const swatch = element("i");
            swatch.style.background = color;
            return element("span", {}, [swatch, say(text)]);
        }),
    );
}

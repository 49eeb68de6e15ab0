// A row for each person: where they are seen, and what becomes of the frames in which they are synced.

import { say } from "../words.js";
import { element } from "./elements.js";

const ROW = 14; // pixels, high
const SCALE = 2; // drawn pixels per pixel of the page, for the canvas's zoom
const LEAST = 1.5; // drawn pixels, of the shortest run
const LEAST_SHOT = 12; // drawn pixels, of a shot on average: with shorter ones, cuts would hide all else

/** Outcomes, as the engine names them, in words; the colours are those of Select Faces' timeline picture. */
export const OUTCOMES = {
    synced: ["synced", "#46be6e"],
    faded: ["fading", "#a0cd82"],
    turned_away: ["turned too far", "#dc963c"],
    too_small: ["too small", "#cd6e5a"],
    blurred: ["too blurred", "#966ebe"],
    not_speaking: ["not speaking", "#60788c"],
    not_chosen: ["seen, not synced", "#8c8c96"],
};

const OCCLUDED = ["something in front of the mouth", "#5aaaf0"];

export class Timeline {
    /** `onSeek(frame)` is called for a click or drag. */
    constructor({ onSeek }) {
        this.onSeek = onSeek;
        this.rows = element("div", { className: "lsd-rows", tabIndex: 0 });
        this.rows.setAttribute("role", "group");
        this.rows.setAttribute("aria-label", say("Timeline, a row for each person"));
        this.legend = element("div", { className: "lsd-legend" });
        this.element = element("div", { className: "lsd-timeline" }, [this.rows, this.legend]);
        this.canvases = new Map(); // by person
        this.sizes = new ResizeObserver(() => this.draw());
        this.rows.addEventListener("pointerdown", (event) => this.startSeeking(event));
    }

    setScene(scene) {
        this.scene = scene;
        this.sizes.disconnect();
        this.canvases = new Map(scene.persons.map(({ person }) => [person, element("canvas", { height: ROW * SCALE })]));
        const rows = [...this.canvases].map(([person, canvas]) => {
            canvas.setAttribute("role", "img");
            return element("div", { className: "lsd-row" }, [
                element("span", { textContent: say("person {person}", { person: scene.letterOf(person) }) }),
                canvas,
            ]);
        });
        this.cursor = element("div", { className: "lsd-cursor" });
        this.rows.replaceChildren(...rows);
        if (rows.length) rows[0].parentElement.append(this.cursor);
        const [first] = this.canvases.values();
        if (first) this.sizes.observe(first);
    }

    /** What is synced: the chosen tracks, and [first, stop, outcome, track] of the whole clip. */
    setChoice({ chosen, runs }) {
        this.runs = runs.flatMap((run) => (run[2] === "not_speaking" ? this.silent(run, chosen) : [run]));
        const seen = new Set(runs.map(([, , outcome]) => outcome));
        const unsynced = this.scene.persons.length > 1 || !seen.has("synced");
        const shown = Object.entries(OUTCOMES)
            .filter(([outcome]) => seen.has(outcome) || (outcome === "not_chosen" && unsynced))
            .map(([, entry]) => entry);
        if (this.scene.occluded.length) shown.push(OCCLUDED);
        this.legend.replaceChildren(
            ...shown.map(([words, color]) => {
                const swatch = element("i");
                swatch.style.background = color;
                return element("span", {}, [swatch, say(words)]);
            }),
        );
        this.describe();
        this.draw();
    }

    /** A run without speech, of each chosen track that is visible in it. */
    silent([first, stop, outcome], chosen) {
        return this.scene.tracks
            .filter(({ track }) => chosen.includes(track))
            .flatMap(({ track, visible }) =>
                visible.map(([from, to]) => [Math.max(first, from), Math.min(stop, to), outcome, track]),
            )
            .filter(([from, to]) => from < to);
    }

    seek(frame) {
        this.frame = frame;
        const [canvas] = this.canvases.values();
        if (!canvas || !this.scene) return;
        const share = (frame + 0.5) / this.scene.frames;
        this.cursor.style.left = `${canvas.offsetLeft + share * canvas.offsetWidth}px`;
        this.cursor.style.height = `${this.rows.scrollHeight}px`;
    }

    /** Each row in words, for screen readers. */
    describe() {
        const people = new Map(this.scene.tracks.map(({ track, person }) => [track, person]));
        for (const [person, canvas] of this.canvases) {
            const counts = {};
            for (const [first, stop, outcome, track] of this.runs)
                if (people.get(track) === person) counts[outcome] = (counts[outcome] ?? 0) + stop - first;
            const parts = Object.entries(counts).map(([outcome, count]) =>
                say("{count} frames {outcome}", { count, outcome: say(OUTCOMES[outcome]?.[0] ?? "") }),
            );
            const occluded = this.scene.occluded.filter(([, , track]) => people.get(track) === person);
            const hidden = occluded.reduce((sum, [first, stop]) => sum + stop - first, 0);
            if (hidden) parts.push(say("{count} frames with {outcome}", { count: hidden, outcome: say(OCCLUDED[0]) }));
            const said = { person: this.scene.letterOf(person), parts: parts.join(", ") || say("not synced") };
            canvas.setAttribute("aria-label", say("Person {person}: {parts}", said));
        }
    }

    draw() {
        if (!this.scene || !this.runs) return;
        const people = new Map(this.scene.tracks.map(({ track, person }) => [track, person]));
        const contexts = new Map();
        for (const [person, canvas] of this.canvases) {
            canvas.width = Math.max(1, canvas.offsetWidth * SCALE);
            contexts.set(person, canvas.getContext("2d"));
        }
        const bar = (person, first, stop, color, top = 0, bottom = top) => {
            const context = contexts.get(person);
            if (!context) return;
            const { width, height } = context.canvas;
            const [x0, x1] = [first, stop].map((frame) => (frame / this.scene.frames) * width);
            context.fillStyle = color;
            context.fillRect(x0, top * height, Math.max(x1 - x0, LEAST), height * (1 - top - bottom));
        };
        for (const { person, visible } of this.scene.tracks)
            for (const [first, stop] of visible) bar(person, first, stop, OUTCOMES.not_chosen[1], 0.3);
        for (const [first, stop, outcome, track] of this.runs)
            if (track >= 0 && OUTCOMES[outcome]) bar(people.get(track), first, stop, OUTCOMES[outcome][1]);
        for (const [first, stop, track] of this.scene.occluded)
            bar(people.get(track), first, stop, OCCLUDED[1], 0.65, 0);
        const [{ canvas } = {}] = contexts.values();
        const cuts = this.scene.shots.slice(1);
        if (canvas && canvas.width > cuts.length * LEAST_SHOT)
            for (const [first] of cuts) for (const person of contexts.keys()) bar(person, first, first, "#ebebeb");
        this.seek(this.frame ?? 0);
    }

    startSeeking(event) {
        const [canvas] = this.canvases.values();
        if (!canvas || event.button !== 0) return;
        const seek = ({ clientX }) => {
            const box = canvas.getBoundingClientRect();
            const share = Math.min(Math.max((clientX - box.left) / box.width, 0), 1);
            this.onSeek(Math.min(Math.floor(share * this.scene.frames), this.scene.frames - 1));
        };
        if (event.clientX < canvas.getBoundingClientRect().left) return; // on a name, or the scroll bar's side
        event.preventDefault();
        this.rows.setPointerCapture(event.pointerId);
        const end = () => this.rows.removeEventListener("pointermove", seek);
        this.rows.addEventListener("pointermove", seek);
        this.rows.addEventListener("pointerup", end, { once: true });
        this.rows.addEventListener("pointercancel", end, { once: true });
        seek(event);
    }
}

// What is to be seen of both sides: one canvas, in which a divider that can be dragged parts filmed from dubbed.

import { element } from "../picker/elements.js";
import { say } from "../words.js";

const MOST_WIDTH = 1600; // pixels drawn
const STEP = 1; // percent that an arrow key moves the divider
const PAGE = 10; // percent, with Page Up and Page Down

export class Picture {
    /** `onResize()` is called when the frames have to be copied in another size. */
    constructor({ onResize }) {
        Object.assign(this, { onResize, divider: 50, mode: "both" });
        this.canvas = element("canvas", { width: 16, height: 9 });
        this.canvas.setAttribute("role", "img");
        this.handle = element("div", { className: "lsd-divider", tabIndex: 0 });
        for (const [name, value] of Object.entries({
            role: "slider",
            "aria-label": say("Divider between filmed and dubbed"),
            "aria-valuemin": 0,
            "aria-valuemax": 100,
            "aria-orientation": "horizontal",
        }))
            this.handle.setAttribute(name, value);
        this.filmed = element("span", { className: "lsd-side lsd-filmed", textContent: say("filmed") });
        this.dubbed = element("span", { className: "lsd-side lsd-dubbed", textContent: say("dubbed") });
        this.element = element("div", { className: "lsd-view" }, [this.canvas, this.filmed, this.dubbed, this.handle]);
        this.element.addEventListener("pointerdown", (event) => this.startDrag(event));
        this.handle.addEventListener("keydown", (event) => this.moveByKey(event));
        this.sizes = new ResizeObserver(() => this.fit());
        this.place();
    }

    setAspect(aspect) {
        this.aspect = aspect;
        this.element.style.aspectRatio = String(aspect);
        this.element.style.setProperty("--lsd-aspect", aspect);
        this.sizes.observe(this.element);
        this.fit();
    }

    /** Gives the canvas as many pixels as the screen shows of it. */
    fit() {
        const wanted = Math.min(this.element.clientWidth * window.devicePixelRatio, MOST_WIDTH);
        const width = Math.max(16, Math.round(wanted));
        const height = Math.max(9, Math.round(width / this.aspect));
        if (!this.aspect || (width === this.canvas.width && height === this.canvas.height)) return;
        Object.assign(this.canvas, { width, height });
        this.onResize(width, height);
    }

    /** Shows two sides of one frame; either may be missing where it isn't to be seen. */
    show(filmed, dubbed) {
        const { width, height } = this.canvas;
        const context = this.canvas.getContext("2d");
        if (this.mode === "both") {
            const edge = Math.round((this.divider / 100) * width);
            if (edge > 0) context.drawImage(filmed, 0, 0, edge, height, 0, 0, edge, height);
            const rest = width - edge;
            if (rest > 0) context.drawImage(dubbed, edge, 0, rest, height, edge, 0, rest, height);
        } else context.drawImage(this.mode === "filmed" ? filmed : dubbed, 0, 0);
    }

    describe(text) {
        const shown = this.mode === "filmed" ? say("filmed") : say("dubbed");
        const view = this.mode === "both" ? say("filmed left, dubbed right") : shown;
        this.canvas.setAttribute("aria-label", `${text}, ${view}`);
    }

    setMode(mode) {
        this.mode = mode;
        this.place();
        this.onChange?.();
    }

    setDivider(percent) {
        this.divider = Math.min(Math.max(percent, 0), 100);
        this.place();
        this.onChange?.();
    }

    place() {
        this.handle.hidden = this.mode !== "both";
        this.filmed.hidden = this.mode === "dubbed";
        this.dubbed.hidden = this.mode === "filmed";
        this.handle.style.left = `${this.divider}%`;
        this.handle.setAttribute("aria-valuenow", String(Math.round(this.divider)));
        this.handle.setAttribute("aria-valuetext", `${Math.round(this.divider)} percent filmed`);
    }

    moveByKey(event) {
        const { divider } = this;
        const moves = {
            ArrowLeft: divider - STEP,
            ArrowDown: divider - STEP,
            ArrowRight: divider + STEP,
            ArrowUp: divider + STEP,
            PageDown: divider - PAGE,
            PageUp: divider + PAGE,
            Home: 0,
            End: 100,
        };
        if (!(event.key in moves)) return;
        event.preventDefault();
        event.stopPropagation();
        this.setDivider(moves[event.key]);
    }

    startDrag(event) {
        if (event.button !== 0 || this.mode !== "both") return;
        event.preventDefault();
        this.handle.focus();
        this.element.setPointerCapture(event.pointerId);
        const move = ({ clientX }) => {
            const { left, width } = this.element.getBoundingClientRect();
            this.setDivider((100 * (clientX - left)) / width);
        };
        const end = () => this.element.removeEventListener("pointermove", move);
        this.element.addEventListener("pointermove", move);
        this.element.addEventListener("pointerup", end, { once: true });
        this.element.addEventListener("pointercancel", end, { once: true });
        move(event);
    }

    close() {
        this.sizes.disconnect();
        Object.assign(this.canvas, { width: 16, height: 9 });
    }
}

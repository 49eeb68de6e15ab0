// One frame of the clip with the boxes of its faces, each a button; and a box that is drawn by hand.

import { say } from "../words.js";
import { element } from "./elements.js";

const LEAST_DRAG = 12; // pixels of the picture's own size, below which a drag is a click

export class Stage {
    /** `onFace(track, add)` is called for a click on a box, `onMark(box)` for a drawn box and a click on a faint face. */
    constructor({ onFace, onMark, onError }) {
        Object.assign(this, { onFace, onMark, onError });
        this.picture = element("img", { alt: "", draggable: false });
        this.rubber = element("div", { className: "lsd-rubber", hidden: true });
        this.layer = element("div", { className: "lsd-boxes" });
        this.element = element("div", { className: "lsd-stage" }, [this.picture, this.layer, this.rubber]);
        this.buttons = new Map(); // by track
        this.faint = [];
        this.marking = false;
        this.element.addEventListener("pointerdown", (event) => this.startDrag(event));
    }

    setScene(scene) {
        this.scene = scene;
        this.wanted = this.shown = undefined;
        this.element.style.aspectRatio = String(scene.aspect);
        this.element.style.maxWidth = `calc(var(--lsd-stage-height) * ${scene.aspect})`;
        this.clearBoxes();
    }

    /** Shows a frame, soon; of many that are asked for while one loads, the last. */
    async show(frame) {
        this.wanted = frame;
        if (this.loading) return;
        this.loading = true;
        try {
            while (this.wanted !== this.shown) {
                const [scene, next] = [this.scene, this.wanted];
                const address = URL.createObjectURL(await scene.still(next));
                if (scene !== this.scene) {
                    URL.revokeObjectURL(address);
                    continue;
                }
                if (this.picture.src) URL.revokeObjectURL(this.picture.src);
                this.picture.src = address;
                this.picture.alt = say("Frame {frame} of the clip", { frame: next });
                await this.picture.decode().catch(() => undefined);
                this.shown = next;
                this.drawBoxes();
                await this.findFaint();
            }
        } catch (problem) {
            this.wanted = this.shown;
            this.onError(problem.message);
        } finally {
            this.loading = false;
        }
    }

    /** `state(track)` tells of a track: {synced, label}. */
    setState(state) {
        this.state = state;
        this.drawBoxes();
    }

    async setMarking(on) {
        this.marking = on;
        this.element.classList.toggle("lsd-marking", on);
        await this.findFaint();
    }

    async findFaint() {
        const [scene, frame] = [this.scene, this.shown];
        this.showFaint([]);
        if (!this.marking || frame === undefined) return;
        try {
            const boxes = await scene.faint(frame);
            if (scene === this.scene && frame === this.shown && this.marking) this.showFaint(boxes);
        } catch (problem) {
            this.onError(problem.message);
        }
    }

    showFaint(boxes) {
        for (const button of this.faint) button.remove();
        this.faint = boxes.map((box, number) => {
            const button = element("button", { className: "lsd-box lsd-faint", type: "button" });
            button.append(element("span", { textContent: say("mark") }));
            const which = { number: number + 1, count: boxes.length };
            button.setAttribute("aria-label", say("Mark what may be a face, {number} of {count}", which));
            button.addEventListener("click", () => this.onMark(box, this.shown));
            this.place(button, box);
            return button;
        });
        this.layer.append(...this.faint);
    }

    clearBoxes() {
        for (const button of this.buttons.values()) button.remove();
        this.buttons.clear();
        this.showFaint([]);
    }

    drawBoxes() {
        if (this.shown === undefined || !this.state) return;
        const faces = this.scene.facesIn(this.shown);
        const seen = new Set(faces.map(({ track }) => track.track));
        for (const [track, button] of this.buttons) {
            if (seen.has(track)) continue;
            button.remove();
            this.buttons.delete(track);
        }
        for (const { track, box } of faces) {
            let button = this.buttons.get(track.track);
            if (!button) {
                button = element("button", { className: "lsd-box", type: "button" }, [element("span")]);
                button.addEventListener("click", (event) => this.onFace(track, event.shiftKey));
                this.buttons.set(track.track, button);
                this.layer.append(button);
            }
            const { synced, label } = this.state(track);
            button.classList.toggle("lsd-synced", synced);
            button.setAttribute("aria-pressed", String(synced));
            button.title = say("{label}, track {track}", { label, track: track.track });
            button.setAttribute("aria-label", button.title);
            button.firstChild.textContent = label;
            this.place(button, box);
        }
    }

    place(button, [x0, y0, x1, y1]) {
        const [width, height] = this.scene.size;
        const percent = (value, whole) => `${(100 * value) / whole}%`;
        Object.assign(button.style, {
            left: percent(x0, width),
            top: percent(y0, height),
            width: percent(x1 - x0, width),
            height: percent(y1 - y0, height),
        });
    }

    /** The clip's pixel under the pointer, wherever the page's zoom puts it. */
    pixel(event) {
        const box = this.layer.getBoundingClientRect();
        const share = (at, start, length) => Math.min(Math.max((at - start) / length, 0), 1);
        const [width, height] = this.scene.size;
        return [
            Math.round(share(event.clientX, box.left, box.width) * (width - 1)),
            Math.round(share(event.clientY, box.top, box.height) * (height - 1)),
        ];
    }

    startDrag(event) {
        if (!this.marking || event.button !== 0 || this.shown === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        const [frame, start, faint] = [this.shown, this.pixel(event), event.target.closest(".lsd-faint")];
        const box = (now) => [
            ...[0, 1].map((axis) => Math.min(start[axis], now[axis])),
            ...[0, 1].map((axis) => Math.max(start[axis], now[axis])),
        ];
        const move = (moved) => {
            this.place(this.rubber, box(this.pixel(moved)));
            this.rubber.hidden = false;
        };
        const end = (ended) => {
            this.element.removeEventListener("pointermove", move);
            this.element.removeEventListener("pointerup", end);
            this.element.removeEventListener("pointercancel", end);
            this.rubber.hidden = true;
            const [x0, y0, x1, y1] = box(this.pixel(ended));
            const isBox = x1 - x0 >= LEAST_DRAG && y1 - y0 >= LEAST_DRAG;
            if (ended.type !== "pointerup") return;
            if (isBox) this.onMark([x0, y0, x1, y1], frame);
            else faint?.click(); // the captured pointer's own click goes to the frame
        };
        this.element.setPointerCapture(event.pointerId);
        this.element.addEventListener("pointermove", move);
        this.element.addEventListener("pointerup", end);
        this.element.addEventListener("pointercancel", end);
    }
}

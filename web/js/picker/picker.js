// The face picker: a clip's frame with its faces, the persons, and a timeline, folded away until it is asked for.

import { app } from "../../../../scripts/app.js";
import { say } from "../words.js";
import { Controls } from "./controls.js";
import { addStyle, element } from "./elements.js";
import { People } from "./people.js";
import { Scene } from "./scene.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";

const MARGIN = 6; // pixels around it
const CLOSED_HEIGHT = 30; // pixels
const LEAST_WIDTH = 420; // pixels of a node in which it is open
const STYLE = new URL("./picker.css", import.meta.url).href;

export class Picker {
    /** `use` tells what it is for: {title, chooses}. It belongs to no node yet. */
    constructor({ title, chooses }) {
        Object.assign(this, { open: false, chosen: [] });
        addStyle(STYLE);
        const tell = (sentence) => this.tell(sentence);
        const onSeek = (frame) => this.seek(frame);
        this.stage = new Stage({
            onFace: (track, add) => this.apply((...now) => this.use.toggleTrack(...now, track, add)),
            onMark: (box, frame) => this.mark(box, frame),
            onError: tell,
        });
        this.controls = new Controls({ onSeek });
        const onPerson = (person, add) => this.apply((...now) => this.use.togglePerson(...now, person, add));
        this.people = new People({ onPerson });
        this.timeline = new Timeline({ onSeek });
        this.message = element("p", { className: "lsd-message" });
        this.message.setAttribute("role", "status");
        this.marker = element("button", { type: "button", className: "lsd-marker" }, [
            element("i", { className: "pi pi-stop" }),
            say("mark a face by hand"),
        ]);
        this.marker.setAttribute("aria-pressed", "false");
        this.marker.addEventListener("click", () => this.setMarking(!this.stage.marking));
        this.body = element("div", { className: "lsd-body", hidden: true }, [
            this.stage.element,
            this.controls.element,
            ...(chooses ? [this.people.element, this.timeline.element] : []),
            element("div", { className: "lsd-foot" }, [this.marker, this.message]),
        ]);
        this.toggle = element("button", { type: "button", className: "lsd-toggle" }, [
            element("i", { className: "pi pi-chevron-right" }),
            title,
        ]);
        this.toggle.setAttribute("aria-expanded", "false");
        this.toggle.addEventListener("click", () => this.setOpen(!this.open));
        this.content = element("div", {}, [this.toggle, this.body]);
        this.element = element("section", { className: "lsd-picker" }, [this.content]);
        this.element.setAttribute("aria-label", title);
        // Keys that mean something here must not reach the graph, where Delete deletes the node.
        for (const kind of ["keydown", "keyup", "keypress"])
            this.element.addEventListener(kind, (event) => {
                if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
            });
        this.element.addEventListener("pointerdown", (event) => event.stopPropagation());
        this.sizes = new ResizeObserver(() => this.fit());
    }

    /** Becomes a node's. `use` is what clicks do there: {mark(box, frame)} and, where faces are chosen,
     * {read(), write(values), toggleTrack(...), togglePerson(...)}. Undo recreates nodes: the picker stays the same, as the page goes on showing its element. */
    adopt(node, use) {
        Object.assign(this, { node, use });
        this.sizes.observe(this.content);
        this.refresh();
    }

    /** Pixels that it needs in its node. What isn't laid out in the node, as in the middle of an undo, has no height or
     * that of another width: then the one before holds. A node that grew for it would differ from the restored graph,
     * and the page would drop its redo. */
    get height() {
        const { offsetWidth, offsetHeight } = this.content;
        const fits = offsetHeight > 0 && offsetWidth <= this.node?.size[0];
        if (fits) this.before = offsetHeight;
        return Math.max(fits || this.open ? this.before ?? 0 : 0, CLOSED_HEIGHT) + 2 * MARGIN;
    }

    setKey(key) {
        if (key === this.key) return;
        this.key = key;
        this.scene = undefined;
        if (this.open) this.setOpen(true);
    }

    async setOpen(open) {
        const opened = open && !this.open;
        this.open = open;
        this.toggle.setAttribute("aria-expanded", String(open));
        this.toggle.firstChild.className = `pi pi-chevron-${open ? "down" : "right"}`;
        this.body.hidden = !open;
        if (opened) {
            this.closedSize = [...this.node.size];
            if (this.node.size[0] < LEAST_WIDTH) this.node.setSize([LEAST_WIDTH, this.node.size[1]]);
        } else if (!open && this.closedSize) {
            const [closedWidth, height] = this.closedSize;
            const width = this.node.size[0] === LEAST_WIDTH ? closedWidth : this.node.size[0]; // unless it was changed
            this.closedSize = undefined;
            requestAnimationFrame(() => this.node.setSize([width, Math.max(height, this.node.computeSize()[1])]));
        }
        if (open && !this.scene && this.loading !== this.key) await this.load();
    }

    async load() {
        const key = (this.loading = this.key);
        this.tell("");
        try {
            const scene = await Scene.load(key);
            if (key !== this.key) return;
            this.scene = scene;
        } catch (problem) {
            this.tell(problem.message);
            return;
        } finally {
            this.loading = undefined;
        }
        for (const part of [this.stage, this.controls, this.people, this.timeline]) part.setScene(this.scene);
        const first = this.scene.tracks.find(({ visible }) => visible.length)?.visible[0][0] ?? 0;
        this.seek(Math.min(this.frame ?? first, this.scene.frames - 1));
        if (!this.scene.tracks.length) await this.setMarking(true);
        await this.refresh();
    }

    seek(frame) {
        this.frame = frame;
        this.controls.seek(frame);
        this.timeline.seek(frame);
        this.stage.show(frame);
    }

    /** Shows what the node's values mean now. */
    async refresh() {
        if (!this.scene || !this.open || !this.use.read) return;
        const asked = (this.asked = Symbol("the latest question"));
        let choice = { chosen: [], runs: [] };
        let problem = "";
        try {
            choice = await this.scene.choice(this.use.read());
        } catch (caught) {
            problem = caught.message;
        }
        if (asked !== this.asked) return;
        this.chosen = choice.chosen;
        const counts = new Map();
        const people = new Map(this.scene.tracks.map(({ track, person }) => [track, person]));
        for (const [first, stop, outcome, track] of choice.runs)
            if (outcome === "synced" || outcome === "faded")
                counts.set(people.get(track), (counts.get(people.get(track)) ?? 0) + stop - first);
        this.people.setState((person) => {
            const synced = this.scene.tracksOf(person).some((track) => this.chosen.includes(track));
            const note = synced ? say("{count} frames synced", { count: counts.get(person) ?? 0 }) : say("not synced");
            return { synced, note };
        });
        this.stage.setState(({ track, person }) => ({
            synced: this.chosen.includes(track),
            label: say("person {person}", { person: this.scene.letterOf(person) }),
        }));
        this.timeline.setChoice(choice);
        // What else was told, such as where a mark went, stays.
        if (problem || this.message.textContent === this.problem) this.tell(problem);
        this.problem = problem;
    }

    /** Changes the node's values by what a click means; `change` is given the scene, the values and what is chosen. */
    apply(change) {
        const problem = this.use.write(change(this.scene, this.use.read(), this.chosen));
        if (problem) this.tell(problem);
        else this.refresh();
    }

    async setMarking(on) {
        this.marker.setAttribute("aria-pressed", String(on));
        this.tell(on ? say("Drag a box around the whole face, hairline to chin, once in every shot.") : "");
        await this.stage.setMarking(on);
    }

    async mark(box, frame) {
        this.tell(await this.use.mark(box, frame));
    }

    tell(sentence) {
        this.message.textContent = sentence;
    }

    /** Makes room in the node for what is shown. */
    fit() {
        const least = this.node.computeSize()[1];
        if (this.node.size[1] < least) this.node.setSize([this.node.size[0], least]);
        this.timeline.draw();
        this.node.setDirtyCanvas(true, true);
        app.canvas?.setDirty(true, true);
    }

    /** Its node is gone; another one may follow. */
    leave(node) {
        if (this.node === node) this.sizes.disconnect();
    }
}

/** Puts a picker on a node; `held.picker` is the one that the node had before undo recreated it. */
export function addPicker(node, name, use, held) {
    const picker = (held.picker ??= new Picker(use));
    const height = () => picker.height;
    const widget = node.addDOMWidget(name, name, picker.element, {
        serialize: false, // not in the prompt
        hideOnZoom: false,
        hideInPanel: true,
        margin: MARGIN,
        getMinHeight: height,
        getMaxHeight: height,
    });
    widget.serialize = false; // not in the saved workflow
    widget.picker = picker;
    const removed = widget.onRemove;
    widget.onRemove = function () {
        picker.leave(node);
        return removed?.apply(this, arguments);
    };
    picker.adopt(node, use);
    return widget;
}

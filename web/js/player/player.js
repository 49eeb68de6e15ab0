// The player that compares a result with its clip, in a window of its own over the page. There is one at a time.

import { addStyle, clock, element } from "../picker/elements.js";
import { Comparison } from "./comparison.js";
import { Picture } from "./picture.js";
import { Playback } from "./playback.js";
import { drawStrip } from "./strip.js";
import { say } from "../words.js";

const STYLES = ["../picker/picker.css", "./player.css"].map((path) => new URL(path, import.meta.url).href);
const ALL = [0, 0, 1]; // of the picture

let open; // the player that is open

/** Opens the player for a key, in place of one that is open. */
export function openPlayer(key) {
    open?.close();
    open = new Player(key);
    return open;
}

class Player {
    constructor(key) {
        Object.assign(this, { zoomed: false, speaker: 0, stopped: [] });
        STYLES.forEach(addStyle);
        this.picture = new Picture({ onResize: (width, height) => this.playback?.resize(width, height) });
        this.picture.onChange = () => this.playback?.again();
        this.addControls();
        this.element.addEventListener("keydown", (event) => this.key(event));
        for (const kind of ["keyup", "keypress", "pointerdown", "wheel", "contextmenu", "paste", "copy"])
            this.element.addEventListener(kind, (event) => event.stopPropagation());
        this.element.addEventListener("close", () => this.close());
        document.body.append(this.element);
        this.element.showModal();
        this.pauseOthers();
        this.load(key);
    }

    addControls() {
        const button = (icon, label, keys, act) => {
            const made = element("button", { type: "button", title: `${label} (${keys})` }, [
                element("i", { className: `pi ${icon}` }),
            ]);
            made.setAttribute("aria-label", label);
            made.setAttribute("aria-keyshortcuts", keys);
            made.addEventListener("click", act);
            return made;
        };
        const choice = (label, values, act) => {
            const buttons = new Map(
                values.map(([value, text, keys]) => {
                    const made = element("button", { type: "button", textContent: text });
                    if (keys) {
                        made.setAttribute("aria-keyshortcuts", keys);
                        made.title = `${text} (${keys})`;
                    }
                    made.addEventListener("click", () => act(value));
                    return [value, made];
                }),
            );
            const group = element("div", { className: "lsd-group" }, [
                element("span", { textContent: label }),
                ...buttons.values(),
            ]);
            group.setAttribute("role", "group");
            group.setAttribute("aria-label", label);
            return { group, buttons };
        };
        this.playButton = button("pi-play", say("Play"), "Space", () => this.togglePlay());
        this.playButton.autofocus = true;
        this.slider = element("input", { type: "range", min: 0, max: 0, step: 1, value: 0, className: "lsd-seek" });
        this.slider.setAttribute("aria-label", say("Frame"));
        this.slider.addEventListener("input", () => this.playback?.seek(Number(this.slider.value)));
        this.time = element("span", { className: "lsd-time" });
        this.strip = element("canvas", { className: "lsd-strip", height: 8 });
        this.strip.setAttribute("role", "img");
        this.strip.setAttribute("aria-label", say("Frames with a new mouth"));
        this.legend = element("div", { className: "lsd-legend" });
        this.views = choice(
            say("Picture"),
            [
                ["filmed", say("filmed"), "A"],
                ["both", say("both"), "S"],
                ["dubbed", say("dubbed"), "B"],
            ],
            (mode) => this.setMode(mode),
        );
        this.sounds = choice(
            say("Sound"),
            [
                ["filmed", say("of the clip")],
                ["dubbed", say("of the dub")],
                ["none", say("none"), "M"],
            ],
            (sound) => this.setSound(sound),
        );
        this.zoom = element("button", { type: "button", textContent: say("zoom to the mouth"), title: say("zoom (Z)") });
        this.zoom.setAttribute("aria-keyshortcuts", "Z");
        this.zoom.addEventListener("click", () => this.setZoom(!this.zoomed));
        this.loop = element("button", { type: "button", textContent: say("loop"), title: say("loop (L)") });
        this.loop.setAttribute("aria-keyshortcuts", "L");
        this.loop.addEventListener("click", () => this.setLoop(!this.playback.loop));
        this.people = element("select", { hidden: true });
        this.people.setAttribute("aria-label", say("Whose mouth"));
        this.people.addEventListener("change", () => this.setSpeaker(Number(this.people.value)));
        this.message = element("p", { className: "lsd-message" });
        this.message.setAttribute("role", "status");
        this.progress = element("progress", { max: 1, value: 0, hidden: true });
        this.progress.setAttribute("aria-label", say("The filmed side is being made"));
        const title = say("Before and after");
        const close = button("pi-times", say("Close"), "Escape", () => this.element.close());
        this.controls = element("div", { className: "lsd-player-controls" }, [
            element("div", { className: "lsd-controls" }, [
                button("pi-step-backward", say("One frame back"), "ArrowLeft", () => this.step(-1)),
                this.playButton,
                button("pi-step-forward", say("One frame on"), "ArrowRight", () => this.step(1)),
                this.slider,
                this.time,
            ]),
            this.strip,
            this.legend,
            element("div", { className: "lsd-choices" }, [
                this.views.group,
                this.sounds.group,
                element("div", { className: "lsd-group" }, [
                    this.zoom,
                    this.people,
                    this.loop,
                    button("pi-angle-double-right", say("Loop from this frame"), "I", () => this.markRange(0)),
                    button("pi-angle-double-left", say("Loop to this frame"), "O", () => this.markRange(1)),
                ]),
            ]),
        ]);
        this.element = element("dialog", { className: "lsd-picker lsd-player" }, [
            element("div", { className: "lsd-bar" }, [element("h2", { textContent: title }), close]),
            this.picture.element,
            this.controls,
            element("div", { className: "lsd-foot" }, [this.progress, this.message]),
        ]);
        this.element.setAttribute("aria-label", title);
        this.setEnabled(false);
        this.press(this.views, "both");
    }

    setEnabled(on) {
        for (const control of this.controls.querySelectorAll("button, input, select")) control.disabled = !on;
    }

    press({ buttons }, value) {
        for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === value));
    }

    /** The page's own players of results would decode beside this one. */
    pauseOthers() {
        this.stopped = [...document.querySelectorAll("video")].filter((video) => !video.paused);
        for (const video of this.stopped) video.pause();
    }

    async load(key) {
        this.tell(say("Opening …"));
        try {
            if (!HTMLVideoElement.prototype.requestVideoFrameCallback)
                throw new Error(say("This browser can't tell which frame a video shows; use a newer one."));
            const comparison = await Comparison.load(key);
            const isGiven = () => this.closed;
            const sound = await comparison.makeFilmed((share) => this.tellShare(share), isGiven);
            if (this.closed) return;
            this.progress.hidden = true;
            this.comparison = comparison;
            await comparison.loadMouths(0);
            if (this.closed) return;
            this.picture.setAspect(comparison.aspect);
            this.playback = new Playback(comparison, {
                view: (index) => (this.zoomed ? comparison.around(this.speaker, index) : ALL),
                onFrame: (index, ...sides) => this.show(index, ...sides),
                onState: () => this.showState(),
                onError: (sentence) => this.tell(sentence),
            });
            this.playback.resize(this.picture.canvas.width, this.picture.canvas.height);
            await this.playback.load();
            if (this.closed) return;
            this.begin({ filmed: sound, dubbed: comparison.dubbed_sound, none: true });
        } catch (problem) {
            this.progress.hidden = true;
            if (!this.closed) this.tell(problem.message);
        }
    }

    begin(sounds) {
        const { comparison } = this;
        this.slider.max = comparison.frames - 1;
        this.people.replaceChildren(
            ...Array.from({ length: comparison.speakers }, (_, speaker) =>
                element("option", { value: speaker, textContent: `mouth ${speaker + 1}` }),
            ),
        );
        this.people.hidden = comparison.speakers < 2;
        this.setEnabled(true);
        for (const [name, button] of this.sounds.buttons) button.disabled = !sounds[name];
        this.setSound(sounds.dubbed ? "dubbed" : "none");
        this.setZoom(false);
        this.setLoop(true);
        this.sizes = new ResizeObserver(() => this.drawStrip());
        this.sizes.observe(this.strip);
        this.tell("");
        this.showState();
        this.playButton.focus();
    }

    drawStrip() {
        drawStrip(this.strip, this.legend, this.comparison, this.playback.range);
    }

    tellShare(share) {
        this.progress.hidden = false;
        this.progress.value = share;
        this.tell(say("The filmed side is made so that the page can play it. It is kept until ComfyUI starts again."));
    }

    tell(sentence) {
        if (this.message.textContent !== sentence) this.message.textContent = sentence;
    }

    show(index, filmed, dubbed) {
        this.picture.show(filmed, dubbed);
        this.element.dataset.frame = index;
        if (document.activeElement !== this.slider || this.playback.playing || this.playback.wanted === undefined)
            this.slider.value = index;
        const source = this.comparison.source[index];
        const text = say("{time} · frame {frame}", { time: clock(this.comparison.times[index]), frame: index });
        this.time.textContent = source === index ? text : say("{text} (the clip's {frame})", { text, frame: source });
        if (!this.playback.playing) this.describe();
    }

    /** In words, for screen readers; while it plays they would be told without end. */
    describe() {
        this.slider.setAttribute("aria-valuetext", this.time.textContent);
        const { frames } = this.comparison;
        this.picture.describe(say("Frame {frame} of {frames}", { frame: this.slider.value, frames }));
    }

    showState() {
        const { playing } = this.playback;
        this.playButton.firstChild.className = `pi ${playing ? "pi-pause" : "pi-play"}`;
        this.playButton.setAttribute("aria-label", playing ? say("Pause") : say("Play"));
        this.describe();
    }

    togglePlay() {
        return this.playback.playing ? this.playback.pause() : this.playback.play();
    }

    async step(by) {
        const { playback } = this;
        const at = playback.wanted ?? Math.max(playback.shown, 0);
        await playback.pause();
        await playback.seek(at + by);
    }

    setMode(mode) {
        this.press(this.views, mode);
        this.picture.setMode(mode);
        this.describe();
    }

    setSound(sound) {
        if (this.sounds.buttons.get(sound)?.disabled) return;
        this.press(this.sounds, sound);
        this.playback.setSound(sound);
    }

    nextSound() {
        const able = [...this.sounds.buttons].filter(([, button]) => !button.disabled).map(([name]) => name);
        this.setSound(able[(able.indexOf(this.playback.sound) + 1) % able.length]);
    }

    setZoom(on) {
        this.zoomed = on;
        this.zoom.setAttribute("aria-pressed", String(on));
        this.playback.again();
    }

    async setSpeaker(speaker) {
        try {
            await this.comparison.loadMouths(speaker);
        } catch (problem) {
            this.tell(problem.message);
            return;
        }
        this.speaker = speaker;
        this.playback.again();
    }

    setLoop(on) {
        this.playback.loop = on;
        if (!on) this.playback.range = [0, this.comparison.frames - 1];
        this.loop.setAttribute("aria-pressed", String(on));
        this.drawStrip();
    }

    /** Begins (0) or ends (1) what is played again and again at the frame that is shown. */
    markRange(end) {
        const { playback } = this;
        const at = Math.max(playback.shown, 0);
        const range = [...playback.range];
        range[end] = at;
        if (range[0] > range[1]) range[1 - end] = end ? 0 : this.comparison.frames - 1;
        playback.range = range;
        this.setLoop(true);
        this.tell(say("Loops frames {first} to {last}.", { first: range[0], last: range[1] }));
    }

    key(event) {
        event.stopPropagation(); // else the graph under it would be changed
        if (event.ctrlKey || event.metaKey || event.altKey || !this.playback || this.playButton.disabled) return;
        const inSlider = event.target === this.slider || event.target === this.people;
        const onButton = event.target.closest("button");
        const acts = {
            a: () => this.setMode("filmed"),
            b: () => this.setMode("dubbed"),
            s: () => this.setMode("both"),
            m: () => this.nextSound(),
            z: () => this.setZoom(!this.zoomed),
            l: () => this.setLoop(!this.playback.loop),
            i: () => this.markRange(0),
            o: () => this.markRange(1),
            k: () => this.togglePlay(),
            ",": () => this.step(-1),
            ".": () => this.step(1),
            ...(inSlider ? {} : { arrowleft: () => this.step(-1), arrowright: () => this.step(1) }),
            ...(inSlider || onButton ? {} : { " ": () => this.togglePlay() }),
        };
        const act = acts[event.key.toLowerCase()];
        if (!act) return;
        event.preventDefault();
        act();
    }

    /** Frees both videos and all frames. */
    close() {
        if (this.closed) return;
        this.closed = true;
        if (open === this) open = undefined;
        this.playback?.close();
        this.sizes?.disconnect();
        this.picture.close();
        this.element.remove();
        for (const video of this.stopped) if (video.isConnected) video.play().catch(() => undefined);
    }
}

// One side of a comparison: a video that isn't shown itself. Each of its frames is copied, with its number, to a small
// ring of canvases, so that the player only ever shows two sides of one number.

import { element } from "../picker/elements.js";
import { say } from "../words.js";

const RING = 3; // frames held: two videos that play are seldom farther apart
const SHARES = [0.5, 0.25, 0.75]; // of a frame's time to which is sought, one after another until the frame shows
const PATIENCE_MS = 10_000; // for a frame to show
const UNCHANGED_MS = window.VideoFrame ? 30 : 250; // after a seek, until no other frame than before is to be expected

export class Side {
    /** `view(index)` is the part of the picture to copy, [left, top, side]; `onFrame()` is called after a copy. */
    constructor(name, address, comparison, { view, onFrame, onEnd }) {
        Object.assign(this, { name, comparison, view, onFrame });
        this.video = element("video", { muted: true, preload: "auto", playsInline: true, src: address });
        this.ring = Array.from({ length: RING }, () => ({ index: -1, canvas: element("canvas") }));
        this.next = 0; // place in the ring
        this.index = -1; // the last frame that was copied
        this.origin = undefined; // the video's time of frame 0
        this.video.addEventListener("ended", onEnd);
    }

    /** Waits until its first frame shows. Throws an Error where it can't be played. */
    async load() {
        await new Promise((resolve, reject) => {
            this.video.addEventListener("loadeddata", resolve, { once: true });
            const problem = say("The {side} side can't be played.", { side: say(this.name) });
            this.video.addEventListener("error", () => reject(new Error(problem)));
        });
        this.watch();
        await this.seek(0);
    }

    /** Seconds after frame 0. */
    get time() {
        return this.video.currentTime - (this.origin ?? 0);
    }

    set time(seconds) {
        this.video.currentTime = seconds + (this.origin ?? 0);
    }

    watch() {
        this.callback = this.video.requestVideoFrameCallback((_, { mediaTime }) => {
            this.copy(mediaTime);
            this.watch();
        });
    }

    /** The stamp of the frame that the video shows now, exactly where the browser tells (secure pages). */
    stamp(told) {
        if (!window.VideoFrame) return told;
        try {
            const frame = new VideoFrame(this.video);
            const seconds = frame.timestamp / 1e6;
            frame.close();
            return seconds;
        } catch {
            return told; // nothing is shown yet
        }
    }

    /** Copies what the video shows, with its frame's number. */
    copy(told) {
        const slot = this.ring[this.next];
        let before;
        do {
            before = this.stamp(told);
            this.origin ??= before; // the first frame that a video shows is its first
            slot.index = this.comparison.indexOf(before - this.origin);
            if (slot.index < 0) return;
            this.draw(slot);
        } while (this.stamp(told) !== before); // the next one came while it was drawn
        for (const other of this.ring) if (other !== slot && other.index === slot.index) other.index = -1;
        this.next = (this.next + 1) % RING;
        this.index = slot.index;
        this.told = told;
        this.onFrame(this);
    }

    draw({ index, canvas }) {
        const [left, top, side] = this.view(index);
        const { videoWidth: width, videoHeight: height } = this.video;
        const context = canvas.getContext("2d");
        const part = [left * width, top * height, side * width, side * height];
        context.drawImage(this.video, ...part, 0, 0, canvas.width, canvas.height);
    }

    /** Copies the frame that stands still once more, say because another part of it is to be seen. */
    copyAgain() {
        if (this.index >= 0) this.copy(this.told);
    }

    /** The canvas of a frame, if it is held. */
    held(index) {
        return this.ring.find((slot) => slot.index === index)?.canvas;
    }

    get newest() {
        return this.ring.map(({ index }) => index).filter((index) => index >= 0);
    }

    resize(width, height) {
        for (const slot of this.ring) {
            Object.assign(slot.canvas, { width, height });
            slot.index = -1;
        }
    }

    forget() {
        for (const slot of this.ring) slot.index = -1;
        this.index = -1;
    }

    /** Shows a frame and waits until it was copied. Throws an Error where it doesn't show. */
    async seek(index) {
        const patience = performance.now() + PATIENCE_MS;
        this.forget();
        for (const share of [...SHARES, ...SHARES]) {
            this.time = this.comparison.within(index, share);
            await this.settled(index, patience);
            if (this.index === index || this.closed) return;
        }
        throw new Error(say("Frame {index} of the {side} side doesn't show.", { index, side: say(this.name) }));
    }

    /** Waits until a frame shows, or until it is sure that another one does. */
    async settled(index, patience) {
        let since; // when it had sought
        while (this.index !== index && !this.closed && performance.now() < patience) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            if (this.video.seeking) continue;
            since ??= performance.now();
            if (performance.now() - since < UNCHANGED_MS) continue;
            this.copy(this.told); // browsers don't tell of a frame that was there before
            return;
        }
    }

    /** Frees the video and its frames. */
    close() {
        this.closed = true;
        this.video.cancelVideoFrameCallback(this.callback);
        this.video.pause();
        this.video.removeAttribute("src");
        this.video.load();
        for (const { canvas } of this.ring) canvas.width = canvas.height = 0;
    }
}

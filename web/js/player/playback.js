// Plays both sides of a comparison together, and shows only frames that both have.

import { Side } from "./side.js";
import { say } from "../words.js";

const NEAR_SECONDS = 0.008; // apart, at which the sides count as together
const FAR_SECONDS = 0.3; // apart, beyond which one has to jump
const MOST_CORRECTION = 0.1; // of the speed at which the side without sound follows the other one
const STALLED_MS = 600; // without a frame of both, after which both are sought again

export class Playback {
    /** `view(index)` is the part of the picture to show, `onFrame(index, filmed, dubbed)` is called with each pair of
     * canvases, `onState()` when it starts or stops, `onError(sentence)` where a side fails. */
    constructor(comparison, { view, onFrame, onState, onError }) {
        Object.assign(this, { comparison, onFrame, onState, onError, playing: false, loop: true, sound: "none" });
        this.shown = -1; // the frame of the pair that was shown last
        const use = { view, onFrame: (side) => this.copied(side), onEnd: () => this.ended() };
        this.sides = {
            filmed: new Side("filmed", comparison.filmedURL, comparison, use),
            dubbed: new Side("dubbed", comparison.dubbedURL, comparison, use),
        };
        this.range = [0, comparison.frames - 1]; // what is played again and again
    }

    get both() {
        return Object.values(this.sides);
    }

    /** The side that the other one follows: the one whose sound plays. */
    get leader() {
        return this.sides[this.sound] ?? this.sides.dubbed;
    }

    async load() {
        await Promise.all(this.both.map((side) => side.load()));
    }

    resize(width, height) {
        for (const side of this.both) side.resize(width, height);
        this.again();
    }

    /** Shows the newest frame that both sides hold. */
    copied(side) {
        const [filmed, dubbed] = this.both;
        const common = filmed.newest.filter((index) => dubbed.held(index));
        const index = Math.max(-1, ...common);
        if (index >= 0 && (index !== this.shown || !this.playing)) {
            this.shown = index;
            this.shownAt = performance.now();
            this.onFrame(index, filmed.held(index), dubbed.held(index));
        }
        if (this.playing) this.keepTogether(side);
    }

    /** Shows the frame that stands still once more, as it is to be seen now. */
    again() {
        if (this.playing || this.wanted !== undefined) return;
        for (const side of this.both) side.copyAgain();
    }

    /** Shows a frame, soon; of many that are asked for while one is sought, the last. */
    async seek(index) {
        this.wanted = Math.min(Math.max(index, 0), this.comparison.frames - 1);
        if (this.seeking) return this.seeking;
        this.seeking = this.seekWanted();
        try {
            await this.seeking;
        } finally {
            this.seeking = undefined;
        }
    }

    async seekWanted() {
        const { playing } = this;
        if (playing) this.both.forEach(({ video }) => video.pause());
        try {
            while (this.wanted !== undefined && !this.closed) {
                const next = this.wanted;
                this.shown = -1;
                await Promise.all(this.both.map((side) => side.seek(next)));
                if (next === this.wanted) this.wanted = undefined;
            }
            if (this.shown < 0 && !this.closed) for (const side of this.both) side.copyAgain(); // it was resized meanwhile
            if (playing && this.playing && !this.closed) await this.start();
        } catch (problem) {
            this.wanted = undefined;
            this.setPlaying(false);
            if (!this.closed) this.onError(problem.message);
        }
    }

    async play() {
        if (this.playing) return;
        const [first, last] = this.range;
        this.setPlaying(true);
        if (this.shown >= last || this.shown < first) await this.seek(first);
        else await this.start();
    }

    async start() {
        this.shownAt = performance.now();
        try {
            await Promise.all(this.both.map(({ video }) => video.play()));
        } catch (problem) {
            if (problem.name === "AbortError") return; // paused meanwhile
            this.setPlaying(false);
            this.onError(say("The browser doesn't play the videos."));
        }
    }

    /** Stops, both sides at the frame that is shown. */
    async pause() {
        if (!this.playing) return;
        this.setPlaying(false);
        for (const { video } of this.both) video.pause();
        await this.seek(Math.max(this.shown, 0));
    }

    setPlaying(playing) {
        if (this.playing === playing) return;
        this.playing = playing;
        if (!playing) for (const { video } of this.both) video.playbackRate = 1;
        this.onState();
    }

    setSound(sound) {
        this.sound = sound;
        for (const { video, name } of this.both) {
            video.muted = name !== sound;
            video.playbackRate = 1;
        }
    }

    keepTogether(side) {
        if (this.wanted !== undefined) return;
        const { leader } = this;
        const last = this.range[1];
        if (leader.index >= last && last < this.comparison.frames - 1) {
            this.ended();
            return;
        }
        if (performance.now() - this.shownAt > STALLED_MS) {
            this.seek(leader.index);
            return;
        }
        if (side === leader) return;
        const apart = side.time - leader.time;
        if (Math.abs(apart) > FAR_SECONDS) side.time = leader.time;
        const correction = Math.min(Math.max(2 * apart, -MOST_CORRECTION), MOST_CORRECTION);
        side.video.playbackRate = Math.abs(apart) < NEAR_SECONDS ? 1 : 1 - correction;
    }

    /** The last frame that is to be played was: begins again, or stands. */
    ended() {
        if (!this.playing || this.wanted !== undefined) return;
        if (this.loop) this.seek(this.range[0]);
        else {
            this.setPlaying(false);
            for (const { video } of this.both) video.pause();
            this.seek(this.range[1]);
        }
    }

    close() {
        this.closed = true;
        this.playing = false;
        for (const side of this.both) side.close();
    }
}

// A result and its clip, as the server describes them: the times of the frames, the mouths, and both videos.

import { api } from "../../../../scripts/api.js";
import { ask } from "../picker/server.js";

const UNKNOWN = -32768; // in the place of a mouth's numbers where there is none
const NUMBERS = 3; // of a mouth
const POLL_MS = 400; // between two questions on how far the filmed side is

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Comparison {
    /** The comparison of a key, without any frame. */
    static async load(key) {
        const path = `/latentsync_dub/comparisons/${key}`;
        const [facts, table] = await Promise.all([
            ask(path).then((answer) => answer.json()),
            ask(`${path}/frames`).then((answer) => answer.arrayBuffer()),
        ]);
        return new Comparison(path, facts, table);
    }

    constructor(path, facts, table) {
        Object.assign(this, facts); // frames, frame_seconds, size, sample_aspect, dubbed, dubbed_sound, speakers, ...
        this.path = path;
        this.times = new Float64Array(table, 0, this.frames); // seconds at which frames are shown, after the first
        this.source = new Int32Array(table, 8 * this.frames, this.frames); // the clip's frame that each one shows
        this.tables = new Map(); // of mouths, by speaker
    }

    get aspect() {
        return (this.size[0] * this.sample_aspect) / this.size[1];
    }

    get dubbedURL() {
        return api.apiURL(`/view?${new URLSearchParams(this.dubbed)}`);
    }

    get filmedURL() {
        return api.apiURL(`${this.path}/filmed.mp4`);
    }

    /** When a frame's time ends. */
    end(index) {
        return index + 1 < this.frames ? this.times[index + 1] : this.times[index] + this.frame_seconds;
    }

    /** A time that lies safely within a frame's own: `share` of it has passed. */
    within(index, share = 0.5) {
        return this.times[index] + share * (this.end(index) - this.times[index]);
    }

    /** The frame whose own time a stamp is; -1 where it is that of none. */
    indexOf(seconds) {
        let [low, high] = [0, this.frames - 1];
        while (low < high) {
            const middle = (low + high + 1) >> 1;
            if (this.times[middle] <= seconds) low = middle;
            else high = middle - 1;
        }
        const next = Math.min(low + 1, this.frames - 1);
        const nearest = Math.abs(this.times[next] - seconds) < Math.abs(this.times[low] - seconds) ? next : low;
        const off = Math.abs(this.times[nearest] - seconds);
        return off < 0.4 * (this.end(nearest) - this.times[nearest]) ? nearest : -1;
    }

    /** Has the server make the filmed side, unless it is there; tells how far it is. Returns whether it has sound, or
     * nothing once `given` up. */
    async makeFilmed(onShare, given) {
        while (!given()) {
            const state = await (await ask(`${this.path}/filmed`, { method: "POST" })).json();
            if (state.ready) return state.sound;
            onShare(state.done / state.total);
            await pause(POLL_MS);
        }
        return undefined;
    }

    async loadMouths(speaker) {
        if (this.tables.has(speaker)) return;
        const table = await (await ask(`${this.path}/mouths/${speaker}`)).arrayBuffer();
        this.tables.set(speaker, new DataView(table));
    }

    /** The part of the picture around a mouth, as shares of its width and height: [left, top, side]; of all, if none. */
    around(speaker, index) {
        const table = this.tables.get(speaker);
        const [x, y, side] = [0, 1, 2].map((number) => table?.getInt16((index * NUMBERS + number) * 2, true) ?? UNKNOWN);
        if (x === UNKNOWN) return [0, 0, 1];
        const share = Math.min(side / this.size[1], 1);
        const place = (at, length) => Math.min(Math.max(at / length - share / 2, 0), 1 - share);
        return [place(x, this.size[0]), place(y, this.size[1]), share];
    }
}

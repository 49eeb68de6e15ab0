// A scene of the server as the picker sees it: a clip, its faces' boxes, its frames, and what a choice would sync.

import { api } from "../../../../scripts/api.js";
import { clock } from "./elements.js";
import { ask } from "./server.js";
import { say } from "../words.js";

const HIDDEN = -32768; // in the place of a box's numbers where its face isn't visible
const NUMBERS = 4; // of a box

export class Scene {
    /** The scene of a key, without any of its frames. */
    static async load(key) {
        const path = `/latentsync_dub/scenes/${key}`;
        const [facts, boxes] = await Promise.all([
            ask(path).then((answer) => answer.json()),
            ask(`${path}/boxes`).then((answer) => answer.arrayBuffer()),
        ]);
        return new Scene(path, facts, boxes);
    }

    constructor(path, facts, boxes) {
        Object.assign(this, facts); // frames, seconds, size, sample_aspect, shots, tracks, persons
        this.path = path;
        this.boxes = new DataView(boxes);
        let row = 0;
        for (const track of this.tracks) {
            track.row = row; // of its first frame in the table of boxes
            row += track.frames[1] - track.frames[0];
        }
    }

    get aspect() {
        return (this.size[0] * this.sample_aspect) / this.size[1];
    }

    /** The box of a track in a frame, or undefined. */
    box(track, frame) {
        const [first, stop] = track.frames;
        if (frame < first || frame >= stop) return undefined;
        const at = (track.row + frame - first) * NUMBERS * 2;
        if (this.boxes.getInt16(at, true) === HIDDEN) return undefined;
        return [0, 1, 2, 3].map((number) => this.boxes.getInt16(at + 2 * number, true));
    }

    /** The tracks that are visible in a frame, with their boxes. */
    facesIn(frame) {
        return this.tracks.map((track) => ({ track, box: this.box(track, frame) })).filter(({ box }) => box);
    }

    /** What a person is called, such as B for number 1. */
    letterOf(person) {
        return this.persons.find((one) => one.person === person)?.letter;
    }

    tracksOf(person) {
        return this.tracks.filter((track) => track.person === person).map(({ track }) => track);
    }

    /** A frame's time as minutes, seconds and hundredths. */
    time(frame) {
        return clock((frame / this.frames) * this.seconds);
    }

    portraitURL(track) {
        return api.apiURL(`${this.path}/portraits/${track}.jpg`);
    }

    async still(frame) {
        return (await ask(`${this.path}/frames/${frame}.jpg`)).blob();
    }

    /** Boxes of what may be a face, but isn't tracked. */
    async faint(frame) {
        return (await ask(`${this.path}/frames/${frame}/faint`)).json();
    }

    /** What Select Faces would sync with these values: {chosen, runs}; throws an Error where it couldn't. */
    async choice(values) {
        const choice = await (await ask(`${this.path}/choice?${new URLSearchParams(values)}`)).json();
        if (choice.error) throw new Error(choice.error);
        return choice;
    }
}

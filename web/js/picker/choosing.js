// What a click on a face or a person changes in Select Faces' widgets, as one step of undo.

import { app } from "../../../../scripts/app.js";
import { say } from "../words.js";
import { readTracks, writeTracks } from "./track_lists.js";

export const WIDGETS = ["by", "person", "point_x", "point_y", "frame", "tracks_on", "tracks_off"];

const without = (numbers, others) => numbers.filter((number) => !others.includes(number));

/** The values of Select Faces' widgets. */
export function readChoice(node) {
    const named = (node.widgets ?? []).filter(({ name }) => WIDGETS.includes(name));
    return Object.fromEntries(named.map(({ name, value }) => [name, value]));
}

/** Sets widgets as a user would, all of them one step of undo. Returns why it can't, or nothing. */
export function setWidgets(node, values) {
    const linked = node.inputs?.find((input) => input.link != null && input.widget?.name in values);
    if (linked) return say("{name} comes over a link; remove the link to choose here.", { name: linked.widget.name });
    app.canvas.emitBeforeChange();
    for (const [name, value] of Object.entries(values)) {
        const widget = node.widgets.find((each) => each.name === name);
        if (!widget || widget.value === value) continue;
        widget.value = value;
        widget.callback?.(value, app.canvas, node);
    }
    app.canvas.emitAfterChange();
    node.setDirtyCanvas(true, true);
    return undefined;
}

/** The changed values after a click on a person: synced alone, or left out; with `add`, synced beside others. */
export function togglePerson(scene, values, chosen, person, add) {
    const own = scene.tracksOf(person);
    const [on, off] = [readTracks(values.tracks_on), readTracks(values.tracks_off)];
    if (own.some((track) => chosen.includes(track))) return switched(without(on, own), [...off, ...own]);
    if (add) return switched([...on, ...own], without(off, own));
    return { by: "person", person, tracks_on: "", tracks_off: "" };
}

/** The changed values after a click on one face: left out, or synced again; another person's as `togglePerson`. */
export function toggleTrack(scene, values, chosen, track, person, add) {
    const [on, off] = [readTracks(values.tracks_on), readTracks(values.tracks_off)];
    if (chosen.includes(track)) return switched(without(on, [track]), [...off, track]);
    if (scene.tracksOf(person).some((own) => chosen.includes(own))) {
        const isBase = off.includes(track); // it was synced before it was left out
        return switched(isBase ? on : [...on, track], without(off, [track]));
    }
    if (add) return switched([...on, track], without(off, [track]));
    return { by: "person", person, tracks_on: "", tracks_off: "" };
}

function switched(on, off) {
    return { tracks_on: writeTracks(on), tracks_off: writeTracks(off) };
}

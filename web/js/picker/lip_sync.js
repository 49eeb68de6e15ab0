// What a click means in Lip Sync, which keeps the choice of faces and the marks in one hidden text.

import { say } from "../words.js";
import { setWidgets } from "./choosing.js";
import { withBox } from "./marking.js";

const WIDGET = "face_choice";

/** The kept values: {person, tracks_on, tracks_off, marks}, each only where it was chosen. */
function kept(node) {
    try {
        return JSON.parse(node.widgets.find(({ name }) => name === WIDGET)?.value || "{}") ?? {};
    } catch {
        return {}; // the node refuses to run with it, and says so
    }
}

function keep(node, values) {
    const worth = Object.entries(values).filter(([, value]) => value !== "" && value?.length !== 0);
    return setWidgets(node, { [WIDGET]: worth.length ? JSON.stringify(Object.fromEntries(worth)) : "" });
}

/** The choice in the words of Select Faces. */
export function readKept(node) {
    const { person, tracks_on = "", tracks_off = "" } = kept(node);
    return { by: person === undefined ? "largest" : "person", person: person ?? 0, tracks_on, tracks_off };
}

/** Keeps a changed choice, as one step of undo. Returns why it can't, or nothing. */
export function writeKept(node, { by: _, ...changed }) {
    return keep(node, { ...kept(node), ...changed });
}

export function markKept(node, box, frame) {
    const { marks = [], ...others } = kept(node);
    const failed = keep(node, { ...others, marks: withBox(marks, box, frame) });
    return failed ?? say("Marked in frame {frame}. Run the node again.", { frame });
}

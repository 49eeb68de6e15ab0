// Writes a face that is marked by hand into the marks of the Prepare Faces before a node.

import { app } from "../../../../scripts/app.js";
import { nodeOfPromptId } from "../latentsync_outputs.js";
import { say } from "../words.js";
import { setWidgets } from "./choosing.js";

const PREPARE = "LatentSyncDubPrepareFaces";
const MOST_FACES = 32; // that marks may number
const AGAIN = 0.1; // of two boxes in one frame, the overlap above which they mean one face

/** The Prepare Faces whose faces a node gets, and its values as they would be queued; or {problem}. */
async function prepareBefore(node) {
    const { output: prompt } = await app.graphToPrompt();
    const isNode = (id) => nodeOfPromptId(id) === node;
    for (let id = Object.keys(prompt).find(isNode); id !== undefined; ) {
        const { class_type: kind, inputs } = prompt[id] ?? {};
        if (kind === PREPARE) return { prepare: nodeOfPromptId(id), inputs };
        id = Array.isArray(inputs?.faces) ? String(inputs.faces[0]) : undefined;
    }
    return { problem: say("There is no LatentSync Prepare Faces before this node, so the box can't be kept.") };
}

function overlap(a, b) {
    const side = (axis) => Math.max(0, Math.min(a[axis + 2], b[axis + 2]) - Math.max(a[axis], b[axis]));
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    const common = side(0) * side(1);
    return common / (area(a) + area(b) - common);
}

/** Marks with one more box, or with another in place of that of the same face. */
export function withBox(marks, box, frame) {
    const here = marks.filter((mark) => mark.frame === frame);
    const same = here.find((mark) => mark.box && overlap(mark.box, box) > AGAIN);
    if (same) return marks.map((mark) => (mark === same ? { ...mark, box } : mark));
    const taken = new Set(here.map((mark) => mark.face ?? 0));
    const face = Array.from({ length: MOST_FACES }, (_, number) => number).find((number) => !taken.has(number));
    if (face === undefined) return marks;
    return [...marks, { frame, box, ...(face ? { face } : {}) }];
}

function readMarks(text) {
    if (!text.trim()) return [];
    const marks = JSON.parse(text);
    if (!Array.isArray(marks)) throw new Error("not a list");
    return marks;
}

export function writeMarks(marks) {
    return `[${marks.map((mark) => JSON.stringify(mark)).join(",\n ")}]`;
}

/** Adds a box to the marks of the Prepare Faces before `node`; returns a sentence on what became of it. */
export async function markFace(node, box, frame) {
    const { prepare, problem } = await prepareBefore(node);
    if (problem) return problem;
    const widget = prepare.widgets.find(({ name }) => name === "marks");
    let marks;
    try {
        marks = readMarks(widget.value);
    } catch {
        return say("The marks of LatentSync Prepare Faces aren't a list in JSON; correct or empty them first.");
    }
    const failed = setWidgets(prepare, { marks: writeMarks(withBox(marks, box, frame)) });
    return failed ?? say("Marked in frame {frame}, in the marks of {node}. Run it again.", { frame, node: prepare.title });
}

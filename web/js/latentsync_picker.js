// The face picker on our nodes: where a node's result names a scene, its picker shows that scene.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { OURS, nodeAt, nodeOfPromptId, placeOf, rootGraph } from "./latentsync_outputs.js";
import { WIDGETS, readChoice, setWidgets, togglePerson, toggleTrack } from "./picker/choosing.js";
import { markKept, readKept, writeKept } from "./picker/lip_sync.js";
import { markFace } from "./picker/marking.js";
import { addPicker } from "./picker/picker.js";
import { say } from "./words.js";

const SCENE = "latentsync_scene"; // in a node's output: the scene's key; also the message of a node that found no face
const WIDGET = "latentsync_picker";
const FOLLOWED = [...WIDGETS, "face_choice"]; // widgets whose changes a picker shows

const pickers = new Map(); // by workflow and place: {picker}, which stays when undo recreates its node

/** What a picker's clicks do, by the node's class. */
const USES = {
    LatentSyncDubSelectFaces: (node) => ({
        title: say("Choose faces in the clip"),
        chooses: true,
        read: () => readChoice(node),
        write: (values) => setWidgets(node, values),
        togglePerson,
        toggleTrack: (scene, values, chosen, track, add) =>
            toggleTrack(scene, values, chosen, track.track, track.person, add),
        mark: (box, frame) => markFace(node, box, frame),
    }),
    LatentSyncDubLipSync: (node) => ({
        title: say("Choose faces in the clip"),
        chooses: true,
        read: () => readKept(node),
        write: (values) => writeKept(node, values),
        togglePerson,
        toggleTrack: (scene, values, chosen, track, add) =>
            toggleTrack(scene, values, chosen, track.track, track.person, add),
        mark: (box, frame) => markKept(node, box, frame),
    }),
    LatentSyncDubPrepareFaces: (node) => ({
        title: say("Mark a face in the clip"),
        chooses: false,
        mark: (box, frame) => markFace(node, box, frame),
    }),
};

const pickerOf = (node) => node.widgets?.find(({ name }) => name === WIDGET);

function show(node, output) {
    const [key] = output?.[SCENE] ?? [];
    const use = USES[node.comfyClass];
    if (!use || !key) return;
    let widget = pickerOf(node);
    if (!widget) {
        const place = `${rootGraph()?.id} ${placeOf(node)}`;
        if (!pickers.has(place)) pickers.set(place, {});
        widget = addPicker(node, WIDGET, use(node), pickers.get(place));
    }
    widget.picker.setKey(key);
}

/** Has a picker follow the widgets that it stands for. */
function follow(node) {
    for (const widget of node.widgets ?? []) {
        if (!FOLLOWED.includes(widget.name)) continue;
        const before = widget.callback;
        widget.callback = function (...values) {
            const result = before?.apply(this, values);
            pickerOf(node)?.picker.refresh();
            return result;
        };
    }
}

app.registerExtension({
    name: "LatentSyncDub.Picker",

    setup() {
        api.addEventListener(SCENE, ({ detail: { node: id, key, opens } }) => {
            const node = nodeOfPromptId(id);
            if (node) show(node, { [SCENE]: [key] });
            if (node && opens) pickerOf(node)?.picker.setOpen(true);
        });
    },

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!(nodeData.name in USES)) return;
        const after = (method, then) => {
            const before = nodeType.prototype[method];
            nodeType.prototype[method] = function (...values) {
                const result = before?.apply(this, values);
                then(this, ...values);
                return result;
            };
        };
        after("onNodeCreated", follow);
        after("onExecuted", show);
    },

    afterConfigureGraph() {
        for (const [place, output] of Object.entries(app.nodeOutputs ?? {})) {
            const node = nodeAt(place);
            if (node?.comfyClass?.startsWith(OURS)) show(node, output);
        }
    },

    /** The page brings outputs back, say when its tab of the workflow is chosen again. */
    onNodeOutputsUpdated(outputs) {
        for (const [place, output] of Object.entries(outputs)) {
            const node = nodeAt(place);
            if (node?.comfyClass?.startsWith(OURS)) show(node, output);
        }
    },
});

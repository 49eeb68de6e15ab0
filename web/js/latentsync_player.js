// The button on our nodes that opens the player: where a node's result names a comparison, its filmed side and the dubbed
// one can be looked at together.

import { app } from "../../../scripts/app.js";
import { OURS, nodeAt, placeOf, rootGraph } from "./latentsync_outputs.js";
import { addStyle, element } from "./picker/elements.js";
import { openPlayer } from "./player/player.js";
import { say } from "./words.js";

const COMPARISON = "latentsync_comparison"; // in a node's output: the comparison's key
const WIDGET = "latentsync_player";
const STYLE = new URL("./picker/picker.css", import.meta.url).href;
const HEIGHT = 30; // pixels
const MARGIN = 6; // pixels around it

const buttons = new Map(); // by workflow and place; a button stays when undo recreates its node

function newButton() {
    addStyle(STYLE);
    const button = element("button", { type: "button", className: "lsd-toggle" }, [
        element("i", { className: "pi pi-images" }),
        say("Compare with the filmed picture"),
    ]);
    button.setAttribute("aria-haspopup", "dialog");
    const held = { box: element("div", { className: "lsd-picker" }, [button]) };
    button.addEventListener("click", () => openPlayer(held.key));
    for (const kind of ["keydown", "keyup", "keypress", "pointerdown"])
        button.addEventListener(kind, (event) => {
            if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
        });
    return held;
}

function show(node, output) {
    const [key] = output?.[COMPARISON] ?? [];
    if (!key) return;
    const place = `${rootGraph()?.id} ${placeOf(node)}`;
    if (!buttons.has(place)) buttons.set(place, newButton());
    const held = buttons.get(place);
    held.key = key;
    if (node.widgets?.some(({ name }) => name === WIDGET)) return;
    const height = () => HEIGHT + 2 * MARGIN;
    const sizes = { getMinHeight: height, getMaxHeight: height };
    const options = { serialize: false, hideOnZoom: false, hideInPanel: true, margin: MARGIN, ...sizes };
    const widget = node.addDOMWidget(WIDGET, WIDGET, held.box, options); // the option keeps it out of the prompt
    widget.serialize = false; // not in the saved workflow
    const least = node.computeSize()[1];
    if (node.size[1] < least) node.setSize([node.size[0], least]);
    node.setDirtyCanvas(true, true);
}

function showAll(outputs) {
    for (const [place, output] of Object.entries(outputs ?? {})) {
        const node = nodeAt(place);
        if (node?.comfyClass?.startsWith(OURS)) show(node, output);
    }
}

app.registerExtension({
    name: "LatentSyncDub.Player",

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith(OURS)) return;
        const before = nodeType.prototype.onExecuted;
        nodeType.prototype.onExecuted = function (output) {
            before?.apply(this, arguments);
            show(this, output);
        };
    },

    afterConfigureGraph() {
        showAll(app.nodeOutputs);
    },

    /** The page brings outputs back, say when its tab of the workflow is chosen again. */
    onNodeOutputsUpdated(outputs) {
        showAll(outputs);
    },
});

// Shows on our nodes what ComfyUI's page doesn't show of itself: lines of text, and a player for the voice.
// Pictures and videos need nothing of this.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const OURS = "LatentSyncDub"; // how our node ids begin
const LINE_HEIGHT = 17; // pixels
const MOST_LINES = 6; // more of them scroll
const PLAYER_HEIGHT = 40; // pixels
const MARGIN = 4; // pixels around what is shown

// What a node returned in its `ui`, by key, and how that is shown. Each becomes a widget of its own.
const VIEWS = {
    text: {
        element() {
            const box = document.createElement("div");
            box.style.cssText = `overflow: auto; padding: 0 8px; box-sizing: border-box; user-select: text;
                font: 12px/${LINE_HEIGHT}px sans-serif; white-space: pre-wrap; color: var(--input-text, #ddd);`;
            return box;
        },
        fill(box, lines) {
            box.textContent = lines.join("\n");
        },
        height: (lines) => LINE_HEIGHT * Math.min(lines.length + 1, MOST_LINES), // one more, as long ones wrap
    },
    voice: {
        element() {
            const player = document.createElement("audio");
            player.controls = true;
            player.preload = "metadata";
            player.style.cssText = `width: 100%; height: ${PLAYER_HEIGHT}px;`;
            return player;
        },
        fill(player, [file]) {
            const source = api.apiURL(`/view?${new URLSearchParams(file)}`);
            if (player.dataset.source === source) return; // it may be playing
            player.dataset.source = source;
            player.src = source;
        },
        height: () => PLAYER_HEIGHT,
    },
};

/** Shows one entry of a node's output, or takes away what was shown before if there is none now. */
function show(node, key, entries) {
    const name = `latentsync_${key}`;
    let widget = node.widgets?.find((each) => each.name === name);
    if (!entries?.length) {
        if (widget) node.removeWidget(widget);
        return;
    }
    const view = VIEWS[key];
    if (!widget) {
        const height = () => view.height(widget.entries) + 2 * MARGIN;
        const options = { serialize: false, hideOnZoom: false, margin: MARGIN, getMinHeight: height, getMaxHeight: height };
        widget = node.addDOMWidget(name, name, view.element(), options);
        widget.serialize = false; // not in the saved workflow; the option above keeps it out of the prompt
    }
    widget.entries = entries;
    view.fill(widget.element, entries);
    const [width, least] = [node.size[0], node.computeSize()[1]];
    if (node.size[1] < least) node.setSize([width, least]);
    node.setDirtyCanvas(true, true);
}

function showAll(node, output) {
    for (const key of Object.keys(VIEWS)) show(node, key, output?.[key]);
}

/** The node behind a key of the page's outputs: an id, in a subgraph after the subgraph's own id and a colon. */
function nodeAt(place) {
    const [id, subgraph] = String(place).split(":").reverse();
    const graph = subgraph ? app.graph?.rootGraph?.subgraphs?.get(subgraph) : (app.graph?.rootGraph ?? app.graph);
    return graph?.getNodeById(Number(id));
}

app.registerExtension({
    name: "LatentSyncDub.Views",

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith(OURS)) return;
        const before = nodeType.prototype.onExecuted;
        nodeType.prototype.onExecuted = function (output) {
            before?.apply(this, arguments);
            showAll(this, output);
        };
        // The page's own player of a result is a widget whose empty value would go into the next prompt: the node would
        // then run a second time for nothing.
        const addDOMWidget = nodeType.prototype.addDOMWidget;
        nodeType.prototype.addDOMWidget = function (name, type, element, options) {
            const kept = name === "video-preview" ? { ...options, serialize: false } : options;
            return addDOMWidget.call(this, name, type, element, kept);
        };
    },

    /** The page brings outputs back, say when its tab of the workflow is chosen again. */
    onNodeOutputsUpdated(outputs) {
        for (const [place, output] of Object.entries(outputs)) {
            const node = nodeAt(place);
            if (node?.comfyClass?.startsWith(OURS)) showAll(node, output);
        }
    },
});

// Shows on our nodes what ComfyUI's page doesn't show of itself: lines of text, and players for voices. It shows
// pictures and videos without help.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { OURS, dropPreview, nodeAt, nodeOfPromptId, placeOf } from "./latentsync_outputs.js";

const LINE_HEIGHT = 17; // pixels
const LETTER_WIDTH = 6.5; // pixels, of a letter that is rather wide
const MOST_LINES = 6; // more of them scroll
const PLAYER_HEIGHT = 40; // pixels
const MARGIN = 4; // pixels around what is shown

function newPlayer() {
    const player = document.createElement("audio");
    player.controls = true;
    player.preload = "metadata";
    player.style.cssText = `display: block; width: 100%; height: ${PLAYER_HEIGHT}px;`;
    return player;
}

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
        height(lines, width) {
            const letters = Math.max(1, (width - 40) / LETTER_WIDTH); // in a line
            const rows = lines.reduce((sum, line) => sum + Math.ceil(line.length / letters), 0);
            return LINE_HEIGHT * Math.min(rows, MOST_LINES);
        },
    },
    voice: {
        element() {
            return document.createElement("div");
        },
        fill(box, files) {
            while (box.children.length > files.length) box.lastChild.remove();
            for (const [place, file] of files.entries()) {
                const source = api.apiURL(`/view?${new URLSearchParams(file)}`);
                const player = box.children[place] ?? box.appendChild(newPlayer());
                if (player.dataset.source === source) continue; // it may be playing
                player.dataset.source = source;
                player.src = source;
            }
        },
        height: (files) => PLAYER_HEIGHT * files.length,
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
        const height = () => view.height(widget.entries, node.size[0]) + 2 * MARGIN;
        const heights = { getMinHeight: height, getMaxHeight: height };
        const options = { serialize: false, hideOnZoom: false, hideInPanel: true, margin: MARGIN, ...heights };
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

app.registerExtension({
    name: "LatentSyncDub.Views",

    setup() {
        // On a node that shows a video the page plays the pictures of a running sampler as videos, too, which its own
        // policy forbids: the first run's preview would be an error in the second one's.
        api.addEventListener("b_preview_with_metadata", ({ detail }) => {
            const node = nodeOfPromptId(detail.displayNodeId ?? detail.nodeId);
            if (node && app.nodeOutputs[placeOf(node)]?.animated) dropPreview(node);
        });
    },

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith(OURS)) return;
        const before = nodeType.prototype.onExecuted;
        nodeType.prototype.onExecuted = function (output) {
            before?.apply(this, arguments);
            showAll(this, output);
            if (output?.animated) dropPreview(this);
        };
        // A preview that was loading when the result came is there only afterwards.
        const draw = nodeType.prototype.onDrawBackground;
        nodeType.prototype.onDrawBackground = function () {
            if (this.previewMediaType === "video" && this.imgs) dropPreview(this);
            return draw?.apply(this, arguments);
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

// The line of text that says how far a running node is: the page shows it, and would go on showing it beside the result.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { OURS, nodeOfPromptId } from "./latentsync_outputs.js";

const LINE = "$$node-text-preview"; // the page's widget for it
const ENDINGS = ["execution_success", "execution_error", "execution_interrupted"];

const heights = new Map(); // our nodes that show a line, and the height that each had before

function takeLineAway(node) {
    const line = node.widgets?.find(({ name }) => name === LINE);
    if (line) node.removeWidget(line);
    const least = Math.max(heights.get(node), node.computeSize()[1]);
    if (node.size[1] > least) node.setSize([node.size[0], least]);
    heights.delete(node);
    node.setDirtyCanvas(true, true);
}

app.registerExtension({
    name: "LatentSyncDub.Progress",

    setup() {
        api.addEventListener("progress_state", ({ detail }) => {
            for (const [id, { state, display_node_id: shown }] of Object.entries(detail.nodes ?? {})) {
                const node = state === "finished" ? nodeOfPromptId(shown ?? id) : undefined;
                if (heights.has(node)) takeLineAway(node);
            }
        });
        for (const ending of ENDINGS) api.addEventListener(ending, () => [...heights.keys()].forEach(takeLineAway));
    },

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith(OURS)) return;
        const before = nodeType.prototype.addCustomWidget;
        nodeType.prototype.addCustomWidget = function (widget) {
            if (widget.name === LINE) heights.set(this, this.size[1]);
            return before.apply(this, arguments);
        };
    },
});

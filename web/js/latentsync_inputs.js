// Inputs of our nodes as the page doesn't show them of itself: a new node's seed stays, so that a cancelled job goes on
// when it is queued again; the list of models says how large each is.

import { app } from "../../../scripts/app.js";

const OURS = "LatentSyncDub"; // how our node ids begin
const LABELS = "latentsync_labels"; // in an input's description: what the list shows for some of its values

/** Has the page leave a new node's seed alone; a saved node's own choice comes afterwards. */
function keepSeed(node) {
    const seed = node.widgets?.find(({ name }) => name === "seed");
    const [control] = seed?.linkedWidgets ?? [];
    if (!control) return;
    control.value = "fixed";
    control.options.advanced = seed.options?.advanced; // new nodes show and hide it with the seed
}

/** Shows each value of a list by its label, where the page knows how; the value itself is unchanged. */
function showLabels(node, inputs) {
    for (const widget of node.widgets ?? []) {
        const labels = inputs[widget.name]?.[1]?.[LABELS];
        if (labels) widget.options.getOptionLabel = (value) => labels[value] ?? value ?? "";
    }
}

app.registerExtension({
    name: "LatentSyncDub.Inputs",

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith(OURS)) return;
        const inputs = { ...nodeData.input?.required, ...nodeData.input?.optional };
        const before = nodeType.prototype.onNodeCreated;
        nodeType.prototype.onNodeCreated = function () {
            const result = before?.apply(this, arguments);
            keepSeed(this);
            showLabels(this, inputs);
            return result;
        };
    },
});

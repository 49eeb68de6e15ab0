// The quality of the nodes that sample: workflows from before there was one keep their own settings, and settings that
// don't count are shown disabled.

import { app } from "../../../scripts/app.js";

const OURS = "LatentSyncDub"; // how our node ids begin
const CUSTOM = "custom"; // the quality with which a node's own settings count
// Widgets that any other quality decides.
const DECIDED = [
    "steps", "cfg", "scheduler", "cfg_start", "cfg_end", "cfg_rescale", "reuse_interval", "reuse_change",
];

const qualityOf = (node) => node.widgets?.find(({ name }) => name === "quality");

/** Disables the widgets that don't count; a quality that comes over a link may be any, so that all may count. */
function showWhatCounts(node) {
    const linked = node.inputs?.some((input) => input.widget?.name === "quality" && input.link != null);
    const counts = linked || qualityOf(node).value === CUSTOM;
    for (const widget of node.widgets) if (DECIDED.includes(widget.name)) widget.disabled = !counts;
    node.setDirtyCanvas(true, true);
}

/** Whether a saved node lacks the value; saved widgets lie in their order, without those that aren't saved. */
function isFromBefore(node, saved) {
    if (!Array.isArray(saved)) return saved != null && saved.quality == null;
    const place = node.widgets.filter((widget) => widget.serialize !== false).indexOf(qualityOf(node));
    return saved[place] == null;
}

app.registerExtension({
    name: "LatentSyncDub.Quality",

    async beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith(OURS) || !nodeData.input?.optional?.quality) return;
        const after = (method, then) => {
            const before = nodeType.prototype[method];
            nodeType.prototype[method] = function (...values) {
                const result = before?.apply(this, values);
                if (qualityOf(this)) then(this, ...values);
                return result;
            };
        };
        after("onNodeCreated", (node) => {
            const quality = qualityOf(node);
            const before = quality.callback;
            quality.callback = function (...values) {
                before?.apply(this, values);
                showWhatCounts(node);
            };
            showWhatCounts(node);
        });
        after("onConfigure", (node, info) => {
            if (isFromBefore(node, info.widgets_values)) qualityOf(node).value = CUSTOM;
            showWhatCounts(node);
        });
        after("onAdded", (node) => showWhatCounts(node)); // the page may bring back what an earlier node of its id had
        after("onConnectionsChange", (node) => showWhatCounts(node));
    },
});

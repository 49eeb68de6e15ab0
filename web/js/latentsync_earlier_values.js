// Workflows from before a widget existed keep their result: such a widget gets the value that does what was done then.

import { app } from "../../../scripts/app.js";

const OURS = "LatentSyncDub"; // how our node ids begin
const EARLIER = { region: "mouth", match_color: 0, match_grain: 0 }; // what was done before there was a choice

/** Whether a saved node lacks a widget's value; saved widgets lie in their order, without those that aren't saved. */
function lacks(node, saved, widget) {
    if (!Array.isArray(saved)) return saved != null && saved[widget.name] == null;
    return saved[node.widgets.filter(({ serialize }) => serialize !== false).indexOf(widget)] == null;
}

app.registerExtension({
    name: "LatentSyncDub.EarlierValues",

    async beforeRegisterNodeDef(nodeType, nodeData) {
        const optional = nodeData.input?.optional ?? {};
        if (!nodeData.name.startsWith(OURS) || !Object.keys(EARLIER).some((name) => name in optional)) return;
        const before = nodeType.prototype.onConfigure;
        nodeType.prototype.onConfigure = function (info, ...others) {
            const result = before?.call(this, info, ...others);
            for (const widget of this.widgets ?? []) {
                if (widget.name in EARLIER && lacks(this, info.widgets_values, widget)) widget.value = EARLIER[widget.name];
            }
            return result;
        };
    },
});

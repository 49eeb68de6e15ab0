// What the page holds of our nodes' outputs: finds it, brings it back after the page was loaded again, and drops the
// sampler's last preview.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

export const OURS = "LatentSyncDub"; // how our node ids begin
const RUNS_LOOKED_AT = 20; // the latest of the server's history

const seen = new Set(); // ids of the workflows whose outputs were brought back, or that began without any

export const rootGraph = () => app.rootGraph ?? app.graph?.rootGraph ?? app.graph;

/** The page's own store of outputs, which no public name leads to; undefined in pages that are built otherwise. */
const outputStore = () => app.extensionManager?._p?._s?.get("nodeOutput");

/** A node's key in the page's outputs: its id, in a subgraph after the subgraph's own id and a colon. */
export const placeOf = (node) => (node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : String(node.id));

/** The node behind such a key. */
export function nodeAt(place) {
    const [id, subgraph] = String(place).split(":").reverse();
    const graph = subgraph ? rootGraph()?.subgraphs?.get(subgraph) : rootGraph();
    return graph?.getNodeById(Number(id));
}

/** Both kinds of nodes would go on showing the sampler's last preview beside the finished video. */
export function dropPreview(node) {
    const place = placeOf(node);
    outputStore()?.revokePreviewsByLocatorId?.(place); // Vue nodes
    delete app.nodePreviewImages?.[place];
    node.imgs = undefined; // classic nodes
    const frame = node.widgets?.find((each) => each.name === "$$canvas-image-preview");
    if (frame) node.removeWidget(frame);
}

/** What a workflow's latest runs showed on our nodes, by the nodes' ids in the prompt; {} where nothing is known. */
async function outputsInHistory(workflow) {
    const answer = await api.fetchApi(`/history?max_items=${RUNS_LOOKED_AT}`);
    const runs = answer.ok ? Object.values(await answer.json()) : []; // the latest is the last
    const found = {};
    for (const { prompt, outputs } of runs) {
        const [, , nodes, extra] = prompt ?? [];
        if (extra?.extra_pnginfo?.workflow?.id !== workflow) continue;
        for (const [id, output] of Object.entries(outputs ?? {}))
            if (nodes[id]?.class_type?.startsWith(OURS)) found[id] = output;
    }
    return found;
}

/** One of our nodes, from its id in a prompt: the ids of the subgraph nodes around it, and its own. */
export function nodeOfPromptId(id) {
    let graph = rootGraph();
    const ids = String(id).split(":").map(Number);
    for (const around of ids.slice(0, -1)) graph = graph?.getNodeById(around)?.subgraph;
    const node = graph?.getNodeById(ids.at(-1));
    return node?.comfyClass?.startsWith(OURS) ? node : undefined;
}

/** A page that was loaded again has the workflow, but not what its nodes showed: that is in the server's history. */
async function bringBackOutputs() {
    const workflow = rootGraph()?.id;
    if (!workflow || seen.has(workflow)) return;
    seen.add(workflow);
    const found = Object.entries(await outputsInHistory(workflow));
    if (rootGraph()?.id !== workflow) return; // another one was opened meanwhile
    const missing = found
        .map(([id, output]) => [nodeOfPromptId(id), output])
        .filter(([node]) => node && !app.nodeOutputs[placeOf(node)])
        .map(([node, output]) => [placeOf(node), output]);
    if (!missing.length) return;
    const outputs = { ...app.nodeOutputs, ...Object.fromEntries(missing) };
    const store = outputStore();
    if (store?.restoreOutputs) store.restoreOutputs(outputs); // Vue nodes look there alone
    else app.nodeOutputs = outputs;
}

app.registerExtension({
    name: "LatentSyncDub.Outputs",

    afterConfigureGraph() {
        bringBackOutputs().catch((problem) => console.warn(`LatentSync Dub: no earlier outputs (${problem})`));
    },
});

// Gives the wires and sockets of our types a colour each, where a colour palette brings none for them.

import { app } from "../../../scripts/app.js";

const COLORS = {
    LATENTSYNC_MODEL: "#B39DDB",
    LATENTSYNC_AUDIO: "#4DB6AC",
    LATENTSYNC_FACES: "#FFB74D",
    LATENTSYNC_LINES: "#DCE775",
    LATENTSYNC_TREPA: "#90A4AE",
    LATENTSYNC_SYNCED: "#F06292",
};

function color() {
    const sockets = app.canvas?.default_connection_color_byType;
    const wires = app.canvas?.constructor.link_type_colors;
    const style = document.documentElement.style;
    for (const [type, value] of Object.entries(COLORS)) {
        for (const colors of [sockets, wires]) {
            if (colors && !colors[type]) colors[type] = value; // a palette without ours sets it to ""
        }
        const name = `--color-datatype-${type}`; // Vue's sockets
        if (!style.getPropertyValue(name)) style.setProperty(name, value);
    }
}

app.registerExtension({
    name: "LatentSyncDub.Colors",
    setup: color,
    afterConfigureGraph: color, // a palette that was chosen since may have cleared them
});

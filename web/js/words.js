// The extension's own words in the page's language; in English where there is no translation (dev/translations).

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const OURS = "latentsyncDub"; // in a language's main.json
const LANGUAGE = "Comfy.Locale";

let words = {}; // translations by the English text

/** A text in the page's language; `{name}` in it stands for `values.name`. */
export function say(english, values = {}) {
    const text = words[english] ?? english;
    return text.replace(/\{(\w+)\}/g, (placeholder, name) => values[name] ?? placeholder);
}

async function load() {
    const language = app.ui?.settings?.getSettingValue?.(LANGUAGE) ?? "en";
    words = {};
    if (language === "en") return;
    try {
        const answer = await api.fetchApi("/i18n");
        words = (await answer.json())[language]?.[OURS] ?? {};
    } catch (problem) {
        console.warn(`LatentSync Dub: no translations (${problem})`);
    }
}

app.registerExtension({
    name: "LatentSyncDub.Words",

    async init() {
        await load();
        app.ui?.settings?.addEventListener?.(`${LANGUAGE}.change`, load);
    },
});

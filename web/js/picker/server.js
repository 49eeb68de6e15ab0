// Asks ComfyUI's server on behalf of the picker and the player.

import { api } from "../../../../scripts/api.js";

/** The server's answer; throws an Error with its sentence where it has none. */
export async function ask(path, options) {
    let answer;
    try {
        answer = await api.fetchApi(path, options);
    } catch {
        throw new Error("ComfyUI's server doesn't answer.");
    }
    if (!answer.ok) throw new Error(answer.status < 500 ? await answer.text() : `The server failed (${answer.status}).`);
    return answer;
}

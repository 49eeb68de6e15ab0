// Asks ComfyUI's server on behalf of the picker and the player.

import { api } from "../../../../scripts/api.js";
import { say } from "../words.js";

/** The server's answer; throws an Error with its sentence where it has none. */
export async function ask(path, options) {
    let answer;
    try {
        answer = await api.fetchApi(path, options);
    } catch {
        throw new Error(say("ComfyUI's server doesn't answer."));
    }
    const { ok, status } = answer;
    if (!ok) throw new Error(status < 500 ? await answer.text() : say("The server failed ({status}).", { status }));
    return answer;
}

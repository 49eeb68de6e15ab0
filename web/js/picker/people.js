// The persons of a clip: a portrait each, which is pressed while the person is synced.

import { say } from "../words.js";
import { element } from "./elements.js";

export class People {
    /** `onPerson(person, add)` is called for a click. */
    constructor({ onPerson }) {
        this.onPerson = onPerson;
        this.element = element("div", { className: "lsd-people" });
        this.element.setAttribute("role", "group");
        this.element.setAttribute("aria-label", say("Persons"));
        this.buttons = new Map();
    }

    setScene(scene) {
        this.buttons = new Map(
            scene.persons.map(({ person, letter, portrait }) => {
                const picture = element("img", { src: scene.portraitURL(portrait), alt: "", loading: "lazy" });
                const note = element("small");
                const text = element("span", {}, [say("person {person}", { person: letter }), note]);
                const button = element("button", { className: "lsd-person", type: "button" }, [picture, text]);
                button.addEventListener("click", (event) => this.onPerson(person, event.shiftKey));
                return [person, { button, note }];
            }),
        );
        this.element.replaceChildren(...[...this.buttons.values()].map(({ button }) => button));
    }

    /** `state(person)` tells of a person: {synced, note}. */
    setState(state) {
        for (const [person, { button, note }] of this.buttons) {
            const { synced, note: text } = state(person);
            button.classList.toggle("lsd-synced", synced);
            button.setAttribute("aria-pressed", String(synced));
            note.textContent = text;
        }
    }
}

// Which frame is shown: a slider, the shots' first frames before and after, and the time.

import { say } from "../words.js";
import { element } from "./elements.js";

export class Controls {
    /** `onSeek(frame)` is called when another frame is wanted. */
    constructor({ onSeek }) {
        this.onSeek = onSeek;
        this.slider = element("input", { type: "range", min: 0, max: 0, step: 1, value: 0 });
        this.slider.setAttribute("aria-label", say("Frame"));
        this.slider.addEventListener("input", () => onSeek(Number(this.slider.value)));
        this.time = element("output");
        const jump = (icon, label, target) => {
            const button = element("button", { type: "button", title: label }, [element("i", { className: icon })]);
            button.setAttribute("aria-label", label);
            button.addEventListener("click", () => onSeek(target(Number(this.slider.value))));
            return button;
        };
        const starts = () => this.scene.shots.map(([first]) => first);
        this.element = element("div", { className: "lsd-controls" }, [
            jump(
                "pi pi-step-backward",
                say("To the shot before"),
                (now) => starts().findLast((first) => first < now) ?? 0,
            ),
            this.slider,
            jump(
                "pi pi-step-forward",
                say("To the next shot"),
                (now) => starts().find((first) => first > now) ?? now,
            ),
            this.time,
        ]);
    }

    setScene(scene) {
        this.scene = scene;
        this.slider.max = scene.frames - 1;
    }

    seek(frame) {
        this.slider.value = frame;
        const text = say("{time} · frame {frame}", { time: this.scene.time(frame), frame });
        this.time.textContent = text;
        this.slider.setAttribute("aria-valuetext", text);
    }
}

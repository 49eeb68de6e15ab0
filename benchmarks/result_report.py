"""How well a report tells dubs apart: python -m benchmarks.result_report --people 6

Rendered people of the test split: the film is the person in silence, the result the same one speaking, so that the dub
is perfect. It is measured with its own voice, with that 5 frames late, with another person's, and with silence.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from latentsync_core.audio.wav import write_float_wav
from latentsync_core.result_report.findings import Finding, find
from latentsync_core.result_report.reporting import report_on
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import talking_head
from training.synthetic.speech.performance import LANGUAGES, silent_performance

RATE, LATE = 16_000, 5  # Hz; frames at 25 fps
SIZE = (256, 256)
EXPECTED = {
    "its own": Finding.IN_SYNC,
    f"{LATE} frames late": Finding.LATE,
    "another person's": Finding.ANOTHER_VOICE,
    "silence": Finding.NO_SPEECH,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="number of the first; thresholds were set on 0 to 4")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in EXPECTED}  # confidence, distance, offset
    findings: dict[str, Counter[str]] = {name: Counter() for name in EXPECTED}
    numbers = range(options.first, options.first + options.people + 1)
    heads = {
        number: talking_head(number, list(LANGUAGES)[number % len(LANGUAGES)], options.seconds, size=SIZE, split="test")
        for number in numbers
    }
    for number in numbers[:-1]:
        head = heads[number]
        with tempfile.TemporaryDirectory() as name:
            folder, voice = Path(name), head.waveform
            silent = silent_performance(options.seconds)
            language = list(LANGUAGES)[number % len(LANGUAGES)]
            filmed = talking_head(number, language, options.seconds, size=SIZE, split="test", performance=silent)
            write_clip(filmed, folder / "source.mp4", sound=False)
            write_clip(head, folder / "result.mp4", sound=False)
            late = np.concatenate([np.zeros(LATE * RATE // 25, np.float32), voice])[: len(voice)]
            sounds = (voice, late, heads[number + 1].waveform, np.zeros_like(voice))
            for kind, sound in zip(EXPECTED, sounds, strict=True):
                path = folder / "voice.wav"
                write_float_wav(path, RATE, 1, len(sound), [torch.from_numpy(sound)[None]])
                report = report_on(folder / "result.mp4", folder / "source.mp4", path, work_folder=folder)
                (person,) = report.measures.people
                finding = find(person, report.measures.speech, report.networks)
                findings[kind][finding.value if finding else ""] += 1
                if score := person.sync:
                    found[kind].append((score.confidence, score.distance, score.offset))
                    print(number, kind, [round(value, 3) for value in found[kind][-1]], flush=True)
    print("\n| sound | confidence | least distance | offsets | findings |\n| --- | --- | --- | --- | --- |")
    for kind, values in found.items():
        confidence, distance, offsets = zip(*values, strict=True) if values else ((), (), ())
        ranges = [f"{min(one):.2f} to {max(one):.2f}" if one else "" for one in (confidence, distance)]
        counts = ", ".join(f"{count} {name}" for name, count in findings[kind].items())
        print(f"| {kind} | {ranges[0]} | {ranges[1]} | {' '.join(f'{one:+d}' for one in offsets)} | {counts} |")


if __name__ == "__main__":
    main()

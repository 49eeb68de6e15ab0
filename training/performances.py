"""An archive of spoken performances, for machines that render clips but have no voices, as a rented GPU.

``python -m training.takes --clips 900 --archive FILE`` writes it: of every take the sounds, which move the mouth, and
the waveform, 16 bits without loss; 900 takes are 54 MB. ``training.takes --performances FILE`` renders from it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from latentsync_core.errors import OptionError

from .synthetic.speech.performance import Performance, Voice, sample_articulation
from .synthetic.speech.visemes import MouthMotion, Sound

SCALE = 32767  # of a sample of 16 bits
COMPRESSION = zipfile.ZIP_LZMA  # noise keeps speech from shrinking by more than a quarter with any


def write_performances(performances: dict[int, Performance], path: Path) -> None:
    """Writes performances by their take's number; what is at `path` is replaced once all are written."""
    partial = path.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", COMPRESSION) as archive:
        for number, said in performances.items():
            levels = (np.clip(said.waveform, -1, 1) * SCALE).round().astype("<i2")
            archive.writestr(f"{number}.pcm", np.diff(levels, prepend=np.int16(0)).tobytes())
            sounds = {"voice": asdict(said.voice), "sounds": [asdict(sound) for sound in said.mouth.sounds]}
            archive.writestr(f"{number}.json", json.dumps(sounds))
    partial.replace(path)


def read_performance(path: Path, number: int, person: int) -> Performance:
    """The performance of a take, spoken by the person of seed `person`. OptionError where the archive lacks it."""
    with zipfile.ZipFile(path) as archive:
        if f"{number}.json" not in archive.namelist():
            raise OptionError(f"{path} has no clip {number}; write it again for {number + 1} clips or more.")
        content = json.loads(archive.read(f"{number}.json"))
        levels = np.cumsum(np.frombuffer(archive.read(f"{number}.pcm"), "<i2"), dtype=np.int16)
    mouth = MouthMotion([Sound(**sound) for sound in content["sounds"]], sample_articulation(person))
    return Performance(Voice(**content["voice"]), (), (), levels.astype(np.float32) / SCALE, mouth)

"""Values as other packs send them: clips in memory, edited clips, lazy and odd sounds, images with alpha."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import folder_paths  # noqa: TID251
import numpy as np
import torch
from comfy_api.latest import InputImpl  # noqa: TID251

from .made_nodes import ANYTHING, NODE_CLASS_MAPPINGS, node


def in_inputs(file: str) -> Path:
    """A file of the input folder."""
    return Path(folder_paths.get_input_directory(), file)


@node("VIDEO", file="STRING")
def video_of_bytes(file: str) -> Any:
    """A VIDEO whose stream source is a BytesIO."""
    return InputImpl.VideoFromFile(io.BytesIO(in_inputs(file).read_bytes()))


@node("VIDEO", place="STRING")
def video_at(place: str) -> Any:
    """A VIDEO of any path or address, as a pack that downloads may hand it on."""
    return InputImpl.VideoFromFile(place)


@node("VIDEO", file="STRING", edited="STRING")
def edited_video(file: str, edited: str) -> Any:
    """A VIDEO with pending edits and a trim, as ComfyUI 0.38 makes them: its stream source is the file of before, and
    what it writes is edited and trimmed."""

    class EditedVideo(InputImpl.VideoFromFile):
        def has_pending_frame_edits(self) -> bool:
            return True

        def get_active_trim_window(self) -> tuple[float, float]:
            return 0.2, 0.4

        def save_to(self, path: Any, format: Any = "auto", crf: float | None = None) -> None:
            if crf != 0:
                raise ValueError("this would be a copy with losses")
            path.write(in_inputs(edited).read_bytes())

    return EditedVideo(str(in_inputs(file)))


class LazySound(Mapping):
    """Decoded when looked at, and no dict: what VHS sends as AUDIO."""

    def __init__(self, sound: Mapping) -> None:
        self._sound = sound

    def __getitem__(self, key: str) -> Any:
        return self._sound[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sound)

    def __len__(self) -> int:
        return len(self._sound)


@node("AUDIO", audio="AUDIO", kind=["lazy", "float64", "5.1", "none", "silent of no length", "not a number"])
def awkward_audio(audio: Mapping, kind: str) -> Any:
    """The sound in another of the forms that occur."""
    wave, rate = audio["waveform"], audio["sample_rate"]
    return {
        "lazy": LazySound(audio),
        "float64": {"waveform": wave.double(), "sample_rate": rate},
        "5.1": {"waveform": wave.mean(1, keepdim=True).repeat(1, 6, 1), "sample_rate": rate},
        "none": None,
        "silent of no length": {"waveform": wave[..., :0], "sample_rate": rate},
        "not a number": {"waveform": wave * float("nan"), "sample_rate": rate},
    }[kind]


@node("IMAGE", image="IMAGE")
def add_alpha(image: torch.Tensor) -> torch.Tensor:
    """RGB to RGBA."""
    return torch.cat([image, torch.full_like(image[..., :1], 0.5)], dim=-1)


@node("IMAGE", image="IMAGE", count="INT")
def first_images(image: torch.Tensor, count: int) -> torch.Tensor:
    """Some of a batch, or none."""
    return image[:count]


@node("IMAGE", image="IMAGE")
def beyond_white(image: torch.Tensor) -> torch.Tensor:
    """Values that no 8 or 16 bits hold, some of them outside of [0, 1], as colour grading in floats makes them."""
    return image * 1.234567 - 0.0123456


@node(ANYTHING, kind=["a string", "a latent"])
def anything(kind: str) -> Any:
    """A value that fits every socket, whatever it is."""
    return {"a string": "clip.mp4", "a latent": {"samples": torch.zeros(1, 4, 8, 8)}}[kind]


@node(ANYTHING, text="STRING")
def any_value(text: str) -> Any:
    """What the JSON text says, on a socket that fits everywhere; NaN and Infinity are numbers in it."""
    return json.loads(text)


@node("LATENTSYNC_FACES", faces="LATENTSYNC_FACES", file="STRING", by="STRING")
def overwrite(faces: Any, file: str, by: str) -> Any:
    """Faces go through; meanwhile their clip's file is replaced."""
    shutil.copyfile(in_inputs(by), in_inputs(file))
    return faces


@node("VIDEO", meta_batch=("VHS_BatchManager", {"lazy": True}), file="STRING")
def load_slice(file: str, meta_batch: Any = None) -> Any:
    """A loader in a meta batch. It never asks for its manager, so a stand-in for that, which can't run, will do."""
    return InputImpl.VideoFromFile(str(in_inputs(file)))


NODE_CLASS_MAPPINGS["TestLoadSlice"].check_lazy_status = lambda _self, **_values: []


@node("AUDIO", text="STRING")
def speak_text(text: str) -> dict:
    """A speech synthesis that knows one vowel: a tenth of a second of it for each letter, between silences."""
    time = torch.arange(round(0.1 * len(text) * 24000)) / 24000
    vowel = sum(torch.sin(2 * torch.pi * 150 * number * time) / number for number in range(1, 9))
    return {"waveform": torch.nn.functional.pad(0.2 * vowel, (6000, 2400))[None, None], "sample_rate": 24000}


@node("IMAGE", image="IMAGE", file="STRING")
def named_images(image: torch.Tensor, file: str) -> torch.Tensor:
    """Frames of a node that says which file they come from."""
    return image


@node("AUDIO", text="STRING")
def speak_english(text: str) -> dict:
    """A speech synthesis that runs offline, in the tests' own Python: this one may lack its package."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.npz"
        command = [os.environ["LATENTSYNC_TEST_PYTHON"], "-m", "tests.dubbing.speech_synthesis", text, str(spoken)]
        subprocess.run(command, cwd=Path(__file__).resolve().parents[3], check=True)
        with np.load(spoken) as made:
            return {"waveform": torch.from_numpy(made["samples"])[None, None], "sample_rate": int(made["rate"])}

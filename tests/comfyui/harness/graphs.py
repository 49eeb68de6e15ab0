"""Prompts for the server tests: the five stages with any of their inputs changed, and small clips to put through."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import SCENE, TWO_PEOPLE, VOICE
from tests.comfyui.harness.server import ComfyServer, Run
from tests.comfyui.harness.workflow_to_prompt import widget_values

MODEL = "untrained (demonstration)"
FRAMES = 12  # one window
SIZE = (256, 144)
SECONDS = FRAMES / 25
LINE_SECONDS = 2.4
PICTURE = ("-ss", "2", "-i", str(SCENE), "-t", str(SECONDS), "-vf", f"scale={SIZE[0]}:{SIZE[1]}")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-c:a", "aac")
MATERIAL = {  # what the server's input folder holds: {file: ffmpeg's arguments}
    "clip.mp4": (*PICTURE, *H264),  # its index at the end
    "lossless.mkv": (*PICTURE, "-c:v", "ffv1", "-an"),
    "silent.mp4": (*PICTURE, *H264, "-an"),
    "mirrored.mp4": (*PICTURE[:-1], f"hflip,scale={SIZE[0]}:{SIZE[1]}", *H264, "-an"),
    # 32 frames, two windows that share none: the first is finished before the second begins
    "longer.mp4": ("-ss", "2", "-i", str(SCENE), "-t", "1.28", "-vf", "scale=256:144", *H264, "-an"),
    # six frames of two people, six of one of them alone
    "two.mp4": ("-ss", "4.68", "-i", str(TWO_PEOPLE), "-t", str(SECONDS), *H264),
    "no_face.mp4": ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=0.4", *H264),
    # a line of the scene's, long enough to find who speaks, and the same in English
    "line.mp4": ("-ss", "0.3", "-i", str(SCENE), "-t", str(LINE_SECONDS), "-vf", "scale=480:270", *H264),
    "line.flac": ("-ss", "0.3", "-i", str(VOICE), "-t", str(LINE_SECONDS)),
    "voice.flac": ("-i", str(VOICE), "-t", str(SECONDS)),  # before the first word
    "speech.flac": ("-ss", "0.7", "-i", str(VOICE), "-t", str(SECONDS)),
    "other_voice.flac": ("-ss", "2", "-i", str(VOICE), "-t", str(SECONDS)),
    "stereo.wav": ("-i", str(VOICE), "-t", str(SECONDS), "-ac", "2", "-ar", "44100"),
}


def make_material(folder: Path) -> Path:
    """Makes every file of MATERIAL in a folder."""
    for name, arguments in MATERIAL.items():
        run_ffmpeg(["-y", *arguments, str(folder / name)], error=VideoError, what=f"making {name}")
    return folder


class Graph:
    """A prompt that grows: `graph.add("TestAddAlpha", image=...)` gives the new node's link, widgets having defaults.

    A node's id is the name given, else its class; what an input is given is a value or a link.
    """

    def __init__(self, server: ComfyServer) -> None:
        self.server = server
        self.prompt: dict[str, dict] = {}

    def add(self, kind: str, name: str = "", /, **inputs: object) -> list:
        """Adds a node; returns the link to its first output."""
        info = self.server.object_info()[kind]
        name = name or kind
        defaults = widget_values({}, info)
        self.prompt[name] = {"class_type": kind, "inputs": defaults | inputs}
        return [name, 0]

    def clip(self, file: str = "clip.mp4") -> list:
        """A VIDEO from a file."""
        return self.add("LoadVideo", "clip", file=file)

    def images(self, file: str = "clip.mp4") -> list:
        """A file's frames as IMAGE."""
        return self.add("GetVideoComponents", "frames", video=self.clip(file))

    def voice(self, file: str = "voice.flac", name: str = "voice") -> list:
        """AUDIO from a file."""
        return self.add("LoadAudio", name, audio=file)

    def model(self, name: str = "model", **inputs: object) -> list:
        """The demonstration model."""
        return self.add("LatentSyncDubLoadModel", name, **{"model": MODEL} | inputs)

    def stages(
        self,
        clip: list | None = None,
        voice: list | None = None,
        *,
        model: list | None = None,
        faces: dict | None = None,
        trepa: dict | None = None,
        sampler: dict | None = None,
        composite: dict | None = None,
    ) -> list:
        """The five stages, the ids being model, faces, heard, trepa, sampler and composite; gives the result's link."""
        model = model or self.model()
        found = self.add("LatentSyncDubPrepareFaces", "faces", clip=clip or self.clip(), **faces or {})
        heard = self.add("LatentSyncDubEmbedAudio", "heard", model=model, audio=voice or self.voice())
        trepa_settings = self.add("LatentSyncDubTrepaSettings", "trepa", **trepa or {})
        drawn = {
            "model": model,
            "faces": found,
            "audio": heard,
            "trepa": trepa_settings,
            "seed": 5,
            "steps": 1,
            "cfg": 1.0,
            "quality": "custom",
        }
        synced = self.add("LatentSyncDubSampler", "sampler", **drawn | (sampler or {}))
        return self.add("LatentSyncDubComposite", "composite", **{"synced": synced} | (composite or {}))

    def save(self, video: list) -> list:
        """Core's Save Video, its choices on auto."""
        return self.add("SaveVideo", "save", video=video)

    def run(self, timeout: float = 600, workflow: dict | None = None) -> Run:
        """Runs it; see ComfyServer.run."""
        return self.server.run(self.prompt, timeout, workflow)

    def lossless(self) -> Path:
        """Runs the stages with an FFV1 file of its own as their result; gives that."""
        prefix = f"lossless/{uuid.uuid4().hex}"
        self.prompt["composite"]["inputs"] |= {"codec": "ffv1", "filename_prefix": prefix}
        self.run()
        (written,) = self.server.output.glob(f"{prefix}*.mkv")
        return written


def shown_json(run: Run, name: str) -> dict:
    """What a helper node showed."""
    return json.loads(run.outputs[name]["text"][0])

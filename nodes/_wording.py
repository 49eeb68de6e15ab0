"""How the nodes word errors and notes: by their own inputs, and by other nodes' names.

Nothing of ComfyUI is imported here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ..latentsync_core.errors import LatentSyncError
from ..latentsync_core.faces.selection import ChooseBy
from ..latentsync_core.messages import Note, NoteLevel, Remedy, Words
from ..latentsync_core.sampling.sampler_options import Quality
from ..latentsync_core.sampling.timeline import LengthRule
from ..latentsync_core.video.writing.encoders import Codec
from ..latentsync_core.video.writing.writer_options import KeepAudio

PACK = "LatentSync"  # ComfyUI's page puts "LatentSync.VideoError: " before the sentence of an error
WARNING_SIGN = "⚠ "
# The node that has an input where the one that shows a message lacks it.
NODE_WITH_INPUT = {
    "model": "LatentSync Load Model",
    "download_if_missing": "LatentSync Load Model",
    "precision": "LatentSync Load Model",
    "vae": "LatentSync Load Model",
    "window": "LatentSync TREPA Settings",
    "detector_score": "LatentSync Prepare Faces",
    "fps": "LatentSync Prepare Faces",
    "marks": "LatentSync Prepare Faces",
    "by": "LatentSync Select Faces",
    "picture": "LatentSync Select Faces",
    "mask": "LatentSync Select Faces",
    "length": "LatentSync Face Sampler",
    "tracks": "LatentSync Clip Audio",
    "original": "LatentSync Mix Dub Audio",
    "impulse": "LatentSync Mix Dub Audio",
    "reverb": "LatentSync Mix Dub Audio",
    "quality": "LatentSync Face Sampler",
    "region": "LatentSync Composite",
    "keep_audio": "LatentSync Composite",
    "codec": "LatentSync Composite",
    "deinterlace": "LatentSync Prepare Faces",
    "original_audio": "LatentSync Speakers to Faces",
}
RELEASE = "latentsync-1.6"
# `name` is an input of the node that shows the message, or of the one above.
WORDS: Words = {
    Remedy.CHOOSE_MODEL: "choose another `model`",
    Remedy.INSTALL_MODEL: "turn `download_if_missing` on",
    Remedy.INSTALL_COMPANIONS: f"choose {RELEASE} as `model` once: they are downloaded with it",
    Remedy.REPLACE_WITH_OFFICIAL: f"choose {RELEASE} as `model`, and delete its own file first if that is the bad one",
    Remedy.TRY_DEMONSTRATION: "try out the rest with nano (demonstration) as `model`",
    Remedy.STATE_RESOLUTION: "put it into the models folder as latentsync-1.5/latentsync_unet.pt or "
    "latentsync-1.6/latentsync_unet.pt, whichever it was made from, and choose latentsync-1.5 or latentsync-1.6 as "
    "`model`",
    Remedy.SAVE_MEMORY: "lower `window`, set `precision` to fp16, or close other programs",
    Remedy.RAISE_PRECISION: "set `precision` to bf16 or fp32",
    Remedy.CHANGE_VAE: "disconnect `vae`, or choose another `model`",
    Remedy.STATE_WHISPER: "choose another `model`, one that listens with Whisper tiny or small",
    Remedy.USE_MIRROR: "name another mirror in the environment variable HF_ENDPOINT before ComfyUI starts",
    Remedy.MOVE_MODELS_FOLDER: "name a folder on another disk as latentsync in ComfyUI's extra_model_paths.yaml",
    Remedy.PREPARE_AGAIN: "run LatentSync Prepare Faces again",
    Remedy.GIVE_FPS: "load its pictures as IMAGE frames, and set `fps`",
    Remedy.GIVE_SOUND: "take the sound from Load Audio",
    Remedy.GIVE_ORIGINAL: "connect it to `original`",
    Remedy.GIVE_IMPULSE: "connect it to `impulse`, or choose another `reverb`",
    Remedy.MIX_TRACKS: "set `tracks` to all to average them",
    Remedy.ADJUST_DETECTION: "set `detector_score` below {}, or mark the face by hand in `marks`",
    Remedy.MARK_FACE: "copy that mark into `marks`",
    Remedy.GIVE_ORIGINAL_SOUND: "connect the voices as filmed to `original_audio`, or choose the face with LatentSync "
    "Select Faces",
    Remedy.CHOOSE_FACE: "choose the face with LatentSync Select Faces instead",
    Remedy.GIVE_PICTURE: "connect one to `picture`",
    Remedy.GIVE_MASK: "connect one to `mask`",
    Remedy.CHOOSE_BY_POINT_OR_NUMBER: f"set `by` to {ChooseBy.POINT.value} or {ChooseBy.INDEX.value}",
    Remedy.KEEP_WHOLE_VOICE: f"set `length` to {LengthRule.HOLD.value} or {LengthRule.PING_PONG.value} to keep all of "
    "it",
    Remedy.CHOOSE_CUSTOM_QUALITY: f"set `quality` to {Quality.CUSTOM.value}",
    Remedy.CHOOSE_REGION: "choose another `region`",
    Remedy.KEEP_AUDIO: f"set `keep_audio` to {KeepAudio.ALL.value} to keep them",
    Remedy.KEEP_ALPHA: f"set `codec` to {Codec.FFV1.value}, {Codec.PNG.value} or {Codec.TIFF.value} to keep it",
    Remedy.DEINTERLACE: "turn `deinterlace` on for progressive frames",
    Remedy.SIGN_LATER: "sign it on the command line",
    Remedy.MOVE_RESULT: "start ComfyUI with --output-directory and --temp-directory on another disk",
    Remedy.MOVE_WORK_FOLDER: "start ComfyUI with --temp-directory on another disk",
    Remedy.RESUME_DOWNLOAD: "download the file yourself, and open it with Load Video or Load Audio",
    Remedy.RAISE_DOWNLOAD_LIMIT: "download the file yourself, and open it with Load Video or Load Audio",
}


def words_on(inputs: Collection[str]) -> Words:
    """The words for a node that has `inputs`: every other input is followed by the name of the node that has it."""

    def located(match: re.Match[str]) -> str:
        return match[0] if match[1] in inputs else f"{match[0]} of {NODE_WITH_INPUT[match[1]]}"

    return {remedy: re.sub(r"`(\w+)`", located, words) for remedy, words in WORDS.items()}


@contextmanager
def errors_in_node_words(inputs: Collection[str]) -> Iterator[None]:
    """Replaces every LatentSyncError by one of the same kind that is worded for a node with `inputs`.

    ComfyUI's page begins with an exception's module and class: here "LatentSync" and the kind. The traceback remains
    that of the engine.
    """
    try:
        yield
    except LatentSyncError as problem:
        shown = _shown_kind(type(problem))(problem.worded(words_on(inputs)))
        raise shown.with_traceback(problem.__traceback__) from None


def note_lines(notes: Collection[Note], inputs: Collection[str]) -> list[str]:
    """Notes as lines of text on a node that has `inputs`, warnings first."""
    words = words_on(inputs)
    by_level = sorted(notes, key=lambda note: note.level is not NoteLevel.WARNING)
    return [(WARNING_SIGN if note.level is NoteLevel.WARNING else "") + note.worded(words) for note in by_level]


@functools.cache
def _shown_kind(kind: type[LatentSyncError]) -> type[LatentSyncError]:
    return type(kind.__name__.lstrip("_"), (kind,), {"__module__": PACK, "__doc__": kind.__doc__})

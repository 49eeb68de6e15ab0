"""LatentSync Dub's engine: lip-sync a clip to a voice, streaming; usable without ComfyUI.

The names below are the library. Each is imported when it is first used, so that `import latentsync_core` is free.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import deprecated_paths

if TYPE_CHECKING:  # the same for type checkers; a test compares the three lists
    from .audio.features import AudioEmbedding, embed_audio, frame_windows
    from .audio.pause_options import PauseBehaviour, PauseOptions
    from .audio.source import AudioSource, load_audio
    from .compositing.composite_options import CompositeOptions, Region
    from .compositing.rendering import RenderedFrame, render
    from .errors import (
        AudioError,
        ClipChangedError,
        DialogueError,
        DownloadError,
        FaceError,
        LatentSyncError,
        ModelError,
        OptionError,
        OutputError,
        ToolError,
        UnavailableError,
        VideoError,
    )
    from .faces.alignment.align import align_track, crop_face
    from .faces.alignment.align_options import AlignOptions
    from .faces.face_options import FaceOptions
    from .faces.face_tracks import FaceTracks
    from .faces.find import find_faces
    from .faces.limits import TouchLimits
    from .faces.selection import ChooseBy, FaceChoice, choose
    from .faces.speaking import WhoSpeaks
    from .messages import Note, NoteLevel, Remedy
    from .models.load_options import LoadOptions
    from .models.loading.weights import load_model
    from .models.model import LatentSyncModel
    from .models.unet.unet import UNet
    from .models.whisper.encoder import WhisperEncoder
    from .pipeline import SyncReport, plan_sync, sample, sync
    from .provenance.signing_files import SigningFiles
    from .sampling.sampler_options import Quality, SamplerOptions, Scheduler, WindowOptions
    from .sampling.synced_faces import SyncedFaces
    from .sampling.timeline import LengthRule
    from .sync_options import Speaker, SyncOptions
    from .video.clip import Clip
    from .video.reading.probing import clip_from_images, probe
    from .video.reading.reader import FrameReader
    from .video.writing.writer import FrameWriter
    from .video.writing.writer_options import Codec, WriterOptions

__all__ = [
    "AlignOptions",
    "AudioEmbedding",
    "AudioError",
    "AudioSource",
    "ChooseBy",
    "Clip",
    "ClipChangedError",
    "Codec",
    "CompositeOptions",
    "DialogueError",
    "DownloadError",
    "FaceChoice",
    "FaceError",
    "FaceOptions",
    "FaceTracks",
    "FrameReader",
    "FrameWriter",
    "LatentSyncError",
    "LatentSyncModel",
    "LengthRule",
    "LoadOptions",
    "ModelError",
    "Note",
    "NoteLevel",
    "OptionError",
    "OutputError",
    "PauseBehaviour",
    "PauseOptions",
    "Quality",
    "Region",
    "Remedy",
    "RenderedFrame",
    "SamplerOptions",
    "Scheduler",
    "SigningFiles",
    "Speaker",
    "SyncOptions",
    "SyncReport",
    "SyncedFaces",
    "ToolError",
    "TouchLimits",
    "UNet",
    "UnavailableError",
    "VideoError",
    "WhisperEncoder",
    "WhoSpeaks",
    "WindowOptions",
    "WriterOptions",
    "align_track",
    "choose",
    "clip_from_images",
    "crop_face",
    "embed_audio",
    "find_faces",
    "frame_windows",
    "load_audio",
    "load_model",
    "plan_sync",
    "probe",
    "render",
    "sample",
    "sync",
]

_MODULES = {
    "pipeline": ("SyncReport", "plan_sync", "sample", "sync"),
    "sync_options": ("Speaker", "SyncOptions"),
    "provenance.signing_files": ("SigningFiles",),
    "video.clip": ("Clip",),
    "video.reading.probing": ("clip_from_images", "probe"),
    "video.reading.reader": ("FrameReader",),
    "video.writing.writer": ("FrameWriter",),
    "video.writing.writer_options": ("Codec", "WriterOptions"),
    "audio.source": ("AudioSource", "load_audio"),
    "audio.pause_options": ("PauseBehaviour", "PauseOptions"),
    "audio.features": ("AudioEmbedding", "embed_audio", "frame_windows"),
    "models.load_options": ("LoadOptions",),
    "models.loading.weights": ("load_model",),
    "models.model": ("LatentSyncModel",),
    "models.unet.unet": ("UNet",),
    "models.whisper.encoder": ("WhisperEncoder",),
    "faces.find": ("find_faces",),
    "faces.face_options": ("FaceOptions",),
    "faces.face_tracks": ("FaceTracks",),
    "faces.limits": ("TouchLimits",),
    "faces.selection": ("ChooseBy", "FaceChoice", "choose"),
    "faces.speaking": ("WhoSpeaks",),
    "faces.alignment.align": ("align_track", "crop_face"),
    "faces.alignment.align_options": ("AlignOptions",),
    "sampling.sampler_options": ("Quality", "SamplerOptions", "Scheduler", "WindowOptions"),
    "sampling.synced_faces": ("SyncedFaces",),
    "sampling.timeline": ("LengthRule",),
    "compositing.composite_options": ("CompositeOptions", "Region"),
    "compositing.rendering": ("RenderedFrame", "render"),
    "errors": (
        "AudioError", "ClipChangedError", "DialogueError", "DownloadError", "FaceError", "LatentSyncError",
        "ModelError", "OptionError", "OutputError", "ToolError", "UnavailableError", "VideoError",
    ),
    "messages": ("Note", "NoteLevel", "Remedy"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

deprecated_paths.register(__name__)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""LatentSync Dub's engine: lip-sync a clip to a voice, streaming; usable without ComfyUI.

The names below are the library. Each is imported when it is first used, so that `import latentsync_core` is free.
"""

from __future__ import annotations

from importlib import import_module

from . import deprecated_paths

_MODULES = {
    "pipeline": ("Speaker", "SyncOptions", "SyncReport", "sample", "sync"),
    "video.clip": ("Clip",),
    "video.reading.probing": ("clip_from_images", "probe"),
    "video.reading.reader": ("FrameReader",),
    "video.writing.writer": ("FrameWriter",),
    "video.writing.writer_options": ("Codec", "WriterOptions"),
    "audio.source": ("AudioSource", "load_audio"),
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
    "faces.alignment.align": ("align_track", "crop_face"),
    "faces.alignment.align_options": ("AlignOptions",),
    "sampling.sampler_options": ("Quality", "SamplerOptions", "Scheduler", "WindowOptions"),
    "sampling.synced_faces": ("SyncedFaces",),
    "sampling.timeline": ("LengthRule",),
    "compositing.composite_options": ("CompositeOptions", "Region"),
    "compositing.rendering": ("RenderedFrame", "render"),
    "errors": (
        "AudioError", "ClipChangedError", "DownloadError", "FaceError", "LatentSyncError", "ModelError", "OptionError",
        "OutputError", "ToolError", "UnavailableError", "VideoError",
    ),
    "messages": ("Note", "NoteLevel", "Remedy"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)

deprecated_paths.register(__name__)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

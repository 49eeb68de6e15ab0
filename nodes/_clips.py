"""The engine's Clip of a VIDEO or IMAGE input; every kind of VIDEO is streamed from its own file."""

from __future__ import annotations

import hashlib
import inspect
import io as bytes_io
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import Input, InputImpl

from ..latentsync_core.audio.clip_audio import clip_audio, clip_audio_notes
from ..latentsync_core.audio.source import AudioSource, load_audio
from ..latentsync_core.audio.track_choice import TrackChoice
from ..latentsync_core.errors import AudioError, VideoError
from ..latentsync_core.files.scratch import atomic_write
from ..latentsync_core.messages import Note
from ..latentsync_core.progress import Progress
from ..latentsync_core.speakers.active_speaker import original_sound
from ..latentsync_core.video.clip import Clip
from ..latentsync_core.video.reading.deinterlacing import with_deinterlacing
from ..latentsync_core.video.reading.listing.rates import snap_to_standard_rate
from ..latentsync_core.video.reading.probing import clip_from_images, probe
from ._comfy import pack_temp_folder

TRIM_TOLERANCE_SECONDS = 1e-6  # core's trims are sums of floats: a frame at their edge must fall on its right side


def clip_from_input(source: Any, fps: float, deinterlace: bool = False, on_progress: Progress | None = None) -> Clip:
    """The clip behind a VIDEO, or an IMAGE batch shown at `fps` (a single IMAGE is a clip of one frame).

    A file is streamed from where it lies, its trim being honoured; bytes are written to a file of ours once; frames in
    memory stay there as they are, without an alpha channel. With `deinterlace`, a file's interlaced frames are read as
    progressive ones. `on_progress` is called where the file has to be decoded to know its frames.

    Raises:
        VideoError: neither of the two, or nothing that can be read.
    """
    return with_deinterlacing(_clip_from_input(source, fps, on_progress), deinterlace)


def _clip_from_input(source: Any, fps: float, on_progress: Progress | None) -> Clip:
    if isinstance(source, torch.Tensor):
        if source.ndim != 4 or source.shape[-1] not in (3, 4):
            raise VideoError(
                f"The IMAGE has shape {tuple(source.shape)}; give frames as (frames, height, width, 3 or 4 channels)."
            )
        return clip_from_images(source[..., :3].cpu(), snap_to_standard_rate(Fraction(fps).limit_denominator(100_000)))
    if not isinstance(source, Input.Video):
        raise VideoError(f"A {type(source).__name__} is no clip; connect a VIDEO (from Load Video) or an IMAGE batch.")
    if isinstance(source, InputImpl.VideoFromComponents):
        # Its stream would be an H.264 copy with losses; the frames themselves are at hand.
        components = source.get_components()
        return clip_from_images(
            components.images[..., :3].cpu(), snap_to_standard_rate(Fraction(components.frame_rate))
        )
    if _is_edited(source):
        # Its stream source still has the frames of before; written out, the trim is applied too.
        return probe(_store_by_hash(_save_to_buffer(source)), on_progress=on_progress)
    file = source.get_stream_source()
    path = _store_by_hash(file) if isinstance(file, bytes_io.BytesIO) else Path(file)
    clip = probe(path, on_progress=on_progress)
    start, seconds = getattr(source, "get_active_trim_window", lambda: (0.0, 0.0))()
    if not start and not seconds:
        return clip
    return clip.trim(
        max(0.0, start - TRIM_TOLERANCE_SECONDS), start + seconds - TRIM_TOLERANCE_SECONDS if seconds else None
    )


def audio_from_video(
    video: Any, tracks: TrackChoice = TrackChoice.FIRST, on_progress: Progress | None = None
) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """A VIDEO's own sound as AUDIO, from where its first frame is shown to where its last one ends; and notes on it.

    Raises:
        AudioError: it has none.
        VideoError: not a VIDEO.
    """
    if isinstance(video, InputImpl.VideoFromComponents):
        audio = video.get_components().audio
        if audio is None:
            raise AudioError(
                "the VIDEO was made of images without a sound; connect one to Create Video, or use Load Audio"
            )
        return audio, ()
    clip = clip_from_input(video, fps=1.0, on_progress=on_progress)
    waveform, rate = clip_audio(clip, tracks)
    notes = tuple(dict.fromkeys([*clip.notes, *clip_audio_notes(clip, tracks)]))
    return {"waveform": waveform[None].contiguous(), "sample_rate": rate}, notes


def sound_as_filmed(source: Any, clip: Clip) -> AudioSource:
    """The sound that belongs to the frames of `clip`, which `clip_from_input` made of `source`.

    Raises:
        AudioError: there is none.
    """
    if isinstance(source, InputImpl.VideoFromComponents):
        return load_audio(audio_from_video(source)[0])
    return original_sound(clip)


def frames_in_memory(source: Any) -> torch.Tensor | None:
    """The frames of a VIDEO or IMAGE batch that ComfyUI holds in memory, with what other channels they have."""
    if isinstance(source, torch.Tensor):
        return source
    return source.get_components().images if isinstance(source, InputImpl.VideoFromComponents) else None


def _is_edited(video: Input.Video) -> bool:
    """Whether core has cropped or resized its frames since it was loaded (since ComfyUI 0.38)."""
    return getattr(video, "has_pending_frame_edits", lambda: False)()


def _save_to_buffer(video: Input.Video) -> bytes_io.BytesIO:
    """The clip as core writes it, without losses where core can."""
    stream = bytes_io.BytesIO()
    lossless_options = {"crf": 0.0} if "crf" in inspect.signature(video.save_to).parameters else {}
    video.save_to(stream, **lossless_options)
    return stream


def _store_by_hash(stream: bytes_io.BytesIO) -> Path:
    """Bytes as a file of ours, named by their content. (An MP4 whose index is at its end can't be read from a pipe.)"""
    view = stream.getbuffer()
    path = pack_temp_folder("clips") / f"{hashlib.sha256(view).hexdigest()[:24]}.mp4"
    if not path.exists():
        with atomic_write(path) as partial:
            partial.write_bytes(view)
    return path

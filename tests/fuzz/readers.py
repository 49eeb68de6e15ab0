"""What the product does with an input file, from opening to the last sample, and whether the result makes sense."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import torch

from latentsync_core.audio_io import load_audio
from latentsync_core.audio_plan import plan_audio
from latentsync_core.clip_audio import clip_audio
from latentsync_core.encoding import Codec
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces.marks import read_marks
from latentsync_core.mixing import mixed_file
from latentsync_core.models.checkpoint import read_tensors
from latentsync_core.models.demonstration import NANO_FOLDER
from latentsync_core.models.weights import load_model
from latentsync_core.models.whisper import WhisperEncoder
from latentsync_core.video_io import FrameReader, clip_from_images, probe


def reader_of(path: Path) -> Callable[[Path], None]:
    """The function that reads a file of this name; it returns where all is right."""
    if path.parent.name == "whisper":
        return _read_whisper
    if path.parent.name == "bundle":
        return _read_bundle
    return BY_SUFFIX[path.suffix]


def _read_film(path: Path) -> None:
    """Every frame, then the clip's own sound, then the same file as a voice; each whether or not another is refused."""
    refusals: list[LatentSyncError] = []
    for read in (_read_frames, _read_clip_sound, _read_voice):
        try:
            read(path)
        except LatentSyncError as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]


def _read_frames(path: Path) -> None:
    clip = probe(path)
    with FrameReader(clip) as frames:
        count = sum(1 for _ in frames)
    assert count == clip.frame_count
    assert clip.fps > 0


def _read_clip_sound(path: Path) -> None:
    clip = probe(path)
    if clip.audio_codec:
        waveform, rate = clip_audio(clip)
        assert abs(waveform.shape[1] - clip.duration * rate) <= 1


def _read_voice(path: Path) -> None:
    sound = load_audio(path)
    samples = sum(len(block) for block in sound.mono16k_blocks())
    assert abs(samples / 16000 - sound.duration) < 0.1


def _read_sound(path: Path) -> None:
    _read_voice(path)
    plan_audio(path, Codec.H264)
    sound = load_audio(path)
    mixed_file([sound, sound], path.parent)


def _read_picture(path: Path) -> None:
    images = probe(path).images
    assert images.ndim == 4
    assert images.isfinite().all()


def _read_weights(path: Path) -> None:
    for tensor in read_tensors(path).values():
        tensor.float().sum()


def _read_whisper(path: Path) -> None:
    WhisperEncoder.from_pretrained(path)


def _read_bundle(path: Path) -> None:
    """Its description is the file at hand; the weights beside it are the carried model's."""
    for weights in NANO_FOLDER.glob("*.safetensors"):
        (path.parent / weights.name).symlink_to(weights)
    load_model(path.parent)


def _read_marks(path: Path) -> None:
    from latentsync_core.__main__ import _marks

    read_marks(_marks(path), clip_from_images(torch.zeros(10, 64, 96, 3), Fraction(25)))


BY_SUFFIX = {
    **dict.fromkeys((".mp4", ".mov", ".mkv", ".ts"), _read_film),
    **dict.fromkeys((".wav", ".mp3", ".flac"), _read_sound),
    **dict.fromkeys((".png", ".jpg", ".webp", ".tif"), _read_picture),
    **dict.fromkeys((".safetensors", ".pt"), _read_weights),
    ".json": _read_marks,
}

"""What the product does with an input file, from opening to the last sample, and whether the result makes sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from latentsync_core.audio.clip_audio import clip_audio
from latentsync_core.audio.mix import mixed_track
from latentsync_core.audio.resample import TARGET_RATE
from latentsync_core.audio.source import AudioSource, load_audio
from latentsync_core.errors import FaceError, LatentSyncError
from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.cache import read_faces
from latentsync_core.faces.keyframes.marks import read_marks
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.models.checkpoints.tensors import read_tensors
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.whisper.encoder import WhisperEncoder
from latentsync_core.models.whisper.log_mel import measure_peak
from latentsync_core.sampling.patch_store import PatchStore
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import WriterOptions
from tests.fuzz.seeds import PATCHES, faces_clip

MEL_BANDS = 80


def reader_of(path: Path) -> Callable[[Path], None]:
    """The function that reads a file of this folder or suffix; it returns where all is right."""
    return BY_FOLDER.get(path.parent.name) or BY_SUFFIX[path.suffix]


def _read_film(path: Path) -> None:
    """Every frame, then the clip's own sound, then the same file as a voice; each whether or not another is refused."""
    refusals: list[LatentSyncError] = []

    def attempt(read: Callable[[], object]) -> object:
        try:
            return read()
        except LatentSyncError as refusal:
            refusals.append(refusal)
            return None

    clip = attempt(lambda: probe(path))
    if clip is not None:
        attempt(lambda: _check_frames(clip))
        attempt(lambda: _check_clip_sound(clip))
    attempt(lambda: _check_voice(load_audio(path)))
    if refusals:
        raise refusals[0]


def _check_frames(clip: Clip) -> None:
    """All frames, and from the middle on."""
    assert clip.fps > 0
    assert len(clip.pts) == clip.frame_count
    assert (np.diff(clip.pts) > 0).all()
    for start in {0, clip.frame_count // 2}:
        with FrameReader(clip, start) as frames:
            pts = [frame.pts for frame in frames]
        assert pts == clip.pts[start:].tolist()


def _check_clip_sound(clip: Clip) -> None:
    if clip.audio_codec:
        waveform, rate = clip_audio(clip)
        assert abs(waveform.shape[1] - clip.duration * rate) <= 1


def _check_voice(sound: AudioSource) -> None:
    """As 16 kHz mono with the silence that follows a voice, up to the spectrum that Whisper reads."""
    samples = 0

    def blocks() -> Iterator[torch.Tensor]:
        nonlocal samples
        for block in sound.mono16k_blocks():
            samples += len(block)
            yield block
        yield torch.zeros(TARGET_RATE)

    peak, _ = measure_peak(blocks(), MEL_BANDS)
    assert np.isfinite(peak)
    assert abs(samples / TARGET_RATE - sound.duration) < 0.1


def _read_sound(path: Path) -> None:
    """As a voice, mixed with itself, and beside a picture."""
    sound = load_audio(path)
    _check_voice(sound)
    mixed_track([sound, sound], path.parent)
    clip = clip_from_images(torch.zeros(3, 32, 32, 3), Fraction(25))
    options = WriterOptions(preset="ultrafast")
    writing = FrameWriter(path.parent / "out.mp4", clip, options=options, pts=clip.pts, audio=sound.track)
    with writing as writer, FrameReader(clip) as frames:
        for frame in frames:
            writer.write(frame)
    assert writer.path.stat().st_size > 1000


def _read_picture(path: Path) -> None:
    images = probe(path).images
    assert images.ndim == 4
    assert images.isfinite().all()


def _read_weights(path: Path) -> None:
    for tensor in read_tensors(path).values():
        tensor.float().sum()


def _read_whisper(path: Path) -> None:
    _check_whisper(WhisperEncoder.from_pretrained(path))


def _read_whisper_folder(path: Path) -> None:
    _check_whisper(WhisperEncoder.from_pretrained(path.parent))


def _check_whisper(encoder: WhisperEncoder) -> None:
    mel = torch.zeros(1, encoder.n_mels, 2 * encoder.context)
    assert encoder(mel).shape == (1, encoder.context, encoder.levels, encoder.width)


def _read_bundle(path: Path) -> None:
    """Loads the model and runs its U-Net and its autoencoder once."""
    model = load_model(path.parent, LoadOptions(device="cpu"))
    latents = torch.zeros(1, 13, 2, 8, 8)
    with torch.inference_mode():
        noise = model.unet(latents, 501, torch.zeros(2, model.audio_tokens, model.whisper.width))
        assert noise.shape == (1, 4, 2, 8, 8)
        picture = model.codec.decode(torch.zeros(1, 4, 8, 8))
        assert picture.shape[:2] == (1, 3)


def _read_marks(path: Path) -> None:
    from latentsync_core.cli.arguments import marks_text

    read_marks(marks_text(path), clip_from_images(torch.zeros(10, 64, 96, 3), Fraction(25)))


def _read_faces(path: Path) -> None:
    """Faces that a work folder keeps; what can't be used is looked for again, which is a refusal here."""
    faces = read_faces(path, faces_clip(), AlignOptions(), TouchLimits())
    if faces is None:
        raise FaceError(f"{path} is not used.")
    faces.path  # noqa: B018 (computed here)


def _read_patches(path: Path) -> None:
    """Patches that a work folder keeps, those that its flags call finished."""
    key, frames, shape = PATCHES
    with PatchStore(key, frames, shape, folder=path.parent) as store:
        finished = np.flatnonzero(store.finished).tolist()
        if finished:
            assert store.get(finished).shape == (len(finished), *shape)
        store.put(0, torch.zeros(shape))


BY_FOLDER = {
    "whisper": _read_whisper,
    "hugging_face": _read_whisper_folder,
    "bundle": _read_bundle,
    "faces": _read_faces,
    "patches": _read_patches,
}
BY_SUFFIX = {
    **dict.fromkeys((".mp4", ".mov", ".mkv", ".ts", ".avi", ".mxf", ".webm", ".ogv", ".flv", ".wmv"), _read_film),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".m4a", ".ogg", ".aiff", ".ac3"), _read_sound),
    **dict.fromkeys((".png", ".jpg", ".webp", ".tif"), _read_picture),
    **dict.fromkeys((".safetensors", ".pt"), _read_weights),
    ".json": _read_marks,
}

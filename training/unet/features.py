"""Latents of talking clips, whole and with the mouth masked, and Whisper features of their audio.

``python -m training.unet.features`` makes them from the rendered clips and the autoencoder's weights. Audio is encoded
as the engine does: Whisper's states of recordings of up to 30 s. A recording here holds several clips, at any place
in it and after any other, since a clip's features depend on where in a recording it is and what came before. Whisper's
features of a silent recording differ from those of a pause in speech, so there are silent recordings too. Every clip is
there in several appearances, of which the first is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.audio.features import ROWS_AFTER, ROWS_BEFORE, frame_windows
from latentsync_core.errors import OptionError
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.models.whisper.encoder import WhisperEncoder

from ..loop import fast_autocast
from ..paths import CACHE
from ..synthetic.crops import RESOLUTION
from ..synthetic.speech.performance import SAMPLE_RATE
from ..takes import FPS, FRAMES, SECONDS, head_turns, load_takes
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from ..vae.train import load
from ..whisper.tiny import load_whisper
from .appearance import vary_appearance

WHISPER_ROWS = ROWS_BEFORE + SECONDS * 50 + ROWS_AFTER  # of Whisper's states kept of each clip
MAX_CLIPS_PER_RECORDING = 8  # clips of one recording
PAUSE_SECONDS = (0.1, 0.6)  # seconds of silence between them
TAIL_SILENCE_SECONDS = 1.0  # seconds, as the engine adds them
LATENT_SIZE = RESOLUTION // 8
APPEARANCES = 3  # of each clip
SILENT_RECORDINGS = 24
MAX_SILENCE_SECONDS = 30.0  # seconds
NOISE_FLOOR_DB = (-90, -55)  # dB: how loud the noise in half of them is; the others hold zeros
MAX_CLOSED_OPENING = 0.005  # head units: a mouth that is open by less is closed, 0.3 pixels of a crop

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Features:
    """The U-Net's inputs of all clips, memory-mapped.

    whole, masked: (v, 75, 4, 16, 16) float16 scaled latents, the encoder's means; view i shows clip i modulo n, the
    first n in their own appearance. audio_features: (n, 160, 5, 384) float16, 50 rows a second; frame f's window is
    rows 2 f to 2 f + 9. openings: (n, 75) in head units. silence_features: (m, 160, 5, 384), as `audio_features`, of
    silent recordings. turns: (n, 75, 2) degrees of the head's yaw and pitch.
    """

    whole: np.ndarray
    masked: np.ndarray
    audio_features: np.ndarray
    openings: np.ndarray
    silence_features: np.ndarray
    turns: np.ndarray

    def __len__(self) -> int:
        return len(self.whole)

    def audio(self, view: int, frames: range) -> Tensor:
        """The audio tokens of these frames, (len(frames), 50, 384) float32."""
        return _tokens(self.audio_features[view % len(self.audio_features)], frames)

    def silence(self, recording: int, frames: range) -> Tensor:
        """The same in a recording of nothing."""
        return _tokens(self.silence_features[recording], frames)

    def closed_mouth_windows(self, frames: int) -> np.ndarray:
        """(n, 2) clip, in its own appearance, and first frame of all `frames` in a row with a closed mouth."""
        group = np.lib.stride_tricks.sliding_window_view(self.openings < MAX_CLOSED_OPENING, frames, axis=1)
        return np.argwhere(group.all(-1))


def features(
    clips: int,
    folder: Path = CACHE,
    vae: Path = VAE_WEIGHTS,
    appearances: int = APPEARANCES,
    workers: int = 1,
    device: str = "cpu",
) -> Features:
    """Those of the first drawn clips, at most `clips`: read from `folder`, made where they aren't there."""
    drawn = load_takes(clips, folder)
    codec = load(vae)
    codec.vae.to(device)
    name = f"{len(drawn)}x{appearances}-{encoder_digest(codec)}.npy"
    seen = [folder / f"takes-{part}-{name}" for part in ("whole", "masked")]
    if not all(path.exists() for path in seen):
        for path, values in zip(seen, latents(codec, drawn.crops, appearances, workers), strict=True):
            _write(path, values)
    turns = folder / f"takes-turns-{len(drawn)}.npy"
    if not turns.exists():
        _write(turns, np.stack([head_turns(number - number % 2) for number in range(len(drawn))]))
    encoder = load_whisper()
    audio_features = folder / f"takes-audio-{len(drawn)}-{encoder.digest[:8]}.npy"
    silence_features = folder / f"features-quiet-{encoder.digest[:8]}.npy"
    if not audio_features.exists():
        _write(audio_features, encode_clips(encoder, drawn.waveforms))
    if not silence_features.exists():
        _write(silence_features, encode_silence(encoder))
    whole, masked, audio_features, silence_features = (
        np.load(path, mmap_mode="r") for path in (*seen, audio_features, silence_features)
    )
    return Features(whole, masked, audio_features, np.array(drawn.openings), silence_features, np.load(turns))


def encoder_digest(codec: DiffusersCodec) -> str:
    """The same as long as the encoder is, which alone decides what the latents are."""
    digest = hashlib.sha256()
    for part in (codec.vae.encoder, codec.vae.quant_conv):
        for value in part.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _tokens(audio_features: np.ndarray, frames: range) -> Tensor:
    rows = 2 * np.asarray(frames)[:, None] + np.arange(ROWS_BEFORE + ROWS_AFTER)
    return torch.from_numpy(np.array(audio_features[rows])).float().flatten(1, 2)


@torch.no_grad()
def latents(
    codec: DiffusersCodec, crops: Sequence[np.ndarray], appearances: int = 1, workers: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Scaled latents of n clips (frames, 3, 128, 128) uint8 in so many appearances, whole and masked, each
    (appearances n, frames, 4, 16, 16) float16. `workers` processes change appearances."""
    keep = mouth_mask(RESOLUTION)
    codec.vae.to(memory_format=torch.channels_last)
    whole, masked = [], []
    for view, shown in enumerate(_appearances(crops, appearances, workers)):
        pictures = torch.from_numpy(shown).float() / 127.5 - 1
        both = torch.cat([pictures, pictures * keep]).to(codec.device, memory_format=torch.channels_last)
        with fast_autocast(codec.device):
            encoded = codec.encode(both).half().cpu().numpy()
        whole.append(encoded[: len(shown)])
        masked.append(encoded[len(shown) :])
        if view % 100 == 99:
            logger.info("%d of %d clips encoded", view + 1, appearances * len(crops))
    return np.stack(whole), np.stack(masked)


def _appearances(crops: Sequence[np.ndarray], appearances: int, workers: int) -> Iterator[np.ndarray]:
    """All clips in their own appearance, then all in the next one, and so on."""
    yield from (np.array(clip) for clip in crops)
    views = range(len(crops), appearances * len(crops))
    # The same one for both takes of a pair.
    seeds, clips = [view - view % 2 for view in views], (crops[view % len(crops)] for view in views)
    if workers > 1:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            yield from pool.map(vary_appearance, clips, seeds)
    else:
        yield from map(vary_appearance, clips, seeds)


def encode_clips(encoder: WhisperEncoder, waveforms: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, 160, levels, width) float16 of (n, samples) int16: a clip's rows and those just before and after.

    A third of the recordings holds one clip alone, as a short voice would be.
    """
    rng = np.random.default_rng((15487541, seed))
    order = rng.permutation(len(waveforms))
    out = np.empty((len(waveforms), WHISPER_ROWS, encoder.levels, encoder.width), np.float16)
    at = 0
    while at < len(order):
        group = order[at : at + (1 if rng.random() < 1 / 3 else int(rng.integers(2, MAX_CLIPS_PER_RECORDING + 1)))]
        pieces, places, length = [], [], 0
        for clip in group:
            wait = 320 * round(rng.uniform(*PAUSE_SECONDS) * 50) if pieces else 0  # whole rows
            pieces += [np.zeros(wait, np.float32), waveforms[clip].astype(np.float32) / 32767]
            places.append((length + wait) // 320)
            length += wait + len(waveforms[clip])
        pieces.append(np.zeros(round(TAIL_SILENCE_SECONDS * SAMPLE_RATE), np.float32))
        states = encoder.features(torch.from_numpy(np.concatenate(pieces))).cpu()
        for clip, place in zip(group, places, strict=True):
            rows = np.clip(np.arange(place - ROWS_BEFORE, place - ROWS_BEFORE + WHISPER_ROWS), 0, len(states) - 1)
            out[clip] = states[torch.from_numpy(rows)].half().numpy()
        at += len(group)
    return out


def encode_silence(encoder: WhisperEncoder, recordings: int = SILENT_RECORDINGS, seed: int = 0) -> np.ndarray:
    """(recordings, 160, levels, width) float16: rows of recordings of 1 to 30 s, silent or with a faint noise."""
    rng = np.random.default_rng((15487543, seed))
    out = np.empty((recordings, WHISPER_ROWS, encoder.levels, encoder.width), np.float16)
    for number in range(recordings):
        samples = round(rng.uniform(1, MAX_SILENCE_SECONDS) * SAMPLE_RATE)
        loudness = 10 ** (rng.uniform(*NOISE_FLOOR_DB) / 20) if number % 2 else 0
        states = encoder.features(torch.from_numpy((loudness * rng.standard_normal(samples)).astype(np.float32))).cpu()
        place = int(rng.integers(-ROWS_BEFORE, max(len(states) - WHISPER_ROWS, 0) + 1))
        rows = np.clip(np.arange(place, place + WHISPER_ROWS), 0, len(states) - 1)
        out[number] = states[torch.from_numpy(rows)].half().numpy()
    return out


def encode_recording(encoder: WhisperEncoder, waveform: np.ndarray, frames: int, fps: float = FPS) -> Tensor:
    """The tokens (frames, 50, 384) of a whole recording by itself, float32 at 16 kHz, as the engine encodes it."""
    silence = np.zeros(round(TAIL_SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    states = encoder.features(torch.from_numpy(np.concatenate([waveform.astype(np.float32), silence])))
    return frame_windows(states.cpu().half(), fps, frames).float()


def _write(path: Path, values: np.ndarray) -> None:
    partial = path.with_suffix(".new")
    with partial.open("wb") as file:
        np.save(file, values)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips and of what this makes")
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument(
        "--appearances", type=int, default=APPEARANCES, help="of each clip; the second stage needs its own alone"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that change appearances")
    parser.add_argument("--device", default="cpu", help="where the autoencoder encodes")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    found = features(
        options.clips, options.cache, options.vae, options.appearances, workers=options.workers, device=options.device
    )
    if found.whole.shape[1] != FRAMES:
        raise OptionError(f"The clips have {found.whole.shape[1]} frames, not {FRAMES}.")
    logger.info("%d clips ready", len(found))


if __name__ == "__main__":
    main()

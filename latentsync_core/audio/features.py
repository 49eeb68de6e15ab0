"""Whisper features of the driving audio, gathered into one window per video frame."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..errors import AudioError, OptionError, OutputError
from ..files.scratch import ScratchFolder, atomic_write
from ..models.whisper.encoder import ROWS_PER_SECOND, WhisperEncoder
from ..models.whisper.log_mel import SAMPLE_RATE, measure_peak
from ..progress import Progress
from .source import AudioSource

ROWS_BEFORE, ROWS_AFTER = 4, 6  # of a frame's window, around its own row: rows c-4 ... c+5
# Digital silence added to the voice before its features are made. Frames after its end get the last rows there are,
# again and again: these must say that the voice is over, not hold its last phoneme. One second fills a window (0.2 s)
# several times over and is long enough for Whisper's attention to know it as a pause.
TAIL_SILENCE_SECONDS = 1.0  # seconds
MAX_ROWS_IN_MEMORY = 120 * ROWS_PER_SECOND  # two minutes; more is kept in a file
ROW_TOLERANCE = 1e-6  # rows; a frame's time in binary may lie just under the row that it falls on

log = logging.getLogger(__name__)


class WindowRule(str, Enum):
    """How frames are mapped to feature rows."""

    VIDEO = "video"  # by exact time, one window per video frame
    REFERENCE = "reference"  # as upstream does, with its rounding and its two windows more than the audio lasts


class FeatureFile:
    """Feature rows (T, levels, width) float16 in a .npy file, opened only while they are read.

    Nothing stays mapped, so that a process's memory does not grow with the recording's length.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], owned_folder: ScratchFolder | None = None) -> None:
        self.path, self.shape = path, shape
        self._owned_folder = owned_folder  # goes when nothing refers to these rows any more

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        """The rows of an int64 array of any shape, (*rows.shape, levels, width) float16."""
        try:
            mapped = np.load(self.path, mmap_mode="r")
        except OSError as problem:
            raise AudioError(
                f"The voice's features at {self.path} are gone ({problem.strerror}): embed the audio again."
            ) from None
        return torch.from_numpy(np.array(mapped[rows]))


class FeatureRows(Protocol):
    """Feature rows (T, levels, width) that are made or read when they are asked for."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __getitem__(self, rows: np.ndarray, /) -> torch.Tensor:
        """The rows of an int64 array of any shape, (*rows.shape, levels, width), on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class AudioEmbedding:
    """A voice ready to drive a mouth. Made by `embed_audio`."""

    features: torch.Tensor | FeatureRows  # (T, levels, width) on the CPU, 50 rows a second; T > duration * 50
    duration: float  # seconds of the voice itself, without the silence that the features end with
    digest: str  # hex SHA-256 over what the features were made from: the sound and the encoder's weights
    source: AudioSource

    def window(self, times: np.ndarray | torch.Tensor) -> torch.Tensor:
        """The network's audio tokens for the video frames shown at `times`.

        Args:
            times: (n,) seconds after the voice's start; before it and after its end the nearest row counts.

        Returns:
            (n, 10 * levels, width) float32, time-major: token index = row * levels + level.
        """
        times = np.asarray(times, dtype=np.float64)
        if not np.isfinite(times).all():
            raise OptionError(f"A frame's time is {times[~np.isfinite(times)][0]}, not a number of seconds.")
        centres = np.floor(times * ROWS_PER_SECOND + ROW_TOLERANCE)
        return _gather(self.features, np.clip(centres, -ROWS_AFTER, self.features.shape[0] + ROWS_BEFORE)).float()


def embed_audio(
    audio: AudioSource,
    encoder: WhisperEncoder,
    on_progress: Progress | None = None,
    folder: Path | None = None,
    kept: Path | None = None,
) -> AudioEmbedding:
    """Runs the whole voice, and one second of silence after it, through Whisper's encoder, one 30 s segment at a time.

    The result equals ``encoder.features`` of the whole waveform with that silence, rounded to half precision.

    Args:
        on_progress: called with finished segments and their number; during the first pass, which only finds the
            recording's loudest value, with 0.
        folder: where features of more than two minutes go, as a .npy file that stays there; None for a temporary
            folder that goes with the embedding.
        kept: a folder whose features of this voice, made by `keep_embedding`, are taken where there are any.

    Raises:
        AudioError: the sound can't be read, or changed while it was.
        OutputError: the features can't be written.
    """
    if kept is not None and (known := kept_embedding(audio, encoder, kept)) is not None:
        return known
    report = on_progress or (lambda done, total: None)
    expected = math.ceil((audio.duration + TAIL_SILENCE_SECONDS) * ROWS_PER_SECOND / encoder.context)
    peak, frames = measure_peak(_with_tail_silence(audio, lambda: report(0, expected)), encoder.n_mels)
    rows = encoder.rows(frames)
    shape = (rows, encoder.levels, encoder.width)
    total = math.ceil(frames / (2 * encoder.context))
    digest = _digest(audio, encoder)

    def pieces() -> Iterator[torch.Tensor]:
        for done, piece in enumerate(encoder.segments(_with_tail_silence(audio), peak), 1):
            yield piece.to("cpu", torch.float16)
            report(min(done, total), total)

    features = (
        torch.cat(list(pieces())) if rows <= MAX_ROWS_IN_MEMORY else _write_features(pieces(), shape, digest, folder)
    )
    if features.shape != shape:
        raise AudioError(f"{audio.name} gave {features.shape[0]} rows of features instead of {rows}: load it again.")
    return AudioEmbedding(features, audio.duration, digest, audio)


def keep_embedding(
    audio: AudioSource, encoder: WhisperEncoder, folder: Path, on_progress: Progress | None = None
) -> AudioEmbedding:
    """Embeds a voice unless `folder` holds its features, and keeps them there, however short they are.

    Raises:
        AudioError, OutputError: as `embed_audio`.
    """
    made = embed_audio(audio, encoder, on_progress, folder, kept=folder)
    if isinstance(made.features, torch.Tensor):
        shape = (made.features.shape[0], encoder.levels, encoder.width)
        _write_features([made.features], shape, made.digest, folder)
    return made


def kept_embedding(audio: AudioSource, encoder: WhisperEncoder, folder: Path) -> AudioEmbedding | None:
    """A voice's features that `keep_embedding` left in `folder`; None where there are none that fit."""
    digest = _digest(audio, encoder)
    path = Path(folder) / _features_name(digest)
    try:
        rows = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        log.warning("%s can't be used (%s): the voice is embedded again", path, problem)
        return None
    least = audio.duration * ROWS_PER_SECOND
    if rows.dtype != np.float16 or rows.ndim != 3 or rows.shape[1:] != (encoder.levels, encoder.width):
        return None
    if len(rows) <= least:
        return None
    return AudioEmbedding(FeatureFile(path, (len(rows), encoder.levels, encoder.width)), audio.duration, digest, audio)


def _digest(audio: AudioSource, encoder: WhisperEncoder) -> str:
    made_from = f"{audio.digest} {encoder.digest} {TAIL_SILENCE_SECONDS} {encoder.dtype}"
    return hashlib.sha256(made_from.encode()).hexdigest()


def _features_name(digest: str) -> str:
    return f"voice-{digest[:16]}.npy"


def frame_windows(
    features: torch.Tensor, fps: Fraction | float, frames: int | None, rule: WindowRule | str = WindowRule.VIDEO
) -> torch.Tensor:
    """The audio tokens of video frames 0, 1, 2 ... at a constant rate, all at once.

    Args:
        features: (T, levels, width) at 50 rows a second.
        fps: video frames per second.
        frames: how many windows; None for as many as the features last, or as upstream would make.
        rule: "video" maps by exact rational time; "reference" does upstream's float arithmetic.

    Returns:
        (frames, 10 * levels, width) of the features' dtype, time-major: token index = row * levels + level.

    Raises:
        AudioError: the features have no row.
        OptionError: fps or frames is not above 0, or the rule is unknown.
    """
    return _gather(features, window_centres(features.shape[0], fps, frames, rule))


def window_centres(
    rows: int, fps: Fraction | float, frames: int | None, rule: WindowRule | str = WindowRule.VIDEO
) -> np.ndarray:
    """The row (n,) int64 that each video frame's window lies around, not yet clamped to the `rows` there are.

    Arguments and errors are those of `frame_windows`.
    """
    if rule not in list(WindowRule):
        raise OptionError(f"The window rule is {rule!r}: choose {' or '.join(repr(r.value) for r in WindowRule)}.")
    if not 0 < fps < math.inf:
        raise OptionError(f"fps is {fps}: give a number of frames per second above 0.")
    if frames is not None and frames < 1:
        raise OptionError(f"frames is {frames}: give a number above 0, or None for as many as the sound lasts.")
    if WindowRule(rule) is WindowRule.REFERENCE:
        rate = float(fps)
        count = _reference_count(rows, rate) if frames is None else frames
        return np.array([int(v * ROWS_PER_SECOND / rate) for v in range(count)], dtype=np.int64)
    rate = Fraction(fps)
    count = math.ceil(rows * rate / ROWS_PER_SECOND) if frames is None else frames
    return np.array([v * ROWS_PER_SECOND * rate.denominator // rate.numerator for v in range(count)], dtype=np.int64)


def _reference_count(rows: int, fps: float) -> int:
    """Upstream steps until a frame's row lies past the end, and keeps the frame that did."""
    step = ROWS_PER_SECOND / fps
    frame = 0
    while int(frame * step) <= rows:
        frame += 1
    return frame + 1


def _gather(features: torch.Tensor | FeatureRows, centres: np.ndarray) -> torch.Tensor:
    """(n, 10 * levels, width) of the rows around `centres`, each row clamped to those there are."""
    rows = features.shape[0]
    if not rows:
        raise AudioError("The sound is too short to have a single row of features (1/50 s): give a longer one.")
    index = centres.astype(np.int64)[:, None] + np.arange(-ROWS_BEFORE, ROWS_AFTER)
    index = np.clip(index, 0, rows - 1)
    taken = features[torch.from_numpy(index)] if isinstance(features, torch.Tensor) else features[index]
    return taken.flatten(1, 2)  # (n, 10, levels, width) -> tokens


def _with_tail_silence(audio: AudioSource, report: Callable[[], None] | None = None) -> Iterator[torch.Tensor]:
    """The voice in 30 s blocks of 16 kHz mono, then the silence; `report` is called before each."""
    silence = torch.zeros(round(TAIL_SILENCE_SECONDS * SAMPLE_RATE))
    for block in itertools.chain(audio.mono16k_blocks(), [silence]):
        if report:
            report()
        yield block


def _write_features(
    pieces: Iterable[torch.Tensor], shape: tuple[int, int, int], digest: str, folder: Path | None
) -> FeatureFile:
    """Writes (n, levels, width) float16 pieces one after the other as one .npy file, removed if that fails."""
    name, rows = _features_name(digest), 0
    try:
        with ExitStack() as failed:
            owned = None
            parent = folder
            if parent is None:
                owned = ScratchFolder()
                failed.callback(owned.close)
                parent = owned.path
            target = Path(parent) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as partial, partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
                for piece in pieces:
                    file.write(piece.contiguous().numpy().astype("<f2", copy=False).data)
                    rows += len(piece)
            failed.pop_all()
    except OSError as problem:
        raise OutputError(
            f"The voice's features can't be written to {folder or 'the folder for temporary files'} "
            f"({problem.strerror or problem}): free some room there."
        ) from None
    return FeatureFile(target, (rows, *shape[1:]), owned)

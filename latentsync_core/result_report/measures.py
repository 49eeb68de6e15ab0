"""Measures a dubbed film against its source: sync and motion of every person's mouth, and the traces of the patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.pause_options import PauseOptions
from ..audio.source import AudioSource
from ..audio.speech_activity import detect_speech
from ..evaluation.scores import MAX_OFFSET_FRAMES, SyncScore, sync_score, temporal_distance
from ..evaluation.sync_mel import SYNCNET_FPS
from ..evaluation.syncnet import SyncNet
from ..faces.alignment.mouth_mask import mouth_mask
from ..faces.crop_path import path_transforms
from ..faces.face_tracks import FaceTracks
from ..faces.selection import ChooseBy, FaceChoice, choose
from ..media.sound_window import SoundWindow
from ..models.whisper.log_mel import SAMPLE_RATE
from ..progress import Progress
from ..runs import runs_where
from ..trepa.video_encoder import VideoEncoder
from ..video.clip import Clip
from .paired_crops import RESOLUTION, STRETCH, PairedCrops, match_frames, paired_crops

SPARE_SECONDS = 0.1  # of sound after a stretch's last frame, for SyncNet's last window
MIN_CHANGE = 1.0  # levels by which a dubbed mouth differs at the least, beyond what the upper face does
NOISE_SHARE = 2.0  # of the upper face's difference, which is the encoder's, that isn't taken for a new mouth
EDGE_LEVELS = 3.0  # levels of difference, smoothed, from which a pixel belongs to the patch
EDGE_WIDTH = 7  # pixels of a crop: of the band along the patch's border
NEAR_SECONDS = 1.0  # around new mouths, in which those as filmed belong to the stretch: a mouth at rest tells too
SPEECH_WEIGHT = 0.5  # of a voice's activity, from which a frame counts as speech


@dataclass(frozen=True)
class MouthStretch:
    """What was measured of some seconds of one mouth."""

    first: int  # the result's frames, half-open
    stop: int
    sync: SyncScore | None  # None: too short, or without speech
    windows: int  # that `sync` is a mean over
    motion: float | None  # TREPA distance to the filmed mouth's motion; None: under 16 frames


@dataclass(frozen=True, eq=False)
class PersonMeasures:
    """What was measured of one person whose mouth is new."""

    person: int
    changed: np.ndarray  # (F,) bool: the result's frames in which the mouth was changed
    seen: np.ndarray  # (F,) bool: those in which the face is seen
    difference: np.ndarray  # (F,) float32 mean absolute difference of the mouth in levels; NaN where it isn't seen
    stretches: tuple[MouthStretch, ...]
    flicker: float | None  # of the patch's border, relative to the source's own there; None: nothing to compare

    @property
    def sync(self) -> SyncScore | None:
        """The score over all stretches; None where no stretch has one."""
        scored = [(one.sync, one.windows) for one in self.stretches if one.sync is not None]
        return combined_score([score for score, _ in scored], [windows for _, windows in scored])

    @property
    def motion(self) -> float | None:
        """The mean TREPA distance over all stretches, by their frames."""
        known = [(one.motion, one.stop - one.first) for one in self.stretches if one.motion is not None]
        frames = sum(count for _, count in known)
        return math.fsum(value * count for value, count in known) / frames if frames else None


@dataclass(frozen=True, eq=False)
class ResultMeasures:
    """What was measured of a film; F frames."""

    result: Clip
    source: Clip
    sound: str  # the name of what the mouths were compared with
    times: np.ndarray  # (F,) float64 seconds
    index: np.ndarray  # (F,) int64: the source's frames; -1 beyond its end
    speech: np.ndarray  # (F,) float32: how far the sound's voice speaks, 0 to 1
    detector: str  # what found the speech
    people: tuple[PersonMeasures, ...]  # those with a new mouth


@dataclass
class _Person:
    """What is gathered about one person while the film goes by."""

    number: int
    frames: int
    stretches: list[MouthStretch] = field(default_factory=list)
    flicker: list[tuple[float, float]] = field(default_factory=list)  # of the result and of the source, by frame

    def __post_init__(self) -> None:
        self.seen, self.changed = np.zeros(self.frames, bool), np.zeros(self.frames, bool)
        self.difference = np.full(self.frames, np.nan, np.float32)

    def measures(self) -> PersonMeasures:
        ours, theirs = (math.fsum(values) for values in zip(*self.flicker, strict=True)) if self.flicker else (0, 0)
        return PersonMeasures(
            self.number, self.changed, self.seen, self.difference, tuple(self.stretches),
            ours / theirs if theirs > 0 else None,
        )  # fmt: skip


def measure_result(
    faces: FaceTracks,
    result: Clip,
    sound: AudioSource,
    syncnet: SyncNet,
    encoder: VideoEncoder,
    on_progress: Progress | None = None,
) -> ResultMeasures:
    """Measures a result against the faces of the clip that it was made from. Memory doesn't grow with its length.

    Args:
        faces: of the source.
        sound: what the mouths should follow, beginning with the result's first frame; the voice alone is best.
        syncnet, encoder: the networks; scores of other ones are on other scales.
        on_progress: counts the result's frames; raising from it cancels.

    Raises:
        VideoError: the result isn't of the source's size, or a clip can't be read.
        AudioError: the sound can't be read.
    """
    index = match_frames(faces.clip, result)
    activity = detect_speech(sound)
    speech = activity.weights(result.times, PauseOptions())
    window = SoundWindow(sound.mono16k_blocks(), round(2 * STRETCH / float(result.fps) * SAMPLE_RATE))
    people = sorted({track.person for track in faces.tracks})
    transforms = [
        path_transforms(choose(faces, FaceChoice(ChooseBy.INDEX, person=person)), RESOLUTION) for person in people
    ]
    gathered = [_Person(person, len(index)) for person in people]
    for crops in paired_crops(faces.clip, result, index, transforms):
        one = gathered[people.index(crops.person)]
        _add(one, crops, result, window, speech, syncnet, encoder)
        if on_progress:
            on_progress(crops.frames.stop, len(index))
    return ResultMeasures(
        result, faces.clip, sound.name, result.times, index, speech, activity.detector,
        tuple(one.measures() for one in gathered if one.changed.any()),
    )  # fmt: skip


def _add(
    person: _Person,
    crops: PairedCrops,
    result: Clip,
    window: SoundWindow,
    speech: np.ndarray,
    syncnet: SyncNet,
    encoder: VideoEncoder,
) -> None:
    frames = crops.frames
    changed, difference = mouth_changes(crops.source, crops.result)
    part = slice(frames.start, frames.stop)
    person.seen[part], person.changed[part], person.difference[part] = True, changed, difference
    for start, stop in runs_where(within(changed, round(NEAR_SECONDS * float(result.fps)))):
        before, after = crops.source[start:stop], crops.result[start:stop]
        first, last = frames.start + start, frames.start + stop
        person.flicker += border_flicker(before, after)
        person.stretches.append(
            MouthStretch(
                first, last, *_sync(after, result, first, window, speech[first:last], syncnet),
                temporal_distance(encoder, after * 2 - 1, before * 2 - 1)
                if len(after) >= encoder.config.frames else None,
            )
        )  # fmt: skip


def _sync(
    crops: Tensor, result: Clip, first: int, window: SoundWindow, speech: np.ndarray, net: SyncNet
) -> tuple[SyncScore | None, int]:
    """The score of a stretch and its windows; none where it is too short for all offsets, or nobody speaks in it."""
    begin = round(float(result.times[first]) * SAMPLE_RATE)
    length = round((len(crops) / float(result.fps) + SPARE_SECONDS) * SAMPLE_RATE)
    windows = math.floor(len(crops) * SYNCNET_FPS / float(result.fps)) - net.config.frames - 2 * MAX_OFFSET_FRAMES + 1
    if windows < 1 or not (speech >= SPEECH_WEIGHT).any():
        return None, 0
    return sync_score(net, crops * 2 - 1, window.part(begin, length), result.fps), windows


def mouth_changes(source: Tensor, result: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whether each of n mouths is a new one, (n,) bool, and by how many levels it differs, (n,) float32.

    The upper face, which dubbing leaves alone, tells how much the encoder changes.

    Args:
        source, result: (n, 3, RESOLUTION, RESOLUTION) in [0, 1], the same faces.
    """
    levels = (result - source).abs().mean(1) * 255
    generated = mouth_mask(RESOLUTION).view(RESOLUTION, RESOLUTION) == 0
    upper = torch.zeros_like(generated)
    upper[: RESOLUTION // 3] = True
    mouth, rest = levels[:, generated].mean(1), levels[:, upper & ~generated].mean(1)
    return (mouth > MIN_CHANGE + NOISE_SHARE * rest).numpy(), mouth.numpy()


def within(changed: np.ndarray, frames: int) -> np.ndarray:
    """(n,) bool: the frames that lie no further than `frames` from one in which `changed` (n,) is True."""
    near = np.zeros(len(changed), bool)
    for start, stop in runs_where(changed):
        near[max(start - frames, 0) : stop + frames] = True
    return near


def border_flicker(source: Tensor, result: Tensor) -> list[tuple[float, float]]:
    """Changes from frame to frame along the patch's border, in levels: of the result and of the source, by frame."""
    levels = (result - source).abs().mean(1, keepdim=True) * 255
    patch = (F.avg_pool2d(levels, EDGE_WIDTH, 1, EDGE_WIDTH // 2) > EDGE_LEVELS).float()
    half = EDGE_WIDTH // 2
    grown = F.max_pool2d(patch, EDGE_WIDTH, 1, half)
    shrunk = 1 - F.max_pool2d(1 - patch, EDGE_WIDTH, 1, half)
    border = (grown > shrunk)[1:, 0]
    found = []
    for frame in range(len(result) - 1):
        if not border[frame].any():
            continue
        ours, theirs = (
            float((clip[frame + 1] - clip[frame]).abs().mean(0)[border[frame]].mean() * 255)
            for clip in (result, source)
        )
        found.append((ours, theirs))
    return found


def combined_score(scores: Sequence[SyncScore], windows: Sequence[int]) -> SyncScore | None:
    """The score over the windows of all; None of none."""
    if not scores:
        return None
    distances = np.average([score.distances for score in scores], axis=0, weights=windows)
    reach = len(distances) // 2
    return SyncScore(
        int(distances.argmin()) - reach, float(np.median(distances) - distances.min()), tuple(distances.tolist())
    )

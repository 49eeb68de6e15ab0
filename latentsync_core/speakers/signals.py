"""What tells who speaks: the sound's level, every mouth's opening, and how well mouth and sound are in sync.

All of it lies on one grid of 25 steps a second, whatever the clip's frame rate. One pass over those of the clip's
frames that show a mouth during speech; the openings are those that tracking has read, where it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ..audio.pause_options import PauseOptions
from ..audio.resample import TARGET_RATE
from ..audio.source import AudioSource
from ..audio.speech_activity import detect_speech
from ..evaluation.sync_mel import SYNCNET_FPS
from ..evaluation.syncnet import SyncNet
from ..faces.alignment.align import align_track
from ..faces.face_tracks import FaceTracks
from ..faces.mouth_opening import opening_at
from ..faces.tracks import FaceTrack
from ..progress import Progress
from ..runs import runs_where
from ..video.clip import Clip
from ..video.frame import Frame
from ..video.reading.frame_sequence import FrameSequence
from .mouth_sync import HOP, MouthSync, mouth_picture

STEPS_PER_SECOND = SYNCNET_FPS
STEP_SAMPLES = TARGET_RATE // STEPS_PER_SECOND
MIN_POWER = 1e-8  # of a full-scale signal: levels stop falling at -80 dB
STAMP_TOLERANCE = 1e-6  # seconds by which a frame's stamp may miss the step from which on it is shown
SPEECH = PauseOptions(hangover=0.08, ramp=0.0)  # a pause that parts two speakers is shorter than one that shuts a mouth
MIN_SPOKEN_SHARE = 0.5  # of a window: less sound says little about its mouth


@dataclass(frozen=True, eq=False)
class TrackSignals:
    """One mouth, in the grid's steps from `start` on at which its track is shown."""

    start: int
    opening: np.ndarray  # (n,) float32, see FaceTrack; NaN where it isn't known
    sync_steps: np.ndarray  # (m,) int64: the steps at which SyncNet's windows begin, ascending
    sync: np.ndarray  # (m, 3) float32, of each window; see MouthSync.finish


@dataclass(frozen=True, eq=False)
class SpeakerSignals:
    """The sound and all mouths of a clip, on the grid's G steps."""

    frames: np.ndarray  # (G,) int64: the clip's frame that is shown at each step
    level: np.ndarray  # (G,) float32 dB, 0 being full scale
    speech: np.ndarray  # (G,) bool
    tracks: tuple[TrackSignals, ...]  # in the order of FaceTracks.tracks


@torch.inference_mode()
def measure_signals(
    faces: FaceTracks, audio: AudioSource, net: SyncNet, on_progress: Progress | None = None
) -> SpeakerSignals:
    """Reads the clip's original sound, and the frames that show a mouth during speech.

    Memory grows with the clip only by some numbers per step and mouth.

    Args:
        audio: the clip's own sound, beginning with its first frame.
        on_progress: counts frames; raising from it cancels.

    Raises:
        AudioError: the sound can't be read.
        VideoError: the clip can't be read, or has changed.
    """
    frames = shown_frames(faces.clip)
    speech = detect_speech(audio).weights((np.arange(len(frames)) + 0.5) / STEPS_PER_SECOND, SPEECH) >= 0.5
    mouths = [_Mouth(track, faces, frames, speech, net) for track in faces.tracks]
    sync = MouthSync(net, audio.mono16k_blocks(), [mouth.window_starts for mouth in mouths])
    wanted = np.unique(np.concatenate([np.zeros(0, np.int64), *(frames[mouth.wanted_steps] for mouth in mouths)]))
    with FrameSequence(faces.clip) as sequence:
        for done, (index, frame) in enumerate(zip(wanted, sequence.frames(wanted.tolist()), strict=True), 1):
            steps = range(*np.searchsorted(frames, (index, index + 1)).tolist())
            for number, mouth in enumerate(mouths):
                mouth.read_opening(frame, int(index), steps)
                inside = [step for step in steps if mouth.in_window(step)]
                if inside:
                    picture = mouth_picture(frame, mouth.transform(int(index)), net.config.face_size)
                    for step in inside:
                        sync.add(number, step, picture)
            if on_progress:
                on_progress(done, len(wanted))
    tracks = (
        TrackSignals(mouth.start, mouth.opening, mouth.window_starts, readings)
        for mouth, readings in zip(mouths, sync.finish(), strict=True)
    )
    return SpeakerSignals(frames, sound_levels(audio.mono16k_blocks(), len(frames)), speech, tuple(tracks))


def shown_frames(clip: Clip) -> np.ndarray:
    """(G,) int64: the frame that is shown at every 1/25 s from the clip's first frame to its end."""
    steps = np.arange(max(1, int(clip.duration * STEPS_PER_SECOND + STAMP_TOLERANCE))) / STEPS_PER_SECOND
    return np.clip(np.searchsorted(clip.times, steps + STAMP_TOLERANCE, side="right") - 1, 0, clip.frame_count - 1)


def sound_levels(blocks: Iterable[torch.Tensor], count: int) -> np.ndarray:
    """(count,) float32 dB: the level of each 1/25 s of a sound at 16 kHz, 0 being full scale; silence after its end."""
    powers, rest = [], torch.zeros(0)
    for block in blocks:
        samples = torch.cat([rest, block])
        whole = len(samples) // STEP_SAMPLES
        powers.append(samples[: whole * STEP_SAMPLES].reshape(whole, STEP_SAMPLES).square().mean(1).numpy())
        rest = samples[whole * STEP_SAMPLES :]
    power = np.concatenate([np.zeros(0, np.float32), *powers])[:count]
    return (10 * np.log10(np.pad(power, (0, count - len(power))) + MIN_POWER)).astype(np.float32)


class _Mouth:
    """A track on the grid: what of it has to be read."""

    def __init__(
        self, track: FaceTrack, faces: FaceTracks, frames: np.ndarray, speech: np.ndarray, net: SyncNet
    ) -> None:
        self._track, self._faces = track, faces
        window, self._resolution = net.config.frames, net.config.face_size[1]
        self._transforms: np.ndarray | None = None
        self.start, stop = np.searchsorted(frames, (track.start, track.stop)).tolist()
        rows = frames[self.start : stop] - track.start
        visible = track.visible[rows]
        self.opening = track.opening[rows].copy()
        unknown = visible & ~np.isfinite(self.opening) & speech[self.start : stop]
        starts = [
            start
            for first, last in runs_where(visible)
            for start in range(-(-(self.start + first) // HOP) * HOP, self.start + last - window + 1, HOP)
            if speech[start : start + window].mean() >= MIN_SPOKEN_SHARE
        ]
        self.window_starts = np.array(starts, np.int64)
        self._in_window = np.zeros(len(rows), bool)
        for start in starts:
            self._in_window[start - self.start : start - self.start + window] = True
        self._unknown = unknown
        self.wanted_steps = self.start + np.flatnonzero(self._in_window | unknown)

    def in_window(self, step: int) -> bool:
        return 0 <= step - self.start < len(self._in_window) and bool(self._in_window[step - self.start])

    def transform(self, index: int) -> np.ndarray:
        """(2, 3) of the clip's frame `index`, where the track is visible."""
        if self._transforms is None:
            track, clip = self._track, self._faces.clip
            self._transforms = align_track(
                track.landmarks, track.visible, self._resolution, self._faces.align, clip.sample_aspect
            )
        return self._transforms[index - self._track.start]

    def read_opening(self, frame: Frame, index: int, steps: range) -> None:
        """Measures the opening at `steps`, which show the clip's frame `index`, where tracking hasn't."""
        rows = [step - self.start for step in steps if 0 <= step - self.start < len(self._unknown)]
        if rows and self._unknown[rows].any():
            self.opening[rows] = opening_at(frame, self._track, index)

"""The output timeline: which source frame each output frame shows, and when, whatever clip and voice last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np

from ..errors import OptionError
from ..video.clip import Clip

STRETCH_LIMITS = (Fraction(4, 5), Fraction(5, 4))  # of a frame's own time, in which motion still looks natural
TIME_TOLERANCE = 1e-3  # seconds: a voice that outlasts a frame by less needs no frame more


class LengthRule(str, Enum):
    """What happens where clip and voice differ in length."""

    VIDEO = "video"  # the clip decides: silence after a shorter voice, a longer one is cut
    HOLD = "hold"  # a longer voice holds the last frame
    PING_PONG = "ping-pong"  # a longer voice plays the clip backwards and forwards again
    CUT = "cut"  # the shorter of the two decides
    LOOP = "loop"  # a longer voice plays the clip from its beginning again
    REMAP = "remap"  # every frame of the clip is shown longer or shorter, so that both end together


@dataclass(frozen=True, eq=False)
class Timeline:
    """F output frames."""

    source_index: np.ndarray  # (F,) int64: the clip's frame that each output frame shows
    pts: np.ndarray  # (F,) int64 ticks of `clip.time_base`
    times: np.ndarray  # (F,) float64 seconds after the first output frame
    clip: Clip  # with the time base and rate of the output, which are its own unless it is stretched

    @property
    def passages(self) -> np.ndarray:
        """(F,) int64, the same number in frames that follow each other in the clip too, in either direction."""
        return np.concatenate([[0], np.cumsum(np.abs(np.diff(self.source_index)) > 1)])


def plan_timeline(clip: Clip, voice_seconds: float, rule: LengthRule = LengthRule.VIDEO) -> Timeline:
    """Lays `clip` out under a voice of `voice_seconds`.

    Frames of the clip keep their own stamps; frames added after its end follow at its nominal rate. Under REMAP stamps
    are scaled to the voice's length.

    Raises:
        OptionError: REMAP would show frames for a time beyond STRETCH_LIMITS.
    """
    rule = LengthRule(rule)
    frames = clip.frame_count
    if rule is LengthRule.REMAP:
        ratio = Fraction(voice_seconds).limit_denominator(10**6) / clip.exact_duration
        if not STRETCH_LIMITS[0] <= ratio <= STRETCH_LIMITS[1]:
            least, most = (f"{float(limit):g}" for limit in STRETCH_LIMITS)
            raise OptionError(
                f"the voice lasts {voice_seconds:.2f} s and the clip {clip.duration:.2f} s: remap would show frames "
                f"{float(ratio):.3f} times as long as filmed; it takes {least} to {most}: choose another length"
            )
        return build_timeline(clip.stretched(ratio), frames, rule)
    if rule is LengthRule.CUT:
        frames = max(1, int(np.searchsorted(clip.times, voice_seconds - TIME_TOLERANCE)))
    elif rule in (LengthRule.HOLD, LengthRule.PING_PONG, LengthRule.LOOP):
        missing = voice_seconds - TIME_TOLERANCE - clip.duration
        frames += max(0, int(np.ceil(missing * float(clip.fps))))
    return build_timeline(clip, frames, rule)


def build_timeline(clip: Clip, frames: int, rule: LengthRule) -> Timeline:
    """The timeline of exactly `frames` output frames; those past the clip's end are filled by `rule`.

    Ping-pong repeats the end frames (0 1 2 2 1 0 0 1 ...), as the reference does.
    """
    output = np.arange(frames)
    if rule is LengthRule.PING_PONG:
        lap, place = np.divmod(output, clip.frame_count)
        source_index = np.where(lap % 2 == 0, place, clip.frame_count - 1 - place)
    elif rule is LengthRule.LOOP:
        source_index = output % clip.frame_count
    else:
        source_index = np.minimum(output, clip.frame_count - 1)

    pts = clip.pts[np.minimum(output, clip.frame_count - 1)].copy()
    ticks_per_frame = 1 / (clip.fps * clip.time_base)
    for added, at in enumerate(range(clip.frame_count, frames), start=1):
        pts[at] += round(added * ticks_per_frame)
    times = (pts - pts[0]) * float(clip.time_base)
    return Timeline(source_index.astype(np.int64), pts, times, clip)

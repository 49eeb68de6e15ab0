"""Fits one spoken line to its time: silence is trimmed, then the speech stretched at its own pitch, within limits."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import AudioError
from .fit_options import MAX_TEMPO, MIN_TEMPO, FitOptions
from .sound_filter import filtered, has_filter, with_length

SAME_LENGTH = 0.004  # seconds by which speech may miss its time without being stretched for it
EDGE_SECONDS = 0.02  # kept, and faded, before and after what is loud enough to be speech: soft on- and offsets
LEVEL_WINDOW, LEVEL_HOP = 0.005, 0.001  # seconds
DYNAMIC_RANGE = 40.0  # dB below the loudest 5 ms in which a sound is speech
ABOVE_NOISE = 6.0  # dB above the steady noise, where it is louder than that
SILENCE_DBFS = -70.0  # a sound whose loudest 5 ms lie below holds no speech
CONTEXT_SECONDS = 0.1  # of silence around what is stretched: a stretcher needs some to begin and end cleanly
EDGE_LEVELS = (20.0, 25.0, 30.0, 35.0, 40.0)  # dB below the loudest 5 ms: a soft sound may miss some of them
MAX_TRIES = 3  # of the tempo, since a stretcher may miss a length by some milliseconds


@dataclass(frozen=True, eq=False)
class FittedSpeech:
    """One line's speech as it will be placed."""

    samples: torch.Tensor  # (n,) float32, with `lead` samples before the speech and as many after it
    lead: int  # samples kept before and after the speech
    natural_seconds: float  # the speech before it was stretched
    tempo: float  # 1 where it wasn't
    method: str  # "rubberband", "atempo", or "" where it wasn't

    @property
    def speech_samples(self) -> int:
        """The speech without what is kept around it."""
        return len(self.samples) - 2 * self.lead


def stretch_method() -> str:
    """ "rubberband" where the carried ffmpeg has it, otherwise "atempo", whose speech sounds rougher."""
    return "rubberband" if has_filter("rubberband") else "atempo"


def speech_bounds(samples: torch.Tensor, rate: int) -> tuple[int, int] | None:
    """The first sample of a (n,) sound that is loud enough to be speech, and the one after the last; None for none.

    Speech lies within 40 dB of the loudest 5 ms, and 6 dB above noise that never stops.
    """
    if not len(samples):
        return None
    hop = max(1, round(LEVEL_HOP * rate))
    levels = _levels(samples, rate)
    loudest = float(levels.max())
    if loudest < SILENCE_DBFS:
        return None
    threshold = loudest - DYNAMIC_RANGE
    noise = float(levels.kthvalue(max(1, len(levels) // 20)).values) + ABOVE_NOISE
    if noise < loudest - 2 * ABOVE_NOISE:
        threshold = max(threshold, noise)
    loud = (levels > threshold).nonzero()
    return int(loud[0]) * hop, min(len(samples), int(loud[-1]) * hop + 1)


def fit_speech(
    samples: torch.Tensor, rate: int, seconds: float, options: FitOptions | None = None, method: str | None = None
) -> FittedSpeech:
    """The speech of a (n,) float32 sound, as long as `seconds` where the limits allow it.

    Args:
        method: "rubberband" or "atempo"; None takes `stretch_method`.

    Raises:
        AudioError: the sound holds no speech, only silence.
    """
    options = options or FitOptions()
    bounds = speech_bounds(samples, rate)
    if bounds is None:
        raise AudioError("there is only silence in it: speak the line again")
    start, stop = bounds
    natural = (stop - start) / rate
    tempo = min(max(natural / seconds, options.min_tempo), options.max_tempo)
    lead = round(EDGE_SECONDS * rate)
    if abs(natural - seconds) <= SAME_LENGTH or tempo == 1:
        return FittedSpeech(_with_edges(samples, start, stop, lead), lead, natural, 1.0, "")
    method = method or stretch_method()
    return FittedSpeech(_stretched(samples[start:stop], rate, tempo, method, lead), lead, natural, tempo, method)


def _stretched(speech: torch.Tensor, rate: int, tempo: float, method: str, lead: int) -> torch.Tensor:
    """Speech at `tempo`, with `lead` samples on both sides.

    A stretcher may begin some milliseconds early and miss its tempo a little: where the result gets loud and falls
    silent, at several levels, tells by how much.
    """
    wanted = round(len(speech) / tempo)
    context = round(CONTEXT_SECONDS * rate)
    padded = torch.nn.functional.pad(speech, (context, context))[None]
    expected = context / tempo + _edges(speech, rate) / tempo  # (2, levels)
    asked, best = tempo, None
    for _ in range(MAX_TRIES):
        made = filtered(padded, rate, f"{_filter(method)}={asked:.6f}", "Can't stretch the speech")[0]
        late_start, late_end = (_edges(made, rate) - expected).median(dim=1).values.tolist()
        error = late_end - late_start
        if best is None or abs(error) < abs(best[0]):
            best = error, made, round(context / tempo + late_end)  # the end counts more than the beginning
        if abs(error) <= SAME_LENGTH * rate / 2:
            break
        asked = min(max(asked * (wanted + error) / wanted, MIN_TEMPO / 2), MAX_TEMPO * 2)
    assert best is not None  # there is at least one try
    _, made, start = best
    return _with_edges(made, start, start + wanted, lead)


def _edges(samples: torch.Tensor, rate: int) -> torch.Tensor:
    """(2, levels) float64: the first and last sample at which a sound is within each of `EDGE_LEVELS` of its peak."""
    hop = max(1, round(LEVEL_HOP * rate))
    levels = _levels(samples, rate)
    loud = [(levels > levels.max() - below).nonzero() for below in EDGE_LEVELS]
    return torch.tensor([[int(found[0]) for found in loud], [int(found[-1]) + 1 for found in loud]]).double() * hop


def _levels(samples: torch.Tensor, rate: int) -> torch.Tensor:
    """(n,) float64 dBFS of the 5 ms around every millisecond."""
    window, hop = max(1, round(LEVEL_WINDOW * rate)), max(1, round(LEVEL_HOP * rate))
    power = torch.nn.functional.pad(samples.double().square(), (window // 2, window))
    return 10 * power.unfold(0, window, hop).mean(1).clamp(min=1e-12).log10()[: -(-len(samples) // hop)]


def _filter(method: str) -> str:
    return "rubberband=window=short:tempo" if method == "rubberband" else "atempo"


def _with_edges(samples: torch.Tensor, start: int, stop: int, lead: int) -> torch.Tensor:
    """Samples `start` to `stop` and `lead` more to each side, silence where there are none, faded in and out there."""
    before = max(0, lead - start)
    part = torch.nn.functional.pad(samples, (before, 0))[start + before - lead : stop + before + lead]
    part = with_length(part[None], stop - start + 2 * lead)[0].clone()
    fade = torch.linspace(0, 1, lead + 2)[1:-1]
    part[:lead] *= fade
    part[len(part) - lead :] *= fade.flip(0)
    return part

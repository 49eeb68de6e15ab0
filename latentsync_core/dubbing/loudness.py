"""Loudness and true peak (EBU R128, ITU-R BS.1770) by the carried ffmpeg: measured, and brought to a target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..errors import AudioError
from ..media.ffmpeg import run_ffmpeg
from ..media.opening import ffmpeg_piped_samples
from .sound_filter import filtered, with_length

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}  # as files hold channels
OVERSAMPLED = 192_000  # Hz at which peaks between samples show
LIMITER_MARGIN = 0.3  # dB that filtering back to the sound's own rate may add to a peak
SILENCE_LUFS = -69.0  # ffmpeg reports -70 for a sound that its gate leaves nothing of
MAX_TRIES = 6
CLOSE_ENOUGH = 0.1  # LU


@dataclass(frozen=True)
class Loudness128:
    """What a sound measures."""

    lufs: float  # integrated; -inf where it is silent
    true_peak: float  # dBTP


def measure_loudness(waveform: torch.Tensor, rate: int) -> Loudness128:
    """The loudness of (C, T) float32; surround channels count more and the low effects don't, by the layout.

    Raises:
        AudioError: ffmpeg fails.
    """
    channels = len(waveform)
    layout = ["-channel_layout", LAYOUTS[channels]] if channels in LAYOUTS else []
    quiet = torch.nn.functional.pad(waveform, (0, max(0, rate // 2 - waveform.shape[1])))
    shown = run_ffmpeg(
        [*layout, *ffmpeg_piped_samples(rate, channels), "-af",
         "ebur128=peak=true:metadata=1,ametadata=mode=print:file=-", "-f", "null", "-"],
        error=AudioError,
        what="Can't measure the loudness",
        input=quiet.T.contiguous().numpy().tobytes(),
    ).decode("utf-8", "replace")  # fmt: skip
    values: dict[str, float] = {}
    for row in shown.splitlines():
        name, equals, value = row.partition("=")
        if equals and name in ("lavfi.r128.I", "lavfi.r128.true_peak"):
            values[name] = float(value)
    lufs = values.get("lavfi.r128.I", -math.inf)
    peak = max(values.get("lavfi.r128.true_peak", 0.0), float(waveform.abs().max()) if waveform.numel() else 0.0)
    return Loudness128(lufs if lufs > SILENCE_LUFS else -math.inf, 20 * math.log10(peak) if peak > 0 else -math.inf)


def limited(waveform: torch.Tensor, rate: int, true_peak: float) -> torch.Tensor:
    """(C, T) whose peaks, also between samples, stay below `true_peak` dBTP; unchanged where they do.

    Raises:
        AudioError: ffmpeg fails.
    """
    measured = measure_loudness(waveform, rate).true_peak
    ceiling = true_peak - LIMITER_MARGIN
    for _ in range(MAX_TRIES):
        if measured <= true_peak:
            return waveform
        level = max(10 ** (ceiling / 20), 0.0625)
        chain = f"aresample={OVERSAMPLED},alimiter=limit={level:.6f}:level=false:latency=true:attack=5:release=50"
        made = filtered(waveform, rate, f"{chain},aresample={rate}", "Can't limit the mix")
        made = with_length(made, waveform.shape[1])
        measured = measure_loudness(made, rate).true_peak
        if measured <= true_peak:
            return made
        ceiling -= measured - true_peak + 0.05
    return waveform * 10 ** ((true_peak - measure_loudness(waveform, rate).true_peak) / 20)


def with_loudness(waveform: torch.Tensor, rate: int, lufs: float, true_peak: float | None) -> torch.Tensor:
    """(C, T) at an integrated loudness, limited where a true peak is given; silence is left unchanged.

    Raises:
        AudioError: ffmpeg fails.
    """
    measured = measure_loudness(waveform, rate).lufs
    if math.isinf(measured):
        return waveform
    gain = lufs - measured
    made = waveform
    for _ in range(MAX_TRIES):
        made = waveform * 10 ** (gain / 20)
        if true_peak is None:
            return made
        made = limited(made, rate, true_peak)
        missing = lufs - measure_loudness(made, rate).lufs  # what the limiter took
        if abs(missing) <= CLOSE_ENOUGH:
            return made
        gain += missing
    return made

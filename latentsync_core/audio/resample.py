"""Resamples audio of any rate to 16 kHz, block by block, with the same result as all at once."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable, Iterator

import torch

TARGET_RATE = 16000  # Hz
ZERO_CROSSINGS = 64  # of the windowed sinc, to each side
ROLLOFF = 0.9475937167399596  # of the lower Nyquist frequency: flat to 7.3 kHz, 100 dB down at 8.1 kHz
KAISER_BETA = 14.769656459379492
MAX_KERNEL_VALUES = 1 << 24  # values; torchaudio lists every phase, for a rate such as 44101 Hz three billion bytes
BLOCK_SECONDS = 10
# The same filter in ffmpeg's words, for rates and machines that torchaudio can't serve.
FFMPEG_FILTER = f"aresample={TARGET_RATE}:filter_type=kaiser:kaiser_beta=15:filter_size=128:cutoff={ROLLOFF:.4f}"

logger = logging.getLogger(__name__)


def resampler(rate: int) -> Callable[[Iterable[torch.Tensor]], Iterator[torch.Tensor]] | None:
    """What turns (n,) float32 blocks at `rate` Hz into blocks at 16 kHz, ceil(n * 16000 / rate) samples in all.

    None where ffmpeg has to do it (`FFMPEG_FILTER`): torchaudio is absent, or `rate` is too odd for it.
    """
    if rate == TARGET_RATE:
        return iter
    divisor = math.gcd(rate, TARGET_RATE)
    old, new = rate // divisor, TARGET_RATE // divisor
    # Input samples that one output sample sees.
    half_width = math.ceil(ZERO_CROSSINGS * old / (min(old, new) * ROLLOFF))
    if new * (2 * half_width + old) > MAX_KERNEL_VALUES:
        return None
    resample = _torchaudio_resample()
    if resample is None:
        return None
    return functools.partial(_resample_blocks, resample=resample, old=old, new=new, half_width=half_width)


def _resample_blocks(
    blocks: Iterable[torch.Tensor], resample: Callable[..., torch.Tensor], old: int, new: int, half_width: int
) -> Iterator[torch.Tensor]:
    """Resamples overlapping stretches and keeps the middle of each, which no edge has touched.

    Stretches begin on multiples of `old` samples, so that every output sample keeps its phase.
    """
    margin = math.ceil(half_width / old) * old  # input samples
    step = math.ceil(BLOCK_SECONDS * TARGET_RATE / new) * old
    skip = margin // old * new  # output samples made of a margin

    def convert(samples: torch.Tensor) -> torch.Tensor:
        return resample(
            samples,
            old,
            new,
            lowpass_filter_width=ZERO_CROSSINGS,
            rolloff=ROLLOFF,
            resampling_method="sinc_interp_kaiser",
            beta=KAISER_BETA,
        )

    buffered = torch.zeros(margin)
    for block in blocks:
        buffered = torch.cat([buffered, block])
        while len(buffered) >= margin + step + margin:
            yield convert(buffered[: margin + step + margin])[skip : skip + step // old * new]
            buffered = buffered[step:]
    if len(buffered) > margin:
        yield convert(buffered)[skip:]


@functools.cache
def _torchaudio_resample() -> Callable[..., torch.Tensor] | None:
    """torchaudio's function; None, said once, where the package is absent or was built for another torch."""
    try:
        from torchaudio.functional import resample
    except (ImportError, OSError, RuntimeError) as problem:
        logger.warning("torchaudio can't be used (%s); ffmpeg resamples the sound instead.", problem)
        return None
    return resample

"""The sound of a room: how long it rings, measured on speech in it, and a reverb that rings as long."""

from __future__ import annotations

import torch

from ..errors import AudioError
from .sound_filter import resampled

RATE = 16000  # Hz at which decays are listened to
FRAME, HOP = 512, 128  # samples of a spectrum and between two: 32 ms, 8 ms
BANDS = ((250, 500), (500, 1000), (1000, 2000), (2000, 4000))  # Hz
MIN_FALL, MIN_HOPS = 12.0, 6  # dB and hops of a fall that is listened to
TOP, MAX_RISE = 8.0, 6.0  # dB below its beginning at which a fall counts; dB that a level may rise within one
ABOVE_FLOOR = 8.0  # dB above the steady noise at which a fall ends
QUANTILE = 0.4  # of the falls: a sound can die away slower than its room, hardly faster
MIN_FALLS = 8
MIN_DECAY, MAX_DECAY = 0.15, 3.0  # seconds
MIN_RESPONSE_SECONDS, MAX_RESPONSE_SECONDS = 0.01, 15.0
PRE_DELAY = 0.012  # seconds before the first reflection
TREBLE_LOSS = 4000.0  # Hz from which on a room's walls and air swallow more
BLOCK = 1 << 18  # samples convolved at a time


def estimate_decay(samples: torch.Tensor, rate: int) -> float:
    """Seconds in which a room's sound falls by 60 dB, measured where speech in it ends.

    Args:
        samples: (n,) float32 of speech; some ten seconds and more.

    Raises:
        AudioError: the speech is too short, too noisy or never pauses.
    """
    found = [decay for band in BANDS for decay in _falls(_levels(samples, rate, band))]
    if len(found) < MIN_FALLS:
        raise AudioError(
            f"The room's decay can't be measured: only {len(found)} sounds of the original fall silent clearly. Give a "
            "longer or less noisy piece of it, or an impulse response."
        )
    decay = float(torch.tensor(found).quantile(QUANTILE))
    return min(max(decay, MIN_DECAY), MAX_DECAY)


def room_response(decay: float, rate: int, channels: int, seed: int = 0) -> torch.Tensor:
    """(channels, n) float32: what a room that rings for `decay` seconds adds to a sound, its energy being 1 a channel.

    Channels are unrelated, as they are far from a source.
    """
    generator = torch.Generator().manual_seed(seed)
    length = round(decay * 1.1 * rate)
    time = torch.arange(length, dtype=torch.float64) / rate
    tail = torch.randn(channels, length, generator=generator, dtype=torch.float64) * 10 ** (-3 * time / decay)
    spectrum = torch.fft.rfft(tail, 2 * length)  # twice as long, so that nothing wraps from the beginning to the end
    frequencies = torch.fft.rfftfreq(2 * length, 1 / rate)
    tail = torch.fft.irfft(spectrum / (1 + (frequencies / TREBLE_LOSS) ** 2), 2 * length)[:, :length]
    tail = torch.nn.functional.pad(tail, (round(PRE_DELAY * rate), 0))
    return (tail / tail.square().sum(dim=1, keepdim=True).sqrt()).float()


def checked_response(waveform: torch.Tensor, rate: int, new_rate: int, name: str) -> torch.Tensor:
    """(C, n): a recorded impulse response at `new_rate`, its energy being 1 a channel.

    Raises:
        AudioError: it is silent, or no impulse response by its length.
    """
    seconds = waveform.shape[1] / rate
    if not MIN_RESPONSE_SECONDS <= seconds <= MAX_RESPONSE_SECONDS:
        raise AudioError(
            f"{name} lasts {seconds:.2f} s, an impulse response {MIN_RESPONSE_SECONDS:g} to {MAX_RESPONSE_SECONDS:g} "
            "s: give the recording of a room's answer to a click."
        )
    made = resampled(waveform.float(), rate, new_rate)
    energy = made.double().square().sum(dim=1, keepdim=True).sqrt()
    if not bool((energy > 0).all()):
        raise AudioError(f"{name} has a silent channel: give the recording of a room's answer to a click.")
    return (made / energy).float()


def convolve(samples: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
    """(n,) convolved with (C, m): (C, n), what rings on after the end being left out; by overlap-add."""
    length, ring = len(samples), response.shape[1]
    size = 1 << (BLOCK + ring - 1).bit_length()
    spectrum = torch.fft.rfft(response.double(), size)
    made = torch.zeros(len(response), length + ring, dtype=torch.float64)
    for start in range(0, length, BLOCK):
        block = samples[start : start + BLOCK].double()
        part = torch.fft.irfft(torch.fft.rfft(block, size) * spectrum, size)[:, : len(block) + ring - 1]
        made[:, start : start + part.shape[1]] += part
    return made[:, :length].float()


def _levels(samples: torch.Tensor, rate: int, band: tuple[int, int]) -> torch.Tensor:
    """(n,) float64 dB of a band at every hop."""
    sound = resampled(samples[None], rate, RATE)[0].double()
    if len(sound) < FRAME:
        return torch.zeros(0, dtype=torch.float64)
    window = torch.hann_window(FRAME, dtype=torch.float64)
    power = torch.fft.rfft(sound.unfold(0, FRAME, HOP) * window).abs().square()
    low, high = (round(edge * FRAME / RATE) for edge in band)
    return 10 * (power[:, low:high].sum(1) + 1e-12).log10()


def _falls(levels: torch.Tensor) -> list[float]:
    """The decays, in seconds for 60 dB, of all the falls of a level, by a line through the lower part of each."""
    if not len(levels):
        return []
    floor = max(float(levels.quantile(0.03)) + ABOVE_FLOOR, float(levels.max()) - 60)
    values, found, top = levels.tolist(), [], 0
    while top < len(values) - MIN_HOPS:
        lowest = place = top
        while place + 1 < len(values) and floor < values[place + 1] < values[lowest] + MAX_RISE:
            place += 1
            if values[place] > values[top]:
                top = lowest = place
            elif values[place] < values[lowest]:
                lowest = place
        piece = levels[top : lowest + 1]
        piece = piece[int((piece <= piece[0] - TOP).to(torch.int).argmax()) :]
        if len(piece) >= MIN_HOPS and float(piece[0] - piece[-1]) >= MIN_FALL:
            time = torch.arange(len(piece), dtype=torch.float64) * HOP / RATE
            slope = float(((time - time.mean()) * (piece - piece.mean())).sum() / (time - time.mean()).square().sum())
            if slope < 0:
                found.append(-60 / slope)
        top = max(place, top) + 1
    return found

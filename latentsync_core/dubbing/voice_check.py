"""Checks a recording of a voice for what spoils cloning it or driving a mouth with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch

from ..audio.source import AudioSource
from ..media.downmix import to_mono
from .ducking import speech_ranges
from .fitting import speech_bounds
from .sound_filter import resampled

RATE = 16000  # Hz at which noise and music are listened to
FRAME, HOP = 1024, 512  # samples: 64 ms, 32 ms
CLONING_SECONDS = 5.0  # of speech that a voice is cloned from at the least
MAX_LEADING_SECONDS = 0.5
PLATEAU = 0.99  # of the peak, from which on a sample counts as clipped
MAX_CLIPPED_SHARE = 2e-4  # of samples that lie there; a voice's own peaks are ten times rarer
QUIETEST_SHARE = 0.15  # of the frames, in which what lies under a voice is heard
MIN_BED_DISTANCE = 32.0  # dB below the speech at which a bed disturbs no more
MUSIC_PEAKS = 4.5  # dB by which the tallest bins of a bed's spectrum stand out of their surroundings; noise has 1 to 4
TALLEST = 0.97  # quantile of the bins
SURROUNDINGS = 31  # bins
LOWEST_BIN, HIGHEST_BIN = 8, 320  # 125 Hz to 5 kHz
LENGTH_TOLERANCE = 0.5  # seconds by which a voice may differ from its clip


class VoiceFault(Enum):
    """What is wrong with a voice, and what to do."""

    CLIPPED = "its peaks are cut off: record it again at a lower level"
    NOISY = "there is noise under it: record it in a quieter place, or remove the noise"
    MUSIC = "there is music under it: separate the voice first"
    SHORT = "it holds too little speech to be cloned: 5 seconds and more are needed"
    LEADING_SILENCE = "it begins with silence: the mouth would stay closed that long"
    ANTIPHASE = "one of its channels is inverted, so that it vanishes in mono: use one channel alone"
    LENGTH = "it isn't as long as the clip: place its lines on the clip's times"


@dataclass(frozen=True)
class VoiceReport:
    """What was measured of a voice."""

    faults: tuple[VoiceFault, ...]
    seconds: float
    speech_seconds: float
    leading_seconds: float  # before the first speech
    clipped_share: float  # of all samples
    bed_distance: float  # dB from the speech down to the sound in its pauses
    bed_peaks: float  # dB: how tonal that is

    @property
    def findings(self) -> list[str]:
        """Each fault by name, with what to do."""
        return [f"{fault.name.lower().replace('_', ' ')}: {fault.value}" for fault in self.faults]


def check_voice(voice: AudioSource, clip_seconds: float | None = None) -> VoiceReport:
    """Measures a voice of some seconds or minutes.

    Args:
        clip_seconds: the length of the clip that it drives; None leaves its length alone.

    Raises:
        AudioError: it can't be read.
    """
    whole = voice.whole()
    mono = resampled(to_mono(whole, voice.mono_channel)[None], voice.sample_rate, RATE)[0]
    bounds = speech_bounds(mono, RATE)
    speech = sum(stop - start for start, stop in speech_ranges(mono, RATE)) / RATE
    leading = 0.0 if bounds is None else bounds[0] / RATE
    clipped = max(_clipped_share(channel) for channel in whole)
    distance, peaks = _bed(mono)
    has_bed = distance < MIN_BED_DISTANCE
    found = {
        VoiceFault.CLIPPED: clipped > MAX_CLIPPED_SHARE,
        VoiceFault.NOISY: has_bed and peaks <= MUSIC_PEAKS,
        VoiceFault.MUSIC: has_bed and peaks > MUSIC_PEAKS,
        VoiceFault.SHORT: speech < CLONING_SECONDS,
        VoiceFault.LEADING_SILENCE: leading > MAX_LEADING_SECONDS,
        VoiceFault.ANTIPHASE: voice.mono_channel is not None,
        VoiceFault.LENGTH: clip_seconds is not None and abs(voice.duration - clip_seconds) > LENGTH_TOLERANCE,
    }
    faults = tuple(fault for fault, is_found in found.items() if is_found)
    return VoiceReport(faults, voice.duration, speech, leading, clipped, distance, peaks)


def _clipped_share(channel: torch.Tensor) -> float:
    """The share of (n,) samples that lie at the peak of their sign."""
    top, bottom = float(channel.max()), float(channel.min())
    at_top = (channel >= PLATEAU * top).sum() if top > 0 else 0
    at_bottom = (channel <= PLATEAU * bottom).sum() if bottom < 0 else 0
    return max(int(at_top), int(at_bottom)) / len(channel)


def _bed(mono: torch.Tensor) -> tuple[float, float]:
    """dB from speech down to the quietest frames, and how far these frames' spectra have peaks, in dB."""
    if len(mono) < 4 * FRAME:
        return float("inf"), 0.0
    window = torch.hann_window(FRAME, dtype=torch.float64)
    spectra = torch.fft.rfft(mono.double().unfold(0, FRAME, HOP) * window).abs().square()[:, LOWEST_BIN:HIGHEST_BIN]
    levels = 10 * spectra.mean(1).clamp(min=1e-14).log10()
    quietest = levels.argsort()[: max(4, round(QUIETEST_SHARE * len(levels)))]
    speech = float(levels.quantile(0.9))
    distance = speech - float(levels[quietest].median())
    bed = 10 * spectra[quietest].mean(0).clamp(min=1e-14).log10()
    padded = torch.nn.functional.pad(bed[None, None], (SURROUNDINGS // 2,) * 2, mode="reflect")[0, 0]
    around = padded.unfold(0, SURROUNDINGS, 1).median(1).values
    return distance, float((bed - around).quantile(TALLEST))

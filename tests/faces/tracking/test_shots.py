"""Shots are told apart: cuts, fades and dissolves in, pans, flashes and moving people out, and nothing crashes."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.faces.tracking.shots import LAG, ShotDetector, shot_ranges
from latentsync_core.video.clip import ColorTags
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from tests import astronaut
from tests.video.test_frame import clip_of, frame_of
from training.synthetic.backdrop import backdrop
from training.synthetic.scenes.scene import cuts, render, side_by_side

SAMPLE = astronaut.PATH.parents[2] / "latentsync_core" / "assets" / "sample" / "scene.mp4"
WIDTH, HEIGHT = 160, 90


def still(seed):
    return backdrop(seed, WIDTH, HEIGHT).astype(np.float32) / 255


def panned(step, frames=20):
    """A window over the portrait, `step` pixels further each frame."""
    wide = astronaut.resized(astronaut.picture(), 480, 480).numpy()
    return [wide[40 : 40 + HEIGHT, 10 + step * i : 10 + step * i + WIDTH] for i in range(frames)]


def frames_of(pictures):
    clip = clip_from_images(torch.from_numpy(np.stack(pictures)), Fraction(25))
    with FrameReader(clip) as frames:
        yield from frames


def told(frames):
    """[(boundary, the frame at which it was told)]."""
    detector, out, count = ShotDetector(), [], 0
    for count, frame in enumerate(frames):
        out += [(start, count) for start in detector.add(frame)]
    return out + [(start, count + 1) for start in detector.finish()]


def found(pictures):
    return [start for start, _ in told(frames_of(pictures))]


def test_people_answering_each_other_are_cut_where_the_scene_is_cut_and_told_in_time():
    scene = cuts(3, (12, 9, 14), size=(WIDTH, HEIGHT))
    pictures = [frame.astype(np.float32) / 255 for frame, _ in render(scene)]
    assert told(frames_of(pictures)) == [(12, 12 + LAG), (21, 21 + LAG)]


def test_a_shot_of_one_frame_has_a_boundary_on_either_side():
    assert found([still(1)] * 8 + [panned(0)[0]] + [still(5)] * 8) == [8, 9]


@pytest.mark.parametrize("step", [1, 6, 14])
def test_a_pan_is_one_shot(step):
    assert found(panned(step)) == []


def test_two_people_talking_and_the_first_shot_of_the_carried_scene_have_no_cut():
    scene = side_by_side(2, 1.0, size=(WIDTH, HEIGHT))
    assert found([frame.astype(np.float32) / 255 for frame, _ in render(scene)]) == []
    with FrameReader(probe(SAMPLE), 0, 80) as frames:
        assert told(frames) == []


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("lift", [0.4, 5.0, -5.0])
def test_a_flash_of_light_or_of_black_is_no_cut(length, lift):
    pictures = panned(2)
    for index in range(9, 9 + length):
        pictures[index] = np.clip(pictures[index] * 2 + lift, 0, 1)
    assert found(pictures) == []


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_fade_has_one_boundary_at_its_first_blank_frame(level):
    shares = np.linspace(1, 0, 10, endpoint=False)
    out = [still(1) * s + level * (1 - s) for s in shares]
    back = [panned(0)[0] * s + level * (1 - s) for s in shares[::-1]]
    blank = np.full((HEIGHT, WIDTH, 3), level, np.float32)
    starts = found([still(1)] * 6 + out + [blank] * 5 + back + [panned(0)[0]] * 6)
    assert len(starts) == 1
    assert abs(starts[0] - 16) <= 1


@pytest.mark.parametrize("length", [6, 14, 30])
def test_a_dissolve_has_one_boundary_near_its_middle(length):
    one = panned(0)[0]
    other = one[::-1, ::-1]  # of the same contrast: halfway is where both show equally
    mixed = [one * (1 - s) + other * s for s in np.arange(1, length + 1) / (length + 1)]
    starts = found([one] * 30 + mixed + [other] * 60)
    assert len(starts) == 1
    assert abs(starts[0] - (30 + length // 2)) <= 1 + length // 4


def test_a_blank_clip_is_one_shot():
    assert found([np.zeros((4, 6, 3), np.float32)] * 12) == []


def test_the_pixel_format_makes_no_difference():
    expected = [8, 17]
    grey = [astronaut.resized(astronaut.picture()[y:], 64, 48).mean(2).numpy() for y in (0, 200, 0)]
    pictures = [grey[0]] * 8 + [grey[1][::-1]] * 9 + [grey[2]] * 8
    for name in ("yuv420p", "yuv422p10le", "yuv444p12le", "yuvj420p", "gbrp", "gbrp16le"):
        clip = clip_of(name, 64, 48, **vars(ColorTags(matrix=None if name.startswith("g") else "bt709")))
        layout = Layout.of(clip)
        black, white = layout.luma_scale
        frames = []
        for index, picture in enumerate(pictures):
            planes = list(frame_of(clip, (0, layout.chroma_scale[0], layout.chroma_scale[0])).planes)
            for number in range(3 if layout.luma_weights is None else 1):
                planes[number] = (picture * white + black).round().astype(layout.pixel_format.dtype)
            frames.append(Frame(tuple(planes), index, index, layout))
        assert [start for start, _ in told(frames)] == expected, name


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_nothing_crashes_it_and_boundaries_rise_within_the_clip(data):
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    pieces = data.draw(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 6)), min_size=1, max_size=8))
    pictures = []
    for seed, length in pieces:
        draw = np.random.default_rng(seed)
        picture = draw.standard_normal((height, width, 3)).astype(np.float32) * draw.choice([0, 0.01, 1, 1e9])
        if seed % 7 == 0:
            picture[0, 0] = np.nan
        pictures += [picture] * length
    starts = found(pictures)
    assert starts == sorted(set(starts))
    assert all(1 <= start < len(pictures) for start in starts)
    assert sum(stop - start for start, stop in shot_ranges(starts, len(pictures))) == len(pictures)


def test_shots_cover_the_clip_between_its_boundaries():
    assert shot_ranges([4, 9], 12) == ((0, 4), (4, 9), (9, 12))
    assert shot_ranges([], 3) == ((0, 3),)

"""A frame converts only what is asked for, in the right colours, and pasting changes nothing outside its alpha."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latentsync_core.errors import VideoError
from latentsync_core.imaging.roi import Roi
from latentsync_core.video.clip import Clip, ColorTags
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import SITINGS, Layout, PixelFormat

YUV = [f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le", "12le")]
ALL = [*YUV, "yuvj420p", "gbrp", "gbrp16le"]


def clip_of(pixel_format="yuv420p", width=20, height=14, rotation=0, mirrored=False, **color):
    """A clip that has everything but frames; `width` and `height` are those of the stored picture."""
    shown = (width, height) if rotation % 180 == 0 else (height, width)
    pts = np.zeros(1, np.int64)
    rate, tags = Fraction(25), ColorTags(**color)
    clip = Clip(None, None, 1, 0, rate, 1 / rate, pts, *shown, pixel_format, rotation, color=tags)
    return dataclasses.replace(clip, mirrored=mirrored)


def frame_of(clip, fill=None, seed=0):
    """A frame of noise, or of one level a plane."""
    layout = Layout.of(clip)
    shapes = layout.pixel_format.plane_shapes(layout.width, layout.height)
    top, dtype = 2**layout.pixel_format.bits, layout.pixel_format.dtype
    draw = np.random.default_rng(seed)
    planes = [draw.integers(0, top, shape).astype(dtype) for shape in shapes]
    if fill is not None:
        planes = [np.full(shape, level, dtype) for shape, level in zip(shapes, fill, strict=True)]
    return Frame(tuple(planes), 0, 0, layout)


def float_frame(height=9, width=12, dtype=np.float32, seed=0):
    clip = clip_of("rgb", width, height)
    image = np.random.default_rng(seed).standard_normal((height, width, 3)).astype(dtype)
    return Frame((image,), 0, 0, Layout.of(clip))


@st.composite
def frames_and_rois(draw, formats=ALL):
    clip = clip_of(
        draw(st.sampled_from(formats)),
        draw(st.integers(1, 24)),
        draw(st.integers(1, 24)),
        draw(st.sampled_from([0, 90, 180, 270])),
        draw(st.booleans()),
        range=draw(st.sampled_from([None, "tv", "pc"])),
        matrix=draw(st.sampled_from([None, "bt709", "smpte170m", "bt2020nc"])),
        chroma_location=draw(st.sampled_from([None, *SITINGS])),
    )
    x0, y0 = draw(st.integers(0, clip.width - 1)), draw(st.integers(0, clip.height - 1))
    roi = Roi(x0, y0, draw(st.integers(x0 + 1, clip.width)), draw(st.integers(y0 + 1, clip.height)))
    return frame_of(clip, seed=draw(st.integers(0, 99))), roi


def displayed_mask(frame, roi, inside):
    """(H, W) bool of the displayed picture, `inside` within `roi`, turned to the stored one."""
    mask = np.zeros((frame.height, frame.width), bool)
    mask[roi.y0 : roi.y1, roi.x0 : roi.x1] = inside
    return np.rot90(mask[:, ::-1] if frame.layout.mirrored else mask, frame.layout.rotation // 90)


# The levels of the primaries are those of the standards' own tables (EBU colour bars at 100 %).
@pytest.mark.parametrize(
    ("matrix", "levels", "colour"),
    [
        ("bt709", (63, 102, 240), (1, 0, 0)),
        ("bt709", (173, 42, 26), (0, 1, 0)),
        ("bt709", (32, 240, 118), (0, 0, 1)),
        ("smpte170m", (81, 90, 240), (1, 0, 0)),
        ("bt470bg", (145, 54, 34), (0, 1, 0)),
        ("smpte170m", (41, 240, 110), (0, 0, 1)),
        ("bt2020nc", (74, 97, 240), (1, 0, 0)),
        ("bt709", (235, 128, 128), (1, 1, 1)),
        ("bt709", (16, 128, 128), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("chroma", [420, 422, 444])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_standard_levels_become_the_primaries_and_back(matrix, levels, colour, chroma, bits):
    name = f"yuv{chroma}p" + ("" if bits == 8 else f"{bits}le")
    deep = [level << (bits - 8) for level in levels]
    frame = frame_of(clip_of(name, matrix=matrix, range="tv"), deep)
    assert torch.allclose(
        frame.rgb(), torch.tensor(colour, dtype=torch.float32)[:, None, None].expand(3, 14, 20), atol=0.008
    )
    blank = frame_of(clip_of(name, matrix=matrix, range="tv"), [128 << (bits - 8)] * 3)
    patch = torch.tensor(colour, dtype=torch.float32)[:, None, None].expand(3, 14, 20)
    blank.paste(Roi(0, 0, 20, 14), patch, torch.ones(14, 20))
    for plane, level in zip(blank.planes, deep, strict=True):
        assert np.abs(plane.astype(int) - level).max() <= 1 << (bits - 8)


def test_full_range_uses_every_level():
    assert frame_of(clip_of(range="pc"), (255, 128, 128)).rgb().min() == 1
    assert frame_of(clip_of("yuvj420p"), (0, 128, 128)).rgb().max() == 0
    assert frame_of(clip_of(range="tv"), (180, 128, 128)).rgb()[0, 0, 0] == pytest.approx((180 - 16) / 219, abs=1e-6)


def test_an_untagged_picture_is_taken_for_bt601_below_720_rows_and_bt709_from_there():
    small, large = (frame_of(clip_of(height=rows), (81, 90, 240)).rgb()[:, 0, 0] for rows in (718, 720))
    assert torch.allclose(small, torch.tensor([1.0, 0, 0]), atol=0.008)
    assert not torch.allclose(large, torch.tensor([1.0, 0, 0]), atol=0.008)


@given(frames_and_rois())
def test_a_region_is_the_same_part_of_the_whole(pair):
    frame, roi = pair
    whole = frame.rgb()
    assert whole.shape == (3, frame.height, frame.width)
    assert whole.dtype == torch.float32
    assert torch.allclose(frame.rgb(roi), whole[:, roi.y0 : roi.y1, roi.x0 : roi.x1], atol=1e-6)


@given(frames_and_rois())
def test_resampling_to_the_same_size_changes_nothing(pair):
    frame, roi = pair
    assert torch.allclose(frame.rgb(roi, (roi.width, roi.height)), frame.rgb(roi), atol=1e-4)


@given(frames_and_rois(), st.integers(1, 30), st.integers(1, 30))
def test_resampling_keeps_a_flat_colour(pair, width, height):
    frame, roi = pair
    for plane, level in zip(frame.planes, (90, 120, 140), strict=True):
        plane[:] = level
    small = frame.rgb(roi, (width, height))
    assert small.shape == (3, height, width)
    assert torch.allclose(small, frame.rgb(roi)[:, :1, :1].expand_as(small), atol=1e-4)


@pytest.mark.parametrize("size", [(32, 18), (40, 40), (160, 90), (300, 200), (7, 5)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "rgb"])
def test_reduction_keeps_everything_in_its_place(pixel_format, size):
    clip = clip_of(pixel_format, 640, 360, range="pc", matrix="bt709")
    ramp = np.linspace(0, 1, 640, dtype=np.float32) * np.ones((360, 1), np.float32)
    if pixel_format == "rgb":
        frame = Frame((np.repeat(ramp[..., None], 3, 2),), 0, 0, Layout.of(clip))
    else:
        top = 2 ** PixelFormat.of(pixel_format).bits
        frame = frame_of(clip, (0, top // 2, top // 2))
        frame.planes[0][:] = np.round(ramp * (top - 1))
    roi = Roi(33, 11, 601, 349)
    centres = (roi.x0 - 0.5 + (np.arange(size[0]) + 0.5) * roi.width / size[0]) / 639
    row = frame.rgb(roi, size)[1, size[1] // 2].numpy()
    inner = slice(1, -1)
    assert np.abs(row[inner] - centres[inner]).max() < 0.2 * roi.width / size[0] / 639 + 0.004


@pytest.mark.parametrize("location", SITINGS)
def test_chroma_is_read_and_written_where_it_sits(location):
    clip = clip_of("yuv420p10le", 40, 40, range="pc", matrix="bt709", chroma_location=location)
    across, down = SITINGS[location]
    # A plane of colour: Cr rises by 8 levels a luma column, Cb by 4 a luma row, measured at luma positions.
    column, row = 2 * np.arange(20) + across, 2 * np.arange(20) + down
    frame = frame_of(clip, (500, 0, 0))
    frame.planes[1][:] = (440 + 4 * row[:, None]).round()
    frame.planes[2][:] = (360 + 8 * column[None, :]).round()
    rgb = frame.rgb(Roi(4, 4, 36, 36))
    red_per_level, blue_per_level = 2 * (1 - 0.2126) / 1023, 2 * (1 - 0.0722) / 1023
    grey = 500 / 1023
    expected_red = grey + (360 + 8 * np.arange(4, 36) - 512) * red_per_level
    expected_blue = grey + (440 + 4 * np.arange(4, 36) - 512) * blue_per_level
    assert np.abs(rgb[0].numpy() - expected_red[None, :]).max() < 1e-3
    assert np.abs(rgb[2].numpy() - expected_blue[:, None]).max() < 1e-3
    back = frame.copy()
    back.planes[1][:], back.planes[2][:] = 0, 0
    back.paste(Roi(4, 4, 36, 36), rgb, torch.ones(32, 32))
    inside = slice(3, 17)
    for plane, original in zip(back.planes[1:], frame.planes[1:], strict=True):
        assert np.abs(plane[inside, inside].astype(int) - original[inside, inside]).max() <= 1


@given(frames_and_rois())
def test_alpha_zero_leaves_every_sample(pair):
    frame, roi = pair
    before = frame.copy()
    frame.paste(roi, torch.full((3, roi.height, roi.width), torch.nan), torch.zeros(roi.height, roi.width))
    assert all(map(np.array_equal, frame.planes, before.planes))


@settings(max_examples=200)
@given(frames_and_rois(), st.integers(0, 99))
def test_only_samples_under_alpha_are_written(pair, seed):
    frame, roi = pair
    before = frame.copy()
    draw = torch.Generator().manual_seed(seed)
    alpha = (torch.rand(roi.height, roi.width, generator=draw) - 0.6).clamp(min=0)
    frame.paste(roi, torch.rand(3, roi.height, roi.width, generator=draw), alpha)
    mask = displayed_mask(frame, roi, alpha.numpy() > 0)
    assert np.array_equal(frame.planes[0][~mask], before.planes[0][~mask])
    step_y, step_x = 2**frame.layout.pixel_format.chroma_shift_y, 2**frame.layout.pixel_format.chroma_shift_x
    rows, columns = frame.planes[1].shape
    padded = np.zeros((rows * step_y, columns * step_x), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    blocks = padded.reshape(rows, step_y, columns, step_x).any((1, 3))
    for plane, original in zip(frame.planes[1:], before.planes[1:], strict=True):
        assert np.array_equal(plane[~blocks], original[~blocks])


@given(frames_and_rois(YUV), st.integers(1, 8))
def test_pasting_back_what_was_read_keeps_a_smooth_picture(pair, wave):
    frame, roi = pair
    bits = frame.layout.pixel_format.bits
    for number, plane in enumerate(frame.planes):
        y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
        plane[:] = (2**bits) * (0.5 + (0.2 if number == 0 else 0.02) * np.sin((x + y * 0.7) / (6 + wave) + number))
    before = frame.copy()
    frame.paste(roi, frame.rgb(roi), torch.ones(roi.height, roi.width))
    for number, (plane, original) in enumerate(zip(frame.planes, before.planes, strict=True)):
        difference = np.abs(plane.astype(int) - original).max()
        assert difference <= (1 if number == 0 else 2 ** (bits - 8) + 1)


@given(frames_and_rois(YUV), st.floats(0.01, 1))
def test_luma_is_blended_by_alpha_and_rounded_to_nearest(pair, share):
    frame, roi = pair
    before = frame.copy()
    frame.paste(roi, torch.full((3, roi.height, roi.width), 0.25), torch.full((roi.height, roi.width), share))
    black, white = frame.layout.luma_scale
    mask = displayed_mask(frame, roi, True)
    exact = (1 - share) * before.planes[0][mask] + share * (black + 0.25 * white)
    assert np.abs(frame.planes[0][mask] - exact).max() <= 0.5 + 1e-3


@given(frames_and_rois())
def test_a_rotated_frame_is_its_stored_picture_turned_and_mirrored(pair):
    frame, roi = pair
    turns = frame.layout.rotation // 90
    flipped = [-1] if frame.layout.mirrored else []
    stored = Layout(**{**vars(frame.layout), "rotation": 0, "mirrored": False})
    still = Frame(tuple(plane.copy() for plane in frame.planes), 0, 0, stored)
    assert torch.equal(frame.rgb(), torch.rot90(still.rgb(), -turns, (1, 2)).flip(flipped))
    patch, alpha = torch.rand(3, roi.height, roi.width), torch.rand(roi.height, roi.width)
    frame.paste(roi, patch, alpha)
    patch, alpha = patch.flip(flipped), alpha.flip(flipped)
    still.paste(
        stored_of(frame, roi), torch.rot90(patch, turns, (1, 2)).contiguous(), torch.rot90(alpha, turns).contiguous()
    )
    assert all(map(np.array_equal, frame.planes, still.planes))


def stored_of(frame, roi):
    rows, columns = np.nonzero(displayed_mask(frame, roi, True))
    return Roi(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_in_memory_frame_keeps_equal_floats_outside_alpha(dtype):
    frame = float_frame(dtype=dtype)
    before = frame.copy()
    alpha = torch.zeros(5, 6)
    alpha[1:4, 2:5] = 1
    patch = torch.rand(3, 5, 6)
    frame.paste(Roi(3, 2, 9, 7), patch, alpha)
    inside = np.zeros((9, 12), bool)
    inside[3:6, 5:8] = True
    assert frame.planes[0].dtype == dtype
    assert np.array_equal(frame.planes[0][~inside], before.planes[0][~inside])
    assert np.allclose(frame.planes[0][3:6, 5:8], patch[:, 1:4, 2:5].permute(1, 2, 0).numpy(), atol=1e-3)


def test_an_in_memory_frame_reads_as_it_is():
    frame = float_frame()
    image = frame.planes[0].clip(0, 1)
    assert np.allclose(frame.rgb(Roi(2, 1, 9, 8)).permute(1, 2, 0).numpy(), image[1:8, 2:9], atol=1e-6)


def test_a_copy_shares_no_samples():
    frame = frame_of(clip_of())
    twin = frame.copy()
    twin.planes[0][:] = 0
    assert frame.planes[0].any()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nv12", "yuv420p"), ("yuva444p12le", "yuv444p12le"), ("yuv410p", "yuv420p"), ("rgb24", "gbrp"),
        ("gray", "gbrp"),
    ],
)  # fmt: skip
def test_an_unsupported_format_is_named_with_the_way_out(name, nearest):
    with pytest.raises(VideoError, match=f"^The pixel format {name} is not supported: convert the clip to {nearest}.$"):
        PixelFormat.of(name)


def test_an_unsupported_matrix_is_named():
    with pytest.raises(VideoError, match="ictcp"):
        Layout.of(clip_of(matrix="ictcp"))


@given(st.tuples(*[st.integers(-3, 30)] * 4))
def test_a_region_outside_the_frame_is_refused(corners):
    roi = Roi(*corners)
    assume(not (0 <= roi.x0 < roi.x1 <= 20 and 0 <= roi.y0 < roi.y1 <= 14))
    frame = frame_of(clip_of())
    with pytest.raises(VideoError, match="does not lie inside"):
        frame.rgb(roi)


def test_a_patch_of_another_size_is_refused():
    with pytest.raises(VideoError, match="must have that size"):
        frame_of(clip_of()).paste(Roi(0, 0, 4, 4), torch.zeros(3, 4, 5), torch.ones(4, 4))

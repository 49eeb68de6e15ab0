"""A photo in tiles, as phones store it, is one picture: every sample of it, turned and mirrored as its header says."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
import pytest
from torch import from_numpy

from latentsync_core.errors import VideoError
from latentsync_core.job_inputs import load_picture
from latentsync_core.media.ffmpeg import ffmpeg_executable, run_ffmpeg
from latentsync_core.media.opening import MAX_FRAME_PIXELS, can_open_avif, open_container
from latentsync_core.video.pixel_format import PixelFormat
from latentsync_core.video.reading import pictures
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.reading.tile_grid import joined_planes, tile_grid
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.heif_pictures import COLUMNS, ROWS, TILE, write_tiled_picture

SIZE = (170, 120)  # of 3 by 2 tiles, some of which are cut off
FIRST_TO_JOIN = 8, 1  # the first ffmpeg whose command line shows such a picture whole


def read(clip):
    with FrameReader(clip) as frames:
        (frame,) = frames
    return frame


def joined(path):
    """The picture, of a file that ffmpeg might refuse as well."""
    grid = tile_grid(path)
    with open_container(path, VideoError) as container:
        return joined_planes(path, container, grid)


def planes_by_ffmpeg(path, pixel_format, size, before=(), after=()):
    """What ffmpeg's command line shows of a file's first picture, in planes."""
    args = [*before, "-i", str(path), *after, "-frames:v", "1", "-pix_fmt", pixel_format, "-f", "rawvideo", "-"]
    form = PixelFormat.of(pixel_format)
    samples = np.frombuffer(run_ffmpeg(args, error=VideoError, what="decoding"), form.dtype)
    shapes = form.plane_shapes(*size)
    parts = np.split(samples, np.cumsum([rows * columns for rows, columns in shapes])[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


@pytest.fixture(scope="module")
def ffmpeg_that_joins_tiles():
    version = re.match(r"ffmpeg version n?(\d+)\.(\d+)", run_ffmpeg(["-version"], error=VideoError, what="").decode())
    if version and (int(version[1]), int(version[2])) < FIRST_TO_JOIN:
        pytest.skip(f"ffmpeg {version[1]}.{version[2]} at {ffmpeg_executable()} shows the first tile alone")


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("grid_in_file", [False, True])
def test_every_sample_is_that_of_the_tile_it_lies_in(tmp_path, pixel_format, grid_in_file):
    path = write_tiled_picture(
        tmp_path / "in.heic", size=SIZE, pixel_format=pixel_format, grid_in_file=grid_in_file, tiles=tmp_path / "t.mp4"
    )
    clip = probe(path)
    assert (clip.width, clip.height, clip.frame_count, clip.pixel_format) == (*SIZE, 1, pixel_format)
    whole_size = (COLUMNS * TILE, ROWS * TILE)
    whole = planes_by_ffmpeg(tmp_path / "t.mp4", pixel_format, whole_size, after=("-vf", f"tile={COLUMNS}x{ROWS}"))
    for own, plane in zip(read(clip).planes, whole, strict=True):
        assert np.array_equal(own, plane[: own.shape[0], : own.shape[1]])


@pytest.mark.parametrize(
    ("rotation", "mirror"), [(0, None), (1, None), (2, None), (3, None), (0, 0), (0, 1), (1, 0), (3, 1)]
)
def test_the_picture_is_what_ffmpegs_command_line_shows(tmp_path, rotation, mirror, ffmpeg_that_joins_tiles):
    path = write_tiled_picture(
        tmp_path / "in.heic", size=SIZE, rotation=rotation, mirror=mirror, pixel_format="yuv444p"
    )
    clip = probe(path)
    displayed = SIZE if rotation % 2 == 0 else SIZE[::-1]
    assert (clip.width, clip.height) == displayed
    frame = read(clip)
    shown = planes_by_ffmpeg(path, "yuv444p", displayed)
    for own, plane in zip(frame.planes, shown, strict=True):
        assert np.array_equal(frame.layout.to_displayed(from_numpy(own)).numpy(), plane)


def test_a_tiled_avif_is_one_picture_with_pillow_and_without(tmp_path, monkeypatch):
    path = write_tiled_picture(tmp_path / "in.avif", size=SIZE, brand="avif", rotation=1, pixel_format="yuv444p")
    by_pillow = probe(path) if can_open_avif() else None
    monkeypatch.setattr(pictures, "can_open_avif", lambda: False)
    clip = probe(path)
    assert (clip.width, clip.height) == SIZE[::-1]
    if by_pillow is not None:
        assert float((read(clip).rgb() - read(by_pillow).rgb()).abs().max()) < 0.02  # Pillow rounds to 8 bits


def test_a_photo_in_tiles_is_written_as_a_clip_without_loss(tmp_path):
    clip = probe(write_tiled_picture(tmp_path / "in.heic", size=SIZE, rotation=3))
    options = WriterOptions(Codec.FFV1)
    with FrameReader(clip) as frames, FrameWriter(tmp_path / "out", clip, options=options, pts=clip.pts) as out:
        for frame in frames:
            out.write(frame)
    again = probe(out.path)
    assert (again.width, again.height) == SIZE[::-1]
    assert all(map(np.array_equal, read(again).planes, read(clip).planes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"listed_tiles": 5}, "of 192×128 pixels is a grid of 3×2 tiles and names 5"),
        ({"size": (400, 120)}, "3×2 tiles of 64×64 pixels don't make a picture of 400×120"),
        ({"size": (60000, 60000)}, "more than 128 million"),
        ({"size": (0, 120)}, "of 0×120 pixels is a grid"),
    ],
)
def test_a_damaged_grid_is_refused(tmp_path, damage, words):
    path = write_tiled_picture(tmp_path / "in.heic", **damage)
    with pytest.raises(VideoError, match=re.escape(words)):
        joined(path)
    with pytest.raises(VideoError):
        read(probe(path))


def test_a_header_cut_anywhere_is_refused_in_one_sentence(tmp_path):
    data = write_tiled_picture(tmp_path / "in.heic", size=SIZE).read_bytes()
    header = data.index(b"mdat")
    for end in range(40, header, 13):
        (tmp_path / "cut.heic").write_bytes(data[:end])
        with suppress(VideoError):
            assert tile_grid(tmp_path / "cut.heic") in (None, tile_grid(tmp_path / "in.heic"))
    with pytest.raises(VideoError, match="cut short"):
        probe(tmp_path / "cut.heic")


def test_a_header_with_any_byte_wrong_is_refused_or_read_but_never_a_crash(tmp_path):
    data = write_tiled_picture(tmp_path / "in.heic", size=SIZE).read_bytes()
    header = data.index(b"mdat")
    draw = np.random.default_rng(0)
    for at in range(24, header, 8):
        changed = bytearray(data)
        changed[at] = int(draw.integers(0, 256))
        (tmp_path / "changed.heic").write_bytes(changed)
        with suppress(VideoError):
            grid = tile_grid(tmp_path / "changed.heic")
            assert grid is None or 0 < grid.width * grid.height <= MAX_FRAME_PIXELS


def test_a_photo_in_tiles_may_show_the_person(tmp_path):
    path = write_tiled_picture(tmp_path / "in.heic", size=SIZE, rotation=1)
    assert load_picture(path).shape == (1, *SIZE, 3)

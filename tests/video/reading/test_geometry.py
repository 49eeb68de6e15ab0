"""A picture shows as ffmpeg shows it, turned, mirrored and cropped, and what is written shows the same."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.description import describe
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.video.orientation import Orientation
from latentsync_core.video.pixel_format import PixelFormat
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import LOSSLESS, make_clip
from tests.cropped import crop_matroska, crop_mp4

ORIENTATIONS = list(itertools.product((0, 90, 180, 270), (False, True)))
SIZE = (36, 28)
FFV1 = ("-c:v", "ffv1")


def read(clip):
    with FrameReader(clip) as frames:
        return list(frames)


def rewrite(clip, path, codec):
    with FrameReader(clip) as frames, FrameWriter(path, clip, options=WriterOptions(codec), pts=clip.pts) as out:
        for frame in frames:
            out.write(frame)
    return out.path


def shown_by_ffmpeg(path, clip):
    """(N, H, W, 3): what ffmpeg shows, turned and cropped by itself."""
    args = ["-i", str(path), "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = run_ffmpeg(args, error=VideoError, what="showing")
    return np.frombuffer(data, np.uint8).reshape(-1, clip.height, clip.width, 3)


def shown(clip):
    return np.stack([(frame.rgb().permute(1, 2, 0).numpy() * 255).round() for frame in read(clip)])


@pytest.mark.parametrize(("rotation", "mirrored"), ORIENTATIONS)
def test_turned_and_mirrored_pictures_show_as_ffmpeg_shows_them_and_are_written_so(tmp_path, rotation, mirrored):
    path = make_clip(tmp_path / "in.mkv", pixel_format="gbrp", size=SIZE, frames=1, rotation=rotation,
                     mirrored=mirrored, encoder=FFV1, sample_aspect="4/3")  # fmt: skip
    clip = probe(path)
    assert (clip.rotation, clip.mirrored) == (rotation, mirrored)
    assert clip.sample_aspect == (Fraction(4, 3) if rotation % 180 == 0 else Fraction(3, 4))
    assert np.array_equal(shown(clip), shown_by_ffmpeg(path, clip))
    again = probe(rewrite(clip, tmp_path / "out", Codec.FFV1))
    assert (again.rotation, again.mirrored, again.sample_aspect) == (rotation, mirrored, clip.sample_aspect)
    assert np.array_equal(shown_by_ffmpeg(again.identity.path, again), shown_by_ffmpeg(path, clip))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.PRORES])
def test_mp4_and_mov_carry_a_mirrored_quarter_turn(tmp_path, codec):
    path = make_clip(tmp_path / "in.mp4", size=SIZE, frames=1, rotation=90, mirrored=True, encoder=LOSSLESS)
    again = probe(rewrite(probe(path), tmp_path / "out", codec))
    assert (again.rotation, again.mirrored) == (90, True)


FORMATS = [f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le", "12le")]
FORMATS += ["gbrp", "gbrp10le", "gbrp12le", "gbrp16le"]


@pytest.mark.parametrize(("number", "pixel_format"), list(enumerate(FORMATS)))
def test_untouched_samples_of_any_format_and_geometry_are_bit_exact_in_ffv1(tmp_path, number, pixel_format):
    """Each format with another orientation, all with an odd crop and wide pixels."""
    rotation, mirrored = ORIENTATIONS[number % len(ORIENTATIONS)]
    path = make_clip(tmp_path / "in.mkv", pixel_format=pixel_format, size=SIZE, frames=1, rotation=rotation,
                     mirrored=mirrored, encoder=FFV1, sample_aspect="16/15")  # fmt: skip
    clip = probe(crop_matroska(path, 5, 4, 3, 2))
    args = ["-noautorotate", "-i", str(path), "-f", "rawvideo", "-pix_fmt", pixel_format, "-"]
    theirs = run_ffmpeg(args, error=VideoError, what="decoding")
    out = rewrite(clip, tmp_path / "out", Codec.FFV1)
    args[2] = str(out)
    assert run_ffmpeg(args, error=VideoError, what="decoding") == theirs
    assert b"".join(plane.tobytes() for plane in read(clip)[0].planes) == theirs
    again = probe(out)
    assert (again.width, again.height) == (clip.width, clip.height)
    assert float(again.sample_aspect) == pytest.approx(float(clip.sample_aspect), abs=0.03), "whole pixels in Matroska"
    assert (again.rotation, again.mirrored) == (rotation, mirrored)


def test_a_clean_aperture_shows_as_ffmpeg_shows_it(tmp_path):
    path = crop_mp4(make_clip(tmp_path / "in.mp4", size=SIZE, frames=1, encoder=LOSSLESS), 24, 20, 2, -2)
    if "Frame Cropping" not in describe(path, 0):
        pytest.skip("this ffmpeg, older than 7.1, neither reports nor applies what the container crops")
    clip = probe(path)
    shape = PixelFormat.of("yuv420p")
    theirs = run_ffmpeg(["-i", str(path), "-f", "rawvideo", "-"], error=VideoError, what="decoding")
    assert len(theirs) == sum(rows * columns for rows, columns in shape.plane_shapes(clip.width, clip.height))
    assert (clip.width, clip.height) == (24, 20)
    assert b"".join(plane.tobytes() for plane in read(clip)[0].planes) == theirs


def test_other_angles_are_named():
    def of(degrees, mirror=1):
        sine, cosine = (round(f(np.radians(degrees)) * 65536) for f in (np.sin, np.cos))
        return Orientation.of(
            np.array([mirror * cosine, sine, 0, -mirror * sine, cosine, 0, 0, 0, 1 << 30], "i4").tobytes()
        )

    assert of(30).skew == pytest.approx(30, abs=0.01)
    assert of(60) == Orientation(90, False, pytest.approx(-30, abs=0.01))
    assert of(89.5) == Orientation(90)
    assert of(270, -1) == Orientation(270, True)
    assert Orientation.of(bytes(36)) == Orientation()


def test_a_slanted_picture_is_noted(tmp_path):
    plain, path = make_clip(tmp_path / "plain.mp4", frames=1), tmp_path / "in.mp4"
    run_ffmpeg(["-display_rotation", "30", "-i", str(plain), "-c", "copy", str(path)], error=VideoError, what="turning")
    (note,) = probe(path).notes
    assert "30.0 degrees counterclockwise" in note.fact

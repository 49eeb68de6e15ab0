"""An interlaced clip is read as a progressive one by choice: frame for frame, and the same wherever reading begins."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.video.pixel_format import PixelFormat, _formats
from latentsync_core.video.reading.deinterlacing import with_deinterlacing
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.reading.source_facts import FieldOrder, source_facts
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import make_clip, raw_planes

FRAMES = 60


def interlaced(path, *encoder, pixel_format="yuv420p", frames=FRAMES):
    filters = f"interlace=scan=tff,format={pixel_format},setparams=field_mode=tff"
    args = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r=50:d={frames / 25}", "-vf", filters, "-flags", "+ildct+ilme"]
    run_ffmpeg([*args, *encoder, str(path)], error=VideoError, what="making an interlaced clip")
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-x264-params", "tff=1:keyint=12")
    return with_deinterlacing(probe(interlaced(tmp_path_factory.mktemp("film") / "in.mp4", *encoder)))


def read(clip, start=0, stop=None):
    with FrameReader(clip, start, stop) as frames:
        return list(frames)


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x.planes, y.planes, strict=True)
    )


def test_frames_keep_their_number_and_stamps_and_are_those_of_ffmpegs_own_filter(clip, tmp_path):
    frames = read(clip)
    assert [frame.pts for frame in frames] == clip.pts.tolist()
    args = ["-i", str(clip.identity.path), "-vf", "bwdif=send_frame", "-c:v", "ffv1", str(tmp_path / "theirs.mkv")]
    run_ffmpeg(args, error=VideoError, what="deinterlacing")
    theirs = raw_planes(tmp_path / "theirs.mkv", "yuv420p", 64, 48)
    for frame, planes in list(zip(frames, theirs, strict=True))[1:]:  # of the first, versions of ffmpeg differ
        assert all(np.array_equal(plane, other) for plane, other in zip(frame.planes, planes, strict=True))
    woven = raw_planes(clip.identity.path, "yuv420p", 64, 48)
    assert not np.array_equal(frames[30].planes[0], woven[30][0])


def test_frames_are_the_same_wherever_reading_begins(clip):
    whole = read(clip)
    for start in (0, 1, 2, 19, 20, 21, 24, 37, FRAMES - 1):
        assert same(read(clip, start, start + 1), whole[start : start + 1])
        assert same(read(clip.subclip(start, FRAMES), 0, 1), whole[start : start + 1])


def test_the_result_is_progressive(clip, tmp_path):
    part = clip.subclip(0, 5)
    with (
        FrameReader(part) as frames,
        FrameWriter(tmp_path / "out", part, options=WriterOptions(Codec.FFV1), pts=part.pts) as writer,
    ):
        for frame in frames:
            writer.write(frame)
    assert source_facts(writer.path).field_order is FieldOrder.PROGRESSIVE
    assert same(read(probe(writer.path)), read(part))


@pytest.mark.parametrize("name", [name for name in _formats() if not name.startswith("yuvj")])
def test_no_format_is_converted(tmp_path, name):
    path = interlaced(tmp_path / "in.mkv", "-c:v", "ffv1", pixel_format=name, frames=3)
    frames = read(with_deinterlacing(probe(path)))
    assert [plane.shape for plane in frames[1].planes] == list(PixelFormat.of(name).plane_shapes(64, 48))
    assert len(frames) == 3


def test_a_progressive_clip_and_images_stay_as_they_are_with_a_note(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4"))
    for plain in (clip, clip_from_images(torch.zeros(2, 8, 8, 3), Fraction(25))):
        same_clip = with_deinterlacing(plain)
        assert not same_clip.deinterlace
        assert "nothing to deinterlace" in same_clip.notes[-1].fact

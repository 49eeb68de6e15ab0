"""A still is one frame in memory; pictures that move are clips with all their frames, each as long as its file says."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, features

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import make_clip, raw_planes

SIZE = (24, 16)


def read(clip, start=0, stop=None):
    with FrameReader(clip, start, stop) as frames:
        return list(frames)


def noise(count=3, size=SIZE, seed=0):
    shape = (count, size[1], size[0], 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(path, pixels, **options):
    first, *others = [Image.fromarray(one) for one in pixels]
    first.save(path, save_all=True, append_images=others, **options)
    return path


def rgb(frame):
    green, blue, red = frame.planes
    return np.stack([red, green, blue], -1)


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
def test_frames_are_those_that_ffmpeg_shows(tmp_path, suffix):
    path = make_clip(tmp_path / f"in{suffix}", pixel_format="rgb24" if suffix == ".apng" else "rgb8", frames=4, rate=20,
                     encoder=("-f", suffix[1:]))  # fmt: skip
    clip = probe(path)
    assert (clip.frame_count, clip.fps, clip.pixel_format) == (4, 20, "gbrp")
    for frame, planes in zip(read(clip), raw_planes(path, "gbrp", 64, 48), strict=True):
        assert all(map(np.array_equal, frame.planes, planes))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("in.webp", {"lossless": True, "duration": [40, 100, 60]}),
        ("in.png", {"duration": [40, 100, 60]}),
        ("hidden.png", {"duration": [40, 100, 60], "default_image": True}),
        ("pages.tif", {}),
        ("a film.mp4", {"lossless": True, "duration": [40, 100, 60], "format": "WEBP"}),
    ],
)
def test_every_frame_comes_with_its_time(tmp_path, name, options):
    pixels = noise()
    if "default_image" in options:  # a picture for programs that show stills only: no frame
        pixels = np.concatenate([noise(1, seed=1), pixels])
    clip = probe(save(tmp_path / name, pixels, **options))
    pixels = pixels[-3:]
    assert clip.frame_count == 3
    assert np.allclose(clip.times, [0, 0.04, 0.14] if "duration" in options else [0, 0.04, 0.08])
    assert any("pages have no times" in note.fact for note in clip.notes) == ("duration" not in options)
    for start in range(3):
        frames = read(clip, start)
        assert [frame.index for frame in frames] == list(range(start, 3))
        assert all(np.array_equal(rgb(frame), one) for frame, one in zip(frames, pixels[start:], strict=True))
    part = clip.subclip(1, 3)
    assert np.array_equal(rgb(read(part)[0]), pixels[1])


def test_pictures_that_move_are_written_without_loss(tmp_path):
    pixels = noise()
    clip = probe(save(tmp_path / "in.webp", pixels, lossless=True, duration=[40, 100, 60]))
    with FrameReader(clip) as frames, FrameWriter(
        tmp_path / "out", clip, options=WriterOptions(Codec.FFV1), pts=clip.pts
    ) as out:  # fmt: skip
        for frame in frames:
            out.write(frame)
    again = probe(out.path)
    assert np.allclose(again.times, clip.times)
    assert all(np.array_equal(rgb(frame), one) for frame, one in zip(read(again), pixels, strict=True))


def test_a_frame_without_a_duration_is_shown_for_a_tenth_of_a_second_as_browsers_do(tmp_path):
    clip = probe(save(tmp_path / "in.gif", noise(), duration=0))
    assert clip.fps == 10
    assert np.allclose(clip.times, [0, 0.1, 0.2])


def test_durations_of_film_rates_are_recognised(tmp_path):
    path = make_clip(tmp_path / "in.png", pixel_format="rgb24", frames=5, rate=Fraction(24000, 1001),
                     encoder=("-f", "apng"))  # fmt: skip
    assert probe(path).fps == Fraction(24000, 1001)


def test_pages_of_16_bits_keep_them(tmp_path):
    pages = np.random.default_rng(0).integers(0, 65536, (2, *SIZE[::-1])).astype(np.uint16)
    clip = probe(save(tmp_path / "in.tif", pages))
    assert clip.pixel_format == "gbrp16le"
    assert all(
        np.array_equal(plane, page) for frame, page in zip(read(clip), pages, strict=True) for plane in frame.planes
    )


def test_pages_of_several_sizes_are_no_film(tmp_path):
    small = Image.fromarray(noise(1)[0]).resize((8, 8))
    Image.fromarray(noise(1)[0]).save(tmp_path / "in.tif", save_all=True, append_images=[small])
    clip = probe(tmp_path / "in.tif")
    assert (clip.frame_count, clip.width) == (1, SIZE[0])
    assert "Only the first of the file's 2 pages is used" in clip.notes[0].fact


@pytest.mark.parametrize("name", ["in.gif", "in.webp", "in.png", "in.tif"])
def test_one_frame_is_a_still(tmp_path, name):
    clip = probe(save(tmp_path / name, noise(1), **({"lossless": True} if name == "in.webp" else {})))
    assert clip.images is not None
    assert clip.images.shape == (1, SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("name", ["in.gif", "in.webp", "in.png"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_picture_cut_short_is_refused_or_shorter_but_never_a_crash(tmp_path, name, share):
    path = save(tmp_path / name, noise(4), duration=50)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    found = []
    with suppress(VideoError):
        found = read(probe(path))
    assert len(found) < 4


@pytest.mark.skipif(not features.check("avif"), reason="Pillow before 11.3 has no AVIF")
def test_an_avif_still_is_a_still(tmp_path):
    path = save(tmp_path / "in.avif", noise(1, (64, 48)) // 8 + 100, quality=100)
    assert probe(path).images.shape == (1, 48, 64, 3)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(VideoError, match=r"in\.avif"):
        probe(path)


def test_a_heif_picture_without_a_film_header_is_whole(tmp_path):
    path = tmp_path / "in.heif"
    source = make_clip(tmp_path / "in.mkv", frames=1, encoder=("-c:v", "ffv1"))
    run_ffmpeg(["-i", str(source), "-c:v", "libaom-av1", "-still-picture", "1", "-f", "avif", str(path)],
               error=VideoError, what="making a still")  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data.replace(b"ftypavif", b"ftypmif1", 1))
    clip = probe(path)
    assert (clip.frame_count, clip.width, clip.height, clip.fps) == (1, 64, 48, 25)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VideoError, match="cut short"):
        probe(path)


TRAILERS = {
    "random bytes, as Insta360's": np.random.default_rng(0).integers(1, 256, 3000).astype(np.uint8).tobytes(),
    "Samsung": b"\\0\\0\\1\\x0a\\x0e\\0\\0\\0Image_UTC_Data1650000000000SEFHk\\0\\0\\0\\1\\0\\0\\0)\\0\\0\\0SEFT",
    "text": b"written by some uploader\n",
    "zeros": bytes(4096),
    "a few bytes": b"\xff\xff\xff",
    "an unknown box cut short": b"\0\1\0\0inst" + bytes(50),
}


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS)
@pytest.mark.parametrize("flags", [(), ("-movflags", "frag_keyframe+empty_moov")], ids=["plain", "fragments"])
def test_bytes_after_the_last_box_are_no_damage(tmp_path, trailer, flags):
    path = make_clip(tmp_path / "in.mp4", frames=3, encoder=("-c:v", "libx264", "-preset", "ultrafast", *flags))
    path.write_bytes(path.read_bytes() + trailer)
    assert len(read(probe(path))) == 3

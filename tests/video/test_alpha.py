"""A clip's alpha channel goes along untouched where the result holds one; elsewhere a note says that it doesn't."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.errors import VideoError
from latentsync_core.imaging.roi import Roi
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.messages import NoteLevel, Remedy
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.encoding import layer_clip, matte_clip
from latentsync_core.video.writing.sequence_writer import result_writer
from latentsync_core.video.writing.writer_options import Codec, WriterOptions

FRAMES = 3
SOURCES = {  # pixel format: how such a film is made
    "yuva420p": ("mkv", "-c:v", "ffv1"),
    "yuva422p10le": ("mkv", "-c:v", "ffv1"),
    "yuva444p12le": ("mkv", "-c:v", "ffv1"),
    "gbrap12le": ("mkv", "-c:v", "ffv1"),
    "bgra": ("mkv", "-c:v", "ffv1"),
    "argb": ("mov", "-c:v", "qtrle"),
    "rgba": ("mov", "-c:v", "png"),
}


def random_film(path, pixel_format, size, *encoder):
    """A film of random samples, alpha among them."""
    draw = np.random.default_rng(5)
    facts = av.VideoFormat(pixel_format, *size)
    bits = facts.components[0].bits
    chroma = (facts.chroma_height(), facts.chroma_width())
    shapes = [chroma if part.is_chroma else size[::-1] for part in facts.components]
    count = FRAMES * sum(rows * columns for rows, columns in shapes)
    samples = draw.integers(0, 1 << bits, count).astype(np.uint8 if bits == 8 else np.uint16)
    raw = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{size[0]}x{size[1]}", "-r", "25", "-i", "pipe:0"]
    run_ffmpeg(["-y", *raw, *encoder, str(path)], error=VideoError, what="making a film", input=samples.tobytes())
    return path


def make_film(folder, pixel_format, size=(64, 48)):
    suffix, *encoder = SOURCES[pixel_format]
    return random_film(folder / f"in.{suffix}", pixel_format, size, *encoder)


def alpha_by_ffmpeg(path, bits, size):
    """(frames, rows, columns): a file's alpha as ffmpeg decodes it."""
    gray = "gray" if bits == 8 else f"gray{bits}le"
    args = ["-noautorotate", "-i", str(path), "-vf", "extractplanes=a", "-pix_fmt", gray, "-f", "rawvideo", "-"]
    data = run_ffmpeg(args, error=VideoError, what="decoding")
    return np.frombuffer(data, np.uint8 if bits == 8 else np.uint16).reshape(-1, size[1], size[0])


def alpha_of(clip):
    with FrameReader(clip) as frames:
        return np.stack([frame.alpha for frame in frames])


def written(clip, path, codec):
    writer = result_writer(path, clip, options=WriterOptions(codec, preset="ultrafast"), pts=clip.pts)
    writer.preflight()
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    return writer


@pytest.mark.parametrize("pixel_format", SOURCES)
def test_ffv1_holds_every_sample_of_it(tmp_path, pixel_format):
    clip = probe(make_film(tmp_path, pixel_format))
    assert clip.has_alpha
    assert not any("alpha" in note.fact for note in clip.notes)
    bits = av.VideoFormat(pixel_format, 8, 8).components[0].bits
    alpha = alpha_by_ffmpeg(clip.identity.path, bits, (64, 48))
    assert len(np.unique(alpha)) > 200
    assert np.array_equal(alpha_of(clip), alpha)
    writer = written(clip, tmp_path / "out", Codec.FFV1)
    assert not any("alpha" in note.fact for note in writer.notes)
    assert np.array_equal(alpha_by_ffmpeg(writer.path, bits, (64, 48)), alpha)
    again = probe(writer.path)
    assert again.has_alpha
    assert again.pixel_format == clip.pixel_format
    with FrameReader(clip) as frames, FrameReader(again) as results:
        for one, other in zip(frames, results, strict=True):
            assert all(map(np.array_equal, one.planes, other.planes))


def test_ffv1_of_an_odd_size_holds_it_too(tmp_path):
    clip = probe(make_film(tmp_path, "yuva420p", (35, 27)))
    writer = written(clip, tmp_path / "out", Codec.FFV1)
    assert np.array_equal(alpha_of(probe(writer.path)), alpha_of(clip))


def test_a_pasted_mouth_leaves_it(tmp_path):
    clip = probe(make_film(tmp_path, "yuva420p"))
    with FrameReader(clip) as frames:
        frame = next(iter(frames))
    before = frame.alpha.copy()
    frame.paste(Roi(8, 8, 40, 40), torch.rand(3, 32, 32), torch.rand(32, 32))
    assert np.array_equal(frame.alpha, before)


def test_frames_in_any_order_bring_theirs(tmp_path):
    clip = probe(make_film(tmp_path, "yuva420p"))
    alpha = alpha_of(clip)
    order = [0, 1, 1, 2, 1, 0]
    with FrameSequence(clip) as frames:
        for index, frame in zip(order, frames.frames(order), strict=True):
            assert np.array_equal(frame.alpha, alpha[index])


@pytest.mark.parametrize("codec", [Codec.PNG, Codec.TIFF])
@pytest.mark.parametrize("pixel_format", ["rgba", "rgba64be", "ya8"])
def test_pictures_with_alpha_become_pictures_with_the_same_alpha(tmp_path, codec, pixel_format):
    bits = 16 if "64" in pixel_format else 8
    random_film(tmp_path / "shot_%03d.png", pixel_format, (64, 48))
    clip = probe(tmp_path / "shot_%03d.png", Fraction(25))
    assert clip.has_alpha
    assert clip.notes == ()
    writer = written(clip, tmp_path / "out", codec)
    sources, results = sorted(tmp_path.glob("shot_*")), sorted(writer.path.iterdir())
    for source, result in zip(sources, results, strict=True):
        (kept,) = alpha_by_ffmpeg(result, 16, (64, 48))
        if bits == 16:
            assert np.array_equal(kept, alpha_by_ffmpeg(source, 16, (64, 48))[0])
        else:  # by Pillow, since ffmpeg's filter misreads grey with alpha
            assert np.array_equal(kept, np.asarray(Image.open(source))[..., -1].astype(np.uint16) * 257)


def test_pictures_of_a_turned_film_have_theirs_upright(tmp_path):
    plain = make_film(tmp_path, "rgba")
    turned = tmp_path / "turned.mov"
    args = ["-display_rotation", "-90", "-display_hflip", "-i", str(plain), "-c", "copy", str(turned)]
    run_ffmpeg(args, error=VideoError, what="turning")
    clip = probe(turned)
    assert (clip.rotation, clip.mirrored) == (90, True)
    writer = written(clip, tmp_path / "out", Codec.PNG)
    (alpha,) = alpha_by_ffmpeg(min(writer.path.iterdir()), 16, (48, 64))
    stored = alpha_of(clip)[0].astype(np.uint16) * 257
    assert np.array_equal(alpha, np.rot90(stored, -1)[:, ::-1])


def test_prores_4444_in_the_sources_codec_keeps_it_to_10_bits(tmp_path):
    path = random_film(
        tmp_path / "in.mov", "yuva444p10le", (64, 48), "-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16"
    )
    clip = probe(path)
    assert clip.has_alpha
    writer = written(clip, tmp_path / "out", Codec.MATCH_SOURCE)
    again = probe(writer.path)
    assert (again.video_codec, again.video_profile, again.has_alpha) == ("prores", "4444", True)
    levels = (1 << int(clip.pixel_format[-4:-2])) - 1
    difference = np.abs(alpha_of(again).astype(int) - alpha_of(clip)).max() / levels
    assert difference <= 0.5 / 1023 + 1e-3 * (levels > 1023)


@pytest.mark.parametrize(("encoder", "decoder"), [("libvpx", "libvpx"), ("libvpx-vp9", "libvpx-vp9")])
def test_vp8_and_vp9_bring_theirs_wherever_reading_begins(tmp_path, encoder, decoder):
    draw = "geq=lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='mod(X*4+N*10,256)'"
    source = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25,format=yuva420p,{draw}", "-frames:v", "20"]
    speed = ["-auto-alt-ref", "0", "-cpu-used", "8", "-b:v", "2M", "-g", "8"]
    path = tmp_path / "in.webm"
    run_ffmpeg(["-y", *source, "-c:v", encoder, *speed, str(path)], error=VideoError, what="making a film")
    clip = probe(path)
    assert (clip.has_alpha, clip.pixel_format, clip.frame_count) == (True, "yuv420p", 20)
    with_alpha = ["-c:v", decoder, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuva420p", "-"]
    data = np.frombuffer(run_ffmpeg(with_alpha, error=VideoError, what="decoding"), np.uint8).reshape(20, -1)
    for start in (0, 17):
        with FrameReader(clip, start) as frames:
            for frame, shown in zip(frames, data[start:], strict=True):
                assert b"".join(plane.tobytes() for plane in (*frame.planes, frame.alpha)) == shown.tobytes()
    writer = written(clip, tmp_path / "out", Codec.FFV1)
    assert np.array_equal(alpha_of(probe(writer.path)), alpha_of(clip))


def test_a_turned_film_with_vp9s_alpha_stays_turned(tmp_path):
    plain = random_film(tmp_path / "in.webm", "yuva420p", (64, 48), "-c:v", "libvpx-vp9", "-cpu-used", "8")
    turned = tmp_path / "turned.mkv"
    run_ffmpeg(
        ["-display_rotation", "-90", "-i", str(plain), "-c", "copy", str(turned)], error=VideoError, what="turning"
    )
    assert (probe(turned).rotation, probe(turned).has_alpha) == (90, True)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.PRORES, Codec.DNXHR])
def test_what_holds_none_says_so_and_what_does(tmp_path, codec):
    clip = probe(random_film(tmp_path / "in.mkv", "yuva420p", (256, 128), "-c:v", "ffv1"))
    writer = written(clip, tmp_path / "out", codec)
    (note,) = [note for note in writer.notes if "alpha" in note.fact]
    assert "files hold no alpha channel: the clip's was left out" in note.fact
    assert (note.level, note.remedies) == (NoteLevel.WARNING, (Remedy.KEEP_ALPHA,))
    assert not probe(writer.path).has_alpha


def test_what_lies_over_a_clip_has_no_alpha_of_the_clip(tmp_path):
    clip = probe(make_film(tmp_path, "yuva420p"))
    assert not layer_clip(clip).has_alpha
    assert not matte_clip(clip, Codec.FFV1).has_alpha
    opaque = dataclasses.replace(clip, has_alpha=False)
    with FrameReader(opaque) as frames:
        assert all(frame.alpha is None for frame in frames)

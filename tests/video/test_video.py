"""A clip's frames come once each, as stored and when they are due, and leave the same way; failures leave nothing."""

import itertools
import os
import sys
from fractions import Fraction
from math import floor

import av
import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError, ClipChangedError, OptionError, OutputError, ToolError, VideoError
from latentsync_core.media.ffmpeg import check_version, ffmpeg_executable, run_ffmpeg
from latentsync_core.video.clip import ColorTags
from latentsync_core.video.reading.probing import check_identity, clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.encoding import output_path
from latentsync_core.video.writing.metadata import ffmetadata
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import CODECS, LOSSLESS, make_clip, make_sound, packet_times, raw_planes
from tests.shared_reference import SHARED, needs_shared
from tests.slow_parameters import others_slow

FFV1 = WriterOptions(Codec.FFV1)
FAST = WriterOptions(preset="ultrafast")
NATIVE = ["yuv420p", "yuv422p10le", "yuv444p"]
VARIABLE = "400*N+37*N*N"  # ticks


def times(clip):
    return [int(pts) * clip.time_base for pts in clip.pts]


def read(clip, start=0, stop=None):
    with FrameReader(clip, start, stop) as frames:
        return list(frames)


def rewrite(clip, path, options=FFV1, audio=None):
    audio = audio and load_audio(audio, clip).as_track(path.parent)
    """Every frame of the clip into a new file; returns the writer."""
    with FrameReader(clip) as frames, FrameWriter(path, clip, options=options, pts=clip.pts, audio=audio) as out:
        for frame in frames:
            out.write(frame)
    return out


def same_planes(frames, raw):
    assert len(frames) == len(raw)
    return all(
        np.array_equal(plane, other)
        for frame, planes in zip(frames, raw, strict=True)
        for plane, other in zip(frame.planes, planes, strict=True)
    )


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "30", "50", "60", "60000/1001"])
def test_the_rate_is_exact_and_every_packet_has_its_stamp(tmp_path, rate, suffix):
    path = make_clip(tmp_path / f"clip.{suffix}", rate=Fraction(rate), frames=15)
    clip = probe(path)
    assert clip.fps == Fraction(rate)
    assert clip.frame_count == 15
    assert times(clip) == packet_times(path)


def test_a_stated_rate_that_is_not_the_clips_own_is_reported(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", rate="24000/1001")
    assert probe(path, Fraction("23.976")).notes == ()
    (note,) = probe(path, Fraction(25)).notes
    assert str(note) == "A frame rate of 25 was stated, but the clip's own is 23.976, which counts."


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_keeps_each_stamp(tmp_path, suffix):
    path = make_clip(tmp_path / f"clip.{suffix}", pts=VARIABLE, frames=20)
    clip = probe(path)
    assert times(clip) == packet_times(path)
    assert len(set(np.diff(clip.pts))) > 5
    assert [frame.pts for frame in read(clip)] == clip.pts.tolist()


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
@pytest.mark.parametrize("pixel_format", [*NATIVE, "yuv420p10le", "yuv422p", "yuv444p10le", "yuv420p12le", "gbrp"])
def test_planes_are_those_that_ffmpeg_decodes(tmp_path, pixel_format, size):
    path = make_clip(tmp_path / "clip.mkv", pixel_format=pixel_format, size=size, frames=4, encoder=("-c:v", "ffv1"))
    clip = probe(path)
    assert clip.pixel_format == pixel_format
    assert same_planes(read(clip), raw_planes(path, pixel_format, *size))


ENCODERS = {
    "closed.mp4": ("-c:v", "libx264", "-g", "12", "-bf", "3"),
    "open.mp4": ("-c:v", "libx264", "-g", "12", "-bf", "3", "-x264-params", "open-gop=1"),
    "open.mkv": ("-c:v", "libx265", "-g", "12", "-x265-params", "open-gop=1:log-level=none"),
    "open.ts": ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"),
    "raw.h264": ("-c:v", "libx264", "-g", "12", "-bf", "2"),
    "odd.avi": ("-c:v", "libx264", "-g", "12", "-bf", "2"),
    "old.avi": ("-c:v", "mpeg4", "-g", "12", "-bf", "2"),
    "web.webm": ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "10", "-b:v", "200k"),
}


@pytest.fixture(scope="module", params=ENCODERS)
def coded_clip(request, tmp_path_factory):
    path = make_clip(tmp_path_factory.mktemp("coded") / request.param, frames=70, encoder=ENCODERS[request.param])
    clip = probe(path)
    return clip, raw_planes(path, "yuv420p", 64, 48)


def test_every_frame_comes_once_from_any_codec(coded_clip):
    clip, raw = coded_clip
    assert (clip.frame_count, clip.fps) == (70, 25)
    assert same_planes(read(clip), raw)


def test_an_edit_list_hides_frames_as_players_do(tmp_path):
    path, cut = make_clip(tmp_path / "in.mp4", frames=50), tmp_path / "cut.mp4"
    run_ffmpeg(["-ss", "0.5", "-i", str(path), "-c", "copy", str(cut)], error=VideoError, what="cutting")
    clip = probe(cut)
    assert clip.frame_count < 50
    assert same_planes(read(clip), raw_planes(cut, "yuv420p", 64, 48))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 70), length=st.integers(0, 5), cut=st.integers(0, 30))
def test_reading_may_start_anywhere(coded_clip, start, length, cut):
    clip, raw = coded_clip
    part = clip.subclip(min(cut, start), 70)
    first = start - part.first_frame
    stop = min(first + length, part.frame_count)
    frames = read(part, first, stop)
    assert [frame.index for frame in frames] == list(range(first, stop))
    assert same_planes(frames, raw[start : start + stop - first])


@pytest.mark.parametrize(
    ("codec", "rotation"),
    others_slow(
        itertools.product([Codec.H264, Codec.FFV1], [0, 90, 180, 270]),
        quick=[*((Codec.H264, rotation) for rotation in (0, 90, 180, 270)), (Codec.FFV1, 90)],
    ),
)
def test_rotation_sample_aspect_and_tags_travel(tmp_path, rotation, codec):
    """Quick: test_rotation_sample_aspect_and_tags_travel, every rotation in one of both containers."""
    tags = "range=tv:colorspace=smpte170m:color_primaries=bt709:color_trc=bt709"
    path = make_clip(tmp_path / "in.mp4", rotation=rotation, sample_aspect="4/3", params=tags, encoder=LOSSLESS)
    clip = probe(path)
    assert clip.rotation == rotation
    assert (clip.width, clip.height) == ((64, 48) if rotation % 180 == 0 else (48, 64))
    assert clip.sample_aspect == (Fraction(4, 3) if rotation % 180 == 0 else Fraction(3, 4))
    assert clip.color == ColorTags("smpte170m", "tv", "bt709", "bt709", "left")
    shown = run_ffmpeg(["-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
                       error=VideoError, what="decoding")  # fmt: skip
    turned = np.frombuffer(shown, np.uint8).reshape(clip.height, clip.width) / 255
    ours = read(clip, 0, 1)[0].rgb().mean(0).numpy()
    assert np.corrcoef(turned.ravel(), ours.ravel())[0, 1] > 0.8
    again = probe(rewrite(clip, tmp_path / "out", WriterOptions(codec)).path)
    assert (again.rotation, again.sample_aspect) == (clip.rotation, clip.sample_aspect)
    assert again.color == clip.color
    assert again.color.matrix == "smpte170m"
    assert again.color.primaries == "bt709"


def test_full_range_and_top_left_chroma_travel(tmp_path):
    tags = "range=pc:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    encoder = (*LOSSLESS, "-x264-params", "chromaloc=2")
    clip = probe(make_clip(tmp_path / "in.mp4", pixel_format="yuv420p10le", params=tags, encoder=encoder))
    assert clip.color == ColorTags("bt2020nc", "pc", "bt2020", "smpte2084", "topleft")
    assert probe(rewrite(clip, tmp_path / "out", FAST).path).color == clip.color


@pytest.mark.parametrize(("matrix", "range_"), [("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc")])
@pytest.mark.parametrize("pixel_format", NATIVE)
def test_colours_are_those_of_ffmpegs_own_conversion(tmp_path, pixel_format, matrix, range_):
    tags = f"range={range_}:colorspace={matrix}"
    path = make_clip(tmp_path / "clip.mkv", pixel_format=pixel_format, size=(320, 180), frames=1, params=tags,
                     encoder=("-c:v", "ffv1", "-color_range", range_), smooth=True)  # fmt: skip
    scale = f"scale=in_color_matrix={matrix}:in_range={range_}:flags=bilinear+accurate_rnd+full_chroma_int"
    args = ["-i", str(path), "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    theirs = np.frombuffer(run_ffmpeg(args, error=VideoError, what="converting"), np.uint8).reshape(180, 320, 3)
    ours = read(probe(path))[0].rgb().permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - theirs).mean() < 1


def test_a_picture_is_one_frame_in_memory_and_upright(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    orientation = Image.Exif()
    orientation[0x0112] = 6  # turn clockwise to see it upright
    Image.fromarray(pixels).save(tmp_path / "b.png", exif=orientation)
    flat, turned = probe(tmp_path / "a.png"), probe(tmp_path / "b.png")
    assert (flat.frame_count, flat.width, flat.height, turned.width, turned.height) == (1, 9, 6, 6, 9)
    assert np.array_equal((flat.images[0].numpy() * 255).round(), pixels)
    assert np.array_equal((turned.images[0].numpy() * 255).round(), np.rot90(pixels, -1))


# --- what can't be read ----------------------------------------------------------------------------------------------


def test_what_is_no_clip_is_named(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a film")
    (tmp_path / "text.png").write_text("not a picture")
    sound = make_sound(tmp_path / "sound.m4a")
    for path, words in [
        (tmp_path / "none.mp4", "There is no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty.mp4", "0 bytes"),
        (tmp_path / "text.mp4", "can't be read as a video"),
        (tmp_path / "text.png", "is no picture that can be read"),
        (sound, "no video stream; its audio has the codec aac"),
    ]:
        with pytest.raises(VideoError, match=words):
            probe(path)


def test_cover_art_is_not_a_video(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "cover.jpg")
    sound = make_sound(tmp_path / "sound.mp3")
    args = ["-i", str(sound), "-i", str(tmp_path / "cover.jpg"), "-map", "0", "-map", "1", "-c", "copy"]
    song = tmp_path / "song.mp3"
    run_ffmpeg([*args, "-disposition:v", "attached_pic", str(song)], error=VideoError, what="making a song")
    with pytest.raises(VideoError, match="no video stream"):
        probe(song)


@pytest.mark.parametrize(
    ("name", "share"),
    others_slow(
        itertools.product(["late.mp4", "early.mp4", "clip.mkv"], [0.3, 0.7, 0.95]),
        quick=[("late.mp4", 0.95), ("early.mp4", 0.3), ("early.mp4", 0.95), ("clip.mkv", 0.3), ("clip.mkv", 0.95)],
    ),
)
def test_a_file_cut_short_is_refused(tmp_path, name, share):
    """Quick: test_a_file_cut_short_is_refused, with the other shares."""
    encoder = ("-c:v", "libx264", "-movflags", "+faststart") if name == "early.mp4" else ("-c:v", "libx264")
    path = make_clip(tmp_path / name, frames=50, size=(320, 240), encoder=encoder)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(VideoError, match=r"\d+ of 50 frames" if name == "early.mp4" else "cut short"):
        probe(path)


@pytest.mark.parametrize("keep_mtime", [False, True])
def test_a_changed_file_is_noticed_at_every_open(tmp_path, keep_mtime):
    path = make_clip(tmp_path / "clip.mp4")
    clip = probe(path)
    check_identity(clip)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if keep_mtime:
        os.utime(path, ns=(clip.identity.mtime_ns, clip.identity.mtime_ns))
    with pytest.raises(ClipChangedError, match="changed since its faces were prepared"), FrameReader(clip):
        pass
    path.unlink()
    with pytest.raises(ClipChangedError, match="is gone"):
        check_identity(clip)


def test_frames_outside_the_clip_are_refused(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4"))
    for start, stop in [(-1, 2), (3, 2), (0, 11)]:
        with pytest.raises(VideoError, match="lie outside"):
            FrameReader(clip, start, stop)


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    others_slow(
        itertools.product([*NATIVE, "yuv420p12le", "gbrp"], [(64, 48), (63, 47), (1, 1)]),
        quick=[
            ("yuv420p", (64, 48)), ("yuv420p", (63, 47)), ("yuv422p10le", (63, 47)), ("yuv444p", (63, 47)),
            ("yuv420p12le", (63, 47)), ("gbrp", (63, 47)), ("yuv420p", (1, 1)), ("yuv422p10le", (1, 1)),
        ],
    ),
)  # fmt: skip
def test_ffv1_keeps_every_sample(tmp_path, pixel_format, size):
    """Quick: test_ffv1_keeps_every_sample, with every format and every size, not each of each."""
    path = make_clip(tmp_path / "in.mkv", pixel_format=pixel_format, size=size, frames=3, encoder=("-c:v", "ffv1"))
    out = rewrite(probe(path), tmp_path / "out.mkv")
    assert same_planes(read(probe(path)), raw_planes(out.path, pixel_format, *size))


@pytest.mark.parametrize(
    ("rate", "codec", "source"),
    others_slow(
        itertools.product(["24000/1001", "variable"], CODECS, ["in.mp4", "in.mkv"]),
        quick=[
            *(("24000/1001", codec, "in.mp4") for codec in CODECS),
            *(("variable", codec, "in.mkv") for codec in CODECS),
            ("variable", Codec.FFV1, "in.mp4"),
        ],
    ),
)
def test_stamps_are_the_sources_to_the_tick_of_the_container(tmp_path, codec, source, rate):
    """Quick: test_stamps_are_the_sources_to_the_tick_of_the_container, from another container."""
    variable = {"pts": VARIABLE} if rate == "variable" else {"rate": Fraction(rate)}
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3")
    clip = probe(make_clip(tmp_path / source, frames=20, encoder=encoder, **variable))
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, preset="fast"))
    written = packet_times(out.path)
    if codec is Codec.FFV1:
        assert written == [Fraction(floor(time * 1000 + Fraction(1, 2)), 1000) for time in times(clip)]
        assert any("milliseconds" in note.fact for note in out.notes) == (source == "in.mp4")
    else:
        assert written == times(clip)
    if rate != "variable":
        assert probe(out.path).fps == Fraction(rate)


@pytest.mark.parametrize(
    ("codec", "range_", "matrix"),
    others_slow(
        itertools.product([Codec.H264, Codec.FFV1], ["tv", "pc", None], ["bt709", "smpte170m", None]),
        quick=[
            (codec, *said)
            for codec in (Codec.H264, Codec.FFV1)
            for said in [("tv", "bt709"), ("pc", "smpte170m"), ("pc", None), (None, "bt709"), (None, None)]
        ],
    ),
)
def test_whatever_a_clip_says_of_its_colours_no_sample_is_converted(tmp_path, matrix, range_, codec):
    """Quick: test_whatever_a_clip_says_of_its_colours_no_sample_is_converted, with every matrix and every range."""
    said = {"range": range_, "colorspace": matrix, "color_trc": matrix}
    params = ":".join(f"{key}={value}" for key, value in said.items() if value)
    clip = probe(make_clip(tmp_path / "in.mp4", params=params or None, smooth=True, frames=2, encoder=LOSSLESS))
    assert (clip.color.matrix, clip.color.transfer, clip.color.range == "pc") == (matrix, matrix, range_ == "pc")
    again = probe(rewrite(clip, tmp_path / "out", WriterOptions(codec, crf=0)).path)
    assert again.color.matrix == matrix
    assert (again.color.range or "tv") == (range_ or "tv")
    assert same_planes(read(again), [frame.planes for frame in read(clip)])


FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv420p12le"]
SIZES = [(64, 48), (63, 48), (64, 47), (63, 47)]


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    others_slow(
        itertools.product(FORMATS, SIZES),
        quick=[*(("yuv420p", size) for size in SIZES), *((form, (63, 47)) for form in FORMATS), ("yuv422p", (64, 47))],
    ),
)
def test_h264_takes_any_size_and_format(tmp_path, pixel_format, size):
    """Quick: test_h264_takes_any_size_and_format, with every format and every size, not each of each."""
    clip = probe(make_clip(tmp_path / "in.mkv", pixel_format=pixel_format, size=size, frames=3,
                           encoder=("-c:v", "ffv1"), smooth=True))  # fmt: skip
    out = rewrite(clip, tmp_path / "out", WriterOptions(crf=1, preset="ultrafast"))
    again = probe(out.path)
    assert (again.width, again.height, again.frame_count) == (*size, 3)
    assert (again.pixel_format == pixel_format) == (
        not any("interpolated" in n.fact or "rounded" in n.fact for n in out.notes)
    )
    for frame, original in zip(read(again), read(clip), strict=True):
        assert (frame.rgb() - original.rgb()).abs().mean() < 1 / 255


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    others_slow(
        itertools.product([*NATIVE, "yuvj420p", "gbrp"], [(64, 48), (63, 47)]),
        quick=[("yuv422p10le", (64, 48)), *((form, (63, 47)) for form in (*NATIVE, "yuvj420p", "gbrp"))],
    ),
)
def test_prores_holds_422_10_bit_and_says_when_it_converted(tmp_path, pixel_format, size):
    """Quick: test_prores_holds_422_10_bit_and_says_when_it_converted, at the odd size."""
    encoder = ("-c:v", "mjpeg", "-q:v", "1") if pixel_format == "yuvj420p" else ("-c:v", "ffv1")
    clip = probe(make_clip(tmp_path / "in.mkv", pixel_format=pixel_format, size=size, frames=3, encoder=encoder,
                           smooth=True))  # fmt: skip
    out = rewrite(clip, tmp_path / "out", WriterOptions(Codec.PRORES))
    again = probe(out.path)
    assert (again.pixel_format, again.width, again.height) == ("yuv422p10le", *size)
    assert any("converted" in note.fact for note in out.notes) == (pixel_format != "yuv422p10le")
    for frame, original in zip(read(again), read(clip), strict=True):
        assert (frame.rgb() - original.rgb()).abs().mean() < 2 / 255


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(16, 20), (15, 21)])
def test_images_in_memory_reach_every_codec(tmp_path, codec, size):
    ramp = (
        np.mgrid[0 : size[1], 0 : size[0]].sum(0)[None, :, :, None] * np.array([3, 2, 4])
        + np.arange(3)[:, None, None, None]
    )
    images = torch.from_numpy((ramp % 256).astype(np.float32) / 255)
    clip = clip_from_images(images, Fraction(24000, 1001))
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, crf=1))
    again = probe(out.path)
    assert (again.frame_count, again.width, again.height, again.fps) == (3, *size, Fraction(24000, 1001))
    for frame, image in zip(read(again), images, strict=True):
        difference = (frame.rgb().permute(1, 2, 0) - image).abs()
        assert difference.max() < 1e-6 if codec is Codec.FFV1 else difference.mean() < 3 / 255


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_in_memory_are_read_as_they_are(dtype):
    images = torch.randn(3, 4, 5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    clip = clip_from_images(images, Fraction(24))
    frames = read(clip, 1)
    assert [frame.index for frame in frames] == [1, 2]
    assert all(np.array_equal(frame.planes[0], images[frame.index].to(clip.images.dtype).numpy()) for frame in frames)
    frames[0].planes[0][:] = 0
    assert images[1].any()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 4, 4, 4), "shape"),
        (torch.zeros(4, 4, 3), "shape"),
        (torch.zeros(0, 4, 4, 3), "empty"),
        (torch.zeros(1, 4, 4, 3, dtype=torch.uint8), "float"),
    ],
)
def test_what_is_no_image_batch_is_refused(images, words):
    with pytest.raises(VideoError, match=words):
        clip_from_images(images, Fraction(25))


@pytest.mark.parametrize(
    ("codec", "sound", "args", "expected"),
    [
        (Codec.H264, "a.m4a", ("-c:a", "aac"), "aac"),
        (Codec.H264, "a.mp3", (), "mp3"),
        (Codec.H264, "a.ac3", (), "ac3"),
        (Codec.H264, "a.wav", (), "pcm_s16le -> aac"),
        (Codec.H264, "a.flac", (), "flac -> aac"),
        (Codec.PRORES, "a.wav", ("-c:a", "pcm_f32le"), "pcm_s24le"),
        pytest.param(Codec.PRORES, "a.wav", (), "pcm_s24le", marks=pytest.mark.slow),
        (Codec.PRORES, "a.m4a", ("-c:a", "aac"), "aac -> pcm_s24le"),
        (Codec.FFV1, "a.wav", (), "pcm_s24le"),
        (Codec.FFV1, "a.opus", (), "opus -> pcm_s24le"),
        pytest.param(Codec.FFV1, "a.m4a", ("-c:a", "aac"), "aac -> pcm_s24le", marks=pytest.mark.slow),
    ],
)
def test_an_mp4_copies_sound_that_plays_there_and_other_files_hold_24_bit_pcm(tmp_path, codec, sound, args, expected):
    """Quick: test_an_mp4_copies_sound_that_plays_there_and_other_files_hold_24_bit_pcm, with the other codec."""
    clip = probe(make_clip(tmp_path / "in.mp4", frames=25))
    audio = make_sound(tmp_path / sound, *args)
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, preset="ultrafast"), audio=audio)
    again = probe(out.path)
    assert again.audio_codec.removesuffix("float") == expected.split(" -> ")[-1]
    assert any("re-encoded" in note.fact for note in out.notes) == ("->" in expected)
    assert times(again) == times(clip)
    if "->" not in expected and sound == "a.wav" and not args:
        assert decoded_sound(out.path) == decoded_sound(audio), "24 bits hold 16 exactly"
    elif "->" not in expected and sound in ("a.mp3", "a.ac3"):  # whose last packet goes on behind the picture
        source, copied = decoded_sound(audio), decoded_sound(out.path)
        common = min(len(source), len(copied))  # FFmpeg before 9 decodes the last packet of an MP4 to its end
        assert source[:common] == copied[:common]
        assert common > 0.95 * len(source)


@pytest.mark.parametrize(
    ("seconds", "rate", "codec"),
    others_slow(
        itertools.product([0.3, 3.0], ["25", "24000/1001"], CODECS),
        quick=[(3.0, "25", Codec.H264), *itertools.product([0.3, 3.0], ["24000/1001"], CODECS)],
    ),
)
def test_a_sound_is_as_long_as_the_picture_to_the_sample(tmp_path, codec, rate, seconds):
    """Quick: test_a_sound_is_as_long_as_the_picture_to_the_sample, at the rate whose frames are no whole samples."""
    frames, sound_rate = 25, 44100
    clip = probe(make_clip(tmp_path / "in.mp4", frames=frames, rate=Fraction(rate)))
    audio = make_sound(tmp_path / "voice.wav", seconds=seconds, rate=sound_rate)
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, preset="ultrafast"), audio=audio)
    expected = round(frames / Fraction(rate) * sound_rate)
    decoded = np.frombuffer(decoded_sound(out.path), np.float32)
    if codec is Codec.H264:  # the file's edit list ends the last packet, which decodes to whole 1024 samples
        with av.open(str(out.path)) as file:
            stream = file.streams.audio[0]
            assert round(stream.duration * stream.time_base * sound_rate) == expected
            assert 0 <= decoded.size - expected < 1024
    else:
        assert decoded.size == expected
        given = np.frombuffer(decoded_sound(audio), np.float32)[:expected]
        assert np.array_equal(decoded[: given.size], given)
        assert not decoded[given.size :].any()


@pytest.mark.parametrize("sound", ["voice.m4a", "voice.mp3"])
@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_a_copied_sound_ends_with_the_picture_or_with_its_last_packet_before(tmp_path, sound, seconds):
    clip = probe(make_clip(tmp_path / "in.mp4", frames=25))
    audio = make_sound(tmp_path / sound, seconds=seconds)
    out = rewrite(clip, tmp_path / "out", FAST, audio=audio)
    with av.open(str(out.path)) as file:
        stream = file.streams.audio[0]
        length = float(stream.duration * stream.time_base)
    assert min(seconds, 1) - 0.001 <= length <= min(1, seconds + 2 * 1152 / 44100) + 0.0001


def decoded_sound(path):
    args = ["-i", str(path), "-map", "0:a:0", "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    return run_ffmpeg(args, error=AudioError, what="decoding")


@pytest.mark.parametrize(
    ("late", "sound", "codec"),
    others_slow(
        itertools.product([False, True], ["click.wav", "click.m4a"], CODECS),
        quick=[
            (False, "click.wav", Codec.H264), (True, "click.wav", Codec.H264), (True, "click.m4a", Codec.H264),
            (True, "click.wav", Codec.PRORES), (False, "click.m4a", Codec.PRORES),
            (False, "click.wav", Codec.FFV1), (True, "click.m4a", Codec.FFV1),
        ],
    ),
)  # fmt: skip
def test_sound_begins_with_the_first_frame(tmp_path, codec, sound, late):
    """Quick: test_sound_begins_with_the_first_frame, with every codec of each sound, early or late."""
    pts = "N*512+1600" if late else "N*512"
    clip = probe(make_clip(tmp_path / "in.mp4", frames=25, pts=pts))
    click = ["-y", "-f", "lavfi", "-i", "aevalsrc='if(between(t,0.5,0.51),sin(6000*t),0)':s=48000:d=1"]
    run_ffmpeg([*click, str(tmp_path / sound)], error=AudioError, what="making a click")
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, preset="ultrafast"), audio=tmp_path / sound)
    assert times(probe(out.path))[0] == times(clip)[0]
    args = ["-copyts", "-i", str(out.path), "-map", "0:a:0", "-af", "aresample=48000:async=1:first_pts=0", "-ac", "1",
            "-f", "f32le", "-c:a", "pcm_f32le", "-"]  # fmt: skip
    heard = np.frombuffer(run_ffmpeg(args, error=AudioError, what="decoding"), np.float32)
    begins = np.flatnonzero(np.abs(heard) > 0.3)[0] / 48000
    assert begins - float(times(clip)[0]) == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize(
    ("late", "sound", "codec"),
    others_slow(
        itertools.product([False, True], ["long.wav", "long.m4a", "long.mp3"], CODECS),
        quick=[
            (True, "long.wav", Codec.H264), (False, "long.m4a", Codec.H264), (True, "long.mp3", Codec.H264),
            (True, "long.wav", Codec.PRORES), (False, "long.m4a", Codec.PRORES),
            (False, "long.wav", Codec.FFV1), (True, "long.mp3", Codec.FFV1),
        ],
    ),
)  # fmt: skip
def test_a_longer_sound_ends_with_the_picture(tmp_path, codec, sound, late):
    """Quick: test_a_longer_sound_ends_with_the_picture, with every codec of each sound, early or late."""
    clip = probe(make_clip(tmp_path / "in.mp4", frames=25, pts="N*512+1600" if late else "N*512"))
    audio = make_sound(tmp_path / sound, seconds=3)
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, preset="ultrafast"), audio=audio)
    samples = np.frombuffer(decoded_sound(out.path), np.float32).size
    length = round(clip.duration * 44100)  # FFmpeg 7's MP4s end their last frame as it begins, and show one fewer
    assert samples == (length if codec is not Codec.H264 else pytest.approx(length, abs=2 * 1152))


@pytest.mark.parametrize("codec", CODECS)
def test_a_sound_that_begins_late_in_its_file_is_heard_late(tmp_path, codec):
    clip = probe(make_clip(tmp_path / "in.mp4", frames=50))
    tone = make_sound(tmp_path / "tone.m4a", "-c:a", "aac")
    late = ["-y", "-i", str(tmp_path / "in.mp4"), "-itsoffset", "0.5", "-i", str(tone), "-c", "copy"]
    run_ffmpeg([*late, "-map", "0:v", "-map", "1:a", str(tmp_path / "late.mov")], error=AudioError, what="muxing")
    out = rewrite(clip, tmp_path / "out", WriterOptions(codec, preset="ultrafast"), audio=tmp_path / "late.mov")
    args = ["-copyts", "-i", str(out.path), "-map", "0:a:0", "-af", "aresample=44100:async=1:first_pts=0"]
    raw = run_ffmpeg([*args, "-f", "f32le", "-c:a", "pcm_f32le", "-"], error=AudioError, what="decoding")
    begins = np.flatnonzero(np.abs(np.frombuffer(raw, np.float32)) > 0.01)[0] / 44100
    assert begins == pytest.approx(0.5, abs=0.03)


def test_a_trimmed_clip_begins_at_zero(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4", frames=30, rate=Fraction(24000, 1001))).subclip(12, 20)
    out = rewrite(clip, tmp_path / "out", FAST)
    assert times(probe(out.path)) == [time - times(clip)[0] for time in times(clip)]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4"))
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(KeyboardInterrupt), FrameWriter(target, clip, pts=clip.pts) as out:  # noqa: PT012
        out.write(read(clip, 0, 1)[0])
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match="Only 1 of 10 frames"), FrameWriter(target, clip, pts=clip.pts) as out:
        out.write(read(clip, 0, 1)[0])
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    assert {child.pid for child in psutil.Process().children()} <= before
    rewrite(clip, target, FAST)
    assert probe(target).frame_count == 10


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a matter of POSIX")
def test_no_room_is_a_clear_error(tmp_path):
    import resource

    clip = probe(make_clip(tmp_path / "in.mp4", size=(320, 240), frames=60))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"Can't write .*out.mkv: ffmpeg ended"):
            rewrite(clip, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_what_can_not_be_written_is_refused_before_any_frame(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4"))
    with pytest.raises(OutputError, match="no folder"), FrameWriter(tmp_path / "x" / "a", clip, pts=clip.pts):
        pass
    (tmp_path / "taken.mp4").mkdir()
    with (
        pytest.raises(OptionError, match="is a folder"),
        FrameWriter(tmp_path / "taken.mp4", clip, pts=clip.pts),
    ):
        pass
    with pytest.raises(AudioError, match="no audio stream"):
        load_audio(tmp_path / "in.mp4", clip)
    with pytest.raises(OutputError, match="Frame 2"):
        FrameWriter(tmp_path / "a", clip, pts=np.array([0, 5, 5]))
    first, second = read(clip, 0, 2)
    with pytest.raises(OutputError, match=r"a\.mp4 is not open"):
        FrameWriter(tmp_path / "a", clip, pts=clip.pts).write(first)
    with FrameWriter(tmp_path / "a", clip, pts=clip.pts[:1]) as out:
        out.write(first)
        with pytest.raises(OutputError, match="one more came"):
            out.write(second)
    assert not list(tmp_path.glob(".*"))


def test_the_codec_chooses_the_container(tmp_path):
    assert output_path(tmp_path / "a", Codec.H264).name == "a.mp4"
    assert output_path(tmp_path / "a.b", Codec.PRORES).name == "a.b.mov"
    assert output_path(tmp_path / "a.MKV", Codec.FFV1).name == "a.MKV"
    with pytest.raises(OptionError, match=r"name it a\.mov"):
        output_path(tmp_path / "a.mp4", Codec.PRORES)


def test_by_default_h264_is_visually_lossless():
    assert WriterOptions() == WriterOptions(Codec.H264, crf=16, preset="medium")


@pytest.mark.parametrize("wrong", [{"crf": -1}, {"crf": 52}, {"preset": "quick"}])
def test_options_outside_their_range_are_refused(wrong):
    with pytest.raises(OptionError):
        WriterOptions(**wrong)


@pytest.mark.parametrize(
    ("text", "recent"),
    [
        ("ffmpeg version 4.2.2-static Copyright\nlibavutil 56. 31.100", False),
        ("ffmpeg version 6.1.1-3ubuntu5\nlibavutil 58. 29.100", False),
        ("ffmpeg version 7.0.2-static\nlibavutil 59. 8.100", True),
        ("ffmpeg version n9.0.2-17-g2a571b\nlibavutil 61. 1.102", True),
        ("ffmpeg version N-118000-gabc\nlibavutil      59. 50.100", True),
        ("ffmpeg version N-90000-gabc\nlibavutil      56. 50.100", False),
        ("something else", False),
    ],
)
def test_an_ffmpeg_older_than_7_is_refused(text, recent):
    if recent:
        check_version(text, "ffmpeg")
    else:
        with pytest.raises(ToolError, match="too old"):
            check_version(text, "ffmpeg")
    assert os.path.isfile(ffmpeg_executable())


@needs_shared
@pytest.mark.slow
def test_a_real_clip_leaves_ffv1_as_it_came(tmp_path):
    """Quick: test_ffv1_keeps_every_sample."""
    clip = probe(SHARED / "media" / "demo1_video.mp4").subclip(0, 60)
    assert (clip.fps, clip.width, clip.height) == (25, 1080, 1920)
    out = rewrite(clip, tmp_path / "out")
    assert same_planes(read(clip), raw_planes(out.path, "yuv420p", 1080, 1920))


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_and_sound_give_the_same_bytes(tmp_path, codec):
    source = make_clip(tmp_path / "in.mp4", audio=("-c:a", "aac"))
    clip = probe(source)
    written = []
    for name in ("a", "b"):
        with (
            FrameWriter(
                tmp_path / name,
                clip,
                options=WriterOptions(codec=codec),
                pts=clip.pts,
                audio=load_audio(source, clip).track,
            ) as file,
            FrameReader(clip) as frames,
        ):
            for frame in frames:
                file.write(frame)
        written.append(file.path.read_bytes())
    assert written[0] == written[1]


def test_frames_that_lie_days_apart_are_refused(tmp_path):
    path = make_clip(tmp_path / "in.mkv", frames=3, pts="N*N*4000000000", time_base="1/1000")
    with pytest.raises(VideoError, match="less than a frame an hour"):
        probe(path)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("with_sound", [False, True])
def test_texts_of_any_length_and_character_go_into_the_file(tmp_path, codec, with_sound):
    texts = {"workflow": "a = 1; # 'x' \\n\n[\"ż映\"] ", "prompt": '{"text": "' + "long " * 60_000 + '"}'}
    clip = probe(make_clip(tmp_path / "in.mp4", frames=3))
    audio = load_audio(make_sound(tmp_path / "voice.wav")).track if with_sound else None
    options = WriterOptions(codec, preset="ultrafast")
    with (
        FrameReader(clip) as frames,
        FrameWriter(tmp_path / "out", clip, options=options, pts=clip.pts, audio=audio, metadata=texts) as out,
    ):
        for frame in frames:
            out.write(frame)
    with av.open(str(out.path)) as file:
        tags = {name.lower(): text for name, text in file.metadata.items()}
        assert len(file.streams.audio) == with_sound
    assert {name: tags[name] for name in texts} == texts


@pytest.mark.parametrize("texts", [{"a=b": "x"}, {"": "x"}, {"a": "x\0y"}])
def test_metadata_that_a_file_cannot_hold_is_refused(texts):
    with pytest.raises(OptionError, match="metadata"):
        ffmetadata(texts)

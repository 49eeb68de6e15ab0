"""Every codec is written, read back and compared: codec, samples, colours, frames, rate and sound."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from latentsync_core.audio.sound_tracks import find_track
from latentsync_core.errors import OptionError
from latentsync_core.media.sound_reader import SoundTrack
from latentsync_core.messages import Note
from latentsync_core.video.clip import Clip, ColorTags
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.encoders import ENCODERS, VARIANTS, Codec
from latentsync_core.video.writing.encoding import output_path, plan_video
from latentsync_core.video.writing.match_source import SOURCE_CODECS, match_source
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import WriterOptions
from tests.clips import CODECS, make_clip, make_sound
from tests.shared_reference import ROOT

SIZE = (256, 144)  # DNxHR's smallest is 256 × 120
FRAMES = 5
BT709 = "colorspace=bt709:color_primaries=bt709:color_trc=bt709"
PQ = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
# Codec, the source's format and its tags: what it is written as, its profile, and PSNR in dB at the least.
WRITTEN = [
    ("hevc", "yuv420p", f"range=tv:{BT709}", "hevc", "Main 10", "yuv420p10le", 46),
    ("hevc", "yuv420p", f"range=pc:{BT709}", "hevc", "Main 10", "yuv420p10le", 46),
    ("hevc", "yuv422p10le", PQ, "hevc", "Rext", "yuv422p10le", 46),
    ("hevc", "gbrp10le", "range=pc", "hevc", "Rext", "yuv444p10le", 44),
    ("dnxhr", "yuv420p", f"range=tv:{BT709}", "dnxhd", "DNXHR HQX", "yuv422p10le", 54),
    ("dnxhr", "yuv422p10le", PQ, "dnxhd", "DNXHR HQX", "yuv422p10le", 52),
    ("dnxhr", "yuv444p12le", f"range=tv:{BT709}", "dnxhd", "DNXHR 444", "yuv444p10le", 56),
    ("dnxhr", "gbrp10le", "range=pc", "dnxhd", "DNXHR 444", "yuv444p10le", 56),
]


@functools.cache
def source(folder: Path, pixel_format: str, params: str) -> Clip:
    color_range = ("-color_range", "pc") if "range=pc" in params else ()
    path = folder / f"{pixel_format}_{abs(hash(params))}.mkv"
    encoder = ("-c:v", "ffv1", *color_range)
    params = f"{params}:colorspace=gbr" if pixel_format.startswith("gbr") else params
    return probe(make_clip(path, pixel_format=pixel_format, size=SIZE, frames=FRAMES, params=params, encoder=encoder,
                           smooth=True))  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("codecs")


def rewrite(clip: Clip, path: Path, options: WriterOptions, audio: SoundTrack | None = None) -> tuple[Clip, list[Note]]:
    """Every frame of the clip in a new file, and the notes on it."""
    with (
        FrameReader(clip) as frames,
        FrameWriter(path, clip, options=options, pts=clip.pts, audio=audio) as out,
    ):
        for frame in frames:
            out.write(frame)
    return probe(out.path), out.notes


def psnr(one: Clip, other: Clip) -> float:
    """Of all frames' RGB, in dB."""
    with FrameReader(one) as ours, FrameReader(other) as theirs:
        squares = [float(((a.rgb() - b.rgb()) ** 2).mean()) for a, b in zip(ours, theirs, strict=True)]
    return -10 * float(np.log10(max(np.mean(squares), 1e-12)))


@pytest.mark.parametrize(("codec", "pixel_format", "params", "name", "profile", "written", "least"), WRITTEN)
def test_a_codec_is_read_back_as_what_was_written(
    folder, tmp_path, codec, pixel_format, params, name, profile, written, least
):
    clip = source(folder, pixel_format, params)
    again, notes = rewrite(clip, tmp_path / "out", WriterOptions(Codec(codec), preset="ultrafast"))
    assert (again.video_codec, again.video_profile, again.pixel_format) == (name, profile, written)
    assert (again.frame_count, again.fps, again.width, again.height) == (FRAMES, clip.fps, *SIZE)
    if pixel_format.startswith("gbr"):
        assert again.color == ColorTags("bt709", "tv", "bt709", "bt709", again.color.chroma_location)
        assert any("every sample was converted" in note.fact for note in notes)
    else:
        expected = (clip.color.primaries, clip.color.transfer)
        assert (again.color.primaries, again.color.transfer) == expected
        assert (again.color.matrix, again.color.range) == (
            (clip.color.matrix, clip.color.range) if codec == "hevc" else ("bt709", "tv")
        )
        assert any("from the matrix bt2020nc to bt709" in note.fact for note in notes) == (
            codec == "dnxhr" and params == PQ
        )
    assert psnr(clip, again) > least


def test_hevc_keeps_all_levels_of_8_bits_in_its_10(folder):
    """The encoder, which is lossy, gets samples four times as large, or as far between black and white."""
    for params in (f"range=tv:{BT709}", f"range=pc:{BT709}"):
        clip = source(folder, "yuv420p", params)
        plan = plan_video(clip, WriterOptions(Codec.HEVC))
        with FrameReader(clip, 0, 1) as frames:
            (frame,) = frames
        for number, (old, new) in enumerate(zip(frame.planes, plan.convert(frame), strict=True)):
            if "range=tv" in params:
                assert np.array_equal(new, old.astype(int) * 4)
            else:
                centre = 128 if number else 0
                assert np.abs(new - ((old.astype(float) - centre) * 1023 / 255 + centre * 4)).max() <= 0.5
            assert len(np.unique(new)) == len(np.unique(old))


X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "lossless=1:log-level=error")
MATCHED = [  # how the source is encoded; the variant that it is written as, and in which pixel format
    (("-c:v", "libx264", "-qp", "0"), "yuv422p10le", Codec.H264, "H.264", "yuv422p10le"),
    (X265, "yuv420p", Codec.HEVC, "HEVC", "yuv420p"),
    (X265, "yuv444p12le", Codec.HEVC, "HEVC", "yuv444p12le"),
    (("-c:v", "prores_ks", "-profile:v", "lt"), "yuv422p10le", Codec.PRORES, "ProRes 422 LT", "yuv422p10le"),
    (("-c:v", "prores_ks", "-profile:v", "4444"), "yuv444p10le", Codec.PRORES, "ProRes 4444", "yuv444p12le"),
    (("-c:v", "dnxhd", "-profile:v", "dnxhr_sq"), "yuv422p", Codec.DNXHR, "DNxHR SQ", "yuv422p"),
    (("-c:v", "ffv1"), "yuv420p12le", Codec.FFV1, "FFV1", "yuv420p12le"),
]  # fmt: skip


@pytest.mark.parametrize(("encoder", "pixel_format", "codec", "label", "written"), MATCHED)
def test_the_sources_codec_bits_and_chroma_are_matched(tmp_path, encoder, pixel_format, codec, label, written):
    made = make_clip(tmp_path / "in.mov", pixel_format=pixel_format, size=SIZE, frames=3, encoder=encoder, smooth=True)
    clip = probe(made)
    options = match_source(clip, WriterOptions(Codec.MATCH_SOURCE, preset="ultrafast"))
    assert options.codec is codec
    row = VARIANTS.get((options.codec, options.variant)) or ENCODERS[options.codec]
    assert row.label.startswith(label)
    again, _ = rewrite(clip, tmp_path / "out", WriterOptions(Codec.MATCH_SOURCE, preset="ultrafast"))
    assert (again.video_codec, again.pixel_format) == (clip.video_codec, written)
    if codec in (Codec.PRORES, Codec.DNXHR):
        assert again.video_profile == clip.video_profile
    assert psnr(clip, again) > 40


def test_a_source_whose_codec_can_not_be_written_is_refused_by_name(tmp_path):
    clip = probe(make_clip(tmp_path / "in.avi", frames=2, encoder=("-c:v", "mpeg4")))
    for unmatched, found in ((clip, "in mpeg4"), (clip_from_images(torch.rand(1, 48, 64, 3), clip.fps), "in no codec")):
        with pytest.raises(
            OptionError, match=f"{found}, which can't be written: choose one of h264, prores, ffv1, hevc"
        ):
            FrameWriter(tmp_path / "out", unmatched, options=WriterOptions(Codec.MATCH_SOURCE), pts=unmatched.pts)
    assert set(SOURCE_CODECS.values()) == set(Codec) - {Codec.MATCH_SOURCE, Codec.PNG, Codec.TIFF}


def test_dnxhr_refuses_a_picture_that_it_can_not_hold(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4", frames=2))
    with pytest.raises(OptionError, match=r"DNxHR HQX holds pictures of 256×120 pixels or more, and .* has 64×48"):
        FrameWriter(tmp_path / "out", clip, options=WriterOptions(Codec.DNXHR), pts=clip.pts)


@pytest.mark.parametrize(("codec", "sound"), [(Codec.HEVC, "aac"), (Codec.DNXHR, "pcm_s24le")])
def test_a_sound_and_the_stamps_go_beside_the_new_codecs_and_results_repeat(tmp_path, codec, sound):
    clip = probe(make_clip(tmp_path / "in.mp4", size=SIZE, frames=6, pts="400*N+37*N*N"))
    voice, _ = find_track(make_sound(tmp_path / "voice.wav"))
    files = [rewrite(clip, tmp_path / name, WriterOptions(codec, preset="ultrafast"), voice)[0] for name in "ab"]
    for again in files:
        assert (again.audio_codec, again.video_codec) == (sound, {Codec.HEVC: "hevc"}.get(codec, "dnxhd"))
        assert [int(pts) * again.time_base for pts in again.pts] == [int(pts) * clip.time_base for pts in clip.pts]
    one, other = (again.identity.path.read_bytes() for again in files)
    assert one == other
    with av.open(str(files[0].identity.path)) as file:
        assert file.streams.video[0].codec_context.codec_tag == {Codec.HEVC: "hvc1"}.get(codec, "AVdh")


def test_every_codec_has_its_container(tmp_path):
    for codec, suffix in {Codec.HEVC: ".mp4", Codec.DNXHR: ".mov"}.items():
        assert output_path(tmp_path / "a", codec).name == f"a{suffix}"
    assert output_path(tmp_path / "a.mov", Codec.MATCH_SOURCE).name == "a.mov"  # known with the source
    with pytest.raises(OptionError, match=r"HEVC of 10 bits is written to a \.mp4 file"):
        output_path(tmp_path / "a.mov", Codec.HEVC)
    assert set(CODECS) < set(Codec)


def test_the_command_lines_page_has_the_table_of_encoders():
    page = (ROOT / "docs" / "cli.md").read_text("utf-8").split("\n## Output\n")[1]
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]*)\|[^\n]*\|[^\n]*\|[^\n]*\|$", page, re.MULTILINE))
    assert list(rows) == [codec.value for codec in Codec]
    for codec, row in ENCODERS.items():
        assert row.label in rows[codec.value]
        assert row.suffix in rows[codec.value]

"""What a film's file holds beside frames and sound goes into the result, or a note names it."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.audio.sound_tracks import find_track
from latentsync_core.cli.wording import WORDS
from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.messages import NoteLevel
from latentsync_core.video.reading.listing import decoding
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.reading.source_facts import FieldOrder, source_facts
from latentsync_core.video.writing.sequence_writer import SequenceWriter, result_writer
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, KeepAudio, WriterOptions
from tests.clips import LOSSLESS, make_clip, make_sound, raw_planes
from tests.dynamic_hdr import write_dolby_vision, write_hdr10plus
from tests.slow_parameters import others_slow

SUBTITLES = """1
00:00:00,100 --> 00:00:00,300
before

2
00:00:00,300 --> 00:00:00,800
across

3
00:00:00,900 --> 00:00:01,000
after
"""
CHAPTERS = """;FFMETADATA1
title=Scene 12; take 3
[CHAPTER]
TIMEBASE=1/1000
START=0
END=600
title=One
[CHAPTER]
TIMEBASE=1/1000
START=600
END=1200
title=Two = 2
"""
TONES = (300, 600, 1200)  # Hz, of the audio tracks
TAGS = [("language", "eng"), ("language", "fra"), ("title", "Commentary")]  # one of each track's
SOUND_CODECS = {"mp4": "aac", "mov": "pcm_s16le", "mkv": "flac"}
FILE_CODECS = [Codec.H264, Codec.PRORES, Codec.FFV1, Codec.HEVC, Codec.DNXHR]
CONTAINERS = {Codec.H264: "MP4", Codec.PRORES: "MOV", Codec.FFV1: "MKV"}


@pytest.fixture(scope="module", params=["mkv"])
def film(request, tmp_path_factory) -> Path:
    """30 frames with three audio tracks, subtitles, two chapters, a title, and in a MKV a font."""
    folder = tmp_path_factory.mktemp("film")
    (folder / "lines.srt").write_text(SUBTITLES)
    (folder / "chapters.txt").write_text(CHAPTERS)
    (folder / "font.ttf").write_bytes(b"a font")
    path = folder / f"film.{request.param}"
    args = ["-i", str(make_clip(folder / "picture.mp4", frames=30))]
    args += [word for tone in TONES for word in ("-f", "lavfi", "-i", f"sine=f={tone}:r=48000:d=1.2")]
    args += ["-i", str(folder / "lines.srt"), "-i", str(folder / "chapters.txt"), "-map", "0:v", "-c:v", "copy"]
    args += [word for number in range(len(TONES)) for word in ("-map", f"{number + 1}:a")]
    for number, (name, text) in enumerate(TAGS):
        args += [f"-metadata:s:a:{number}", f"{name}={text}"]
    args += ["-map", "4:s", "-metadata:s:s:0", "language=eng", "-map_metadata", "5", "-map_chapters", "5"]
    args += ["-c:a", SOUND_CODECS[request.param], "-c:s", "srt" if request.param == "mkv" else "mov_text"]
    if request.param == "mkv":
        args += ["-attach", str(folder / "font.ttf"), "-metadata:s:t", "mimetype=application/x-truetype-font"]
    run_ffmpeg([*args, str(path)], error=VideoError, what="making a film")
    return path


@pytest.fixture(scope="module")
def voice(tmp_path_factory) -> Path:
    return make_sound(tmp_path_factory.mktemp("voice") / "voice.wav", seconds=1.2, rate=48000)


def written(clip, path, codec=Codec.H264, keep=KeepAudio.NONE, audio=None, **more):
    """The clip's frames in a new file; returns the writer."""
    options = WriterOptions(codec, preset="ultrafast", keep_audio=keep)
    sound = None if audio is None else find_track(audio, clip)[0]
    writer = FrameWriter(path, clip, options=options, pts=clip.pts, audio=sound, **more)
    writer.preflight()
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    return writer


def facts(writer):
    return source_facts(writer.path)


def noted(writer) -> str:
    return "\n".join(note.worded(WORDS) for note in writer.notes)


def tones(path) -> list[int]:
    """The strongest frequency of every audio track, Hz."""
    found = []
    with av.open(str(path)) as file:
        count = len(file.streams.audio)
    for track in range(count):
        args = ["-i", str(path), "-map", f"0:a:{track}", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"]
        samples = np.frombuffer(run_ffmpeg(args, error=VideoError, what="decoding"), np.float32)
        found.append(round(float(np.abs(np.fft.rfft(samples)).argmax() * 48000 / len(samples)), -1))
    return found


def subtitles(path) -> list[str]:
    args = ["-i", str(path), "-map", "0:s:0", "-f", "srt", "-"]
    lines = run_ffmpeg(args, error=VideoError, what="reading subtitles").decode().split("\n\n")
    return [" ".join(line.split("\n")[1:]) for line in lines if line.strip()]


def chapters(path) -> list[tuple[Fraction, Fraction, str]]:
    with av.open(str(path)) as file:
        return [
            (one["start"] * one["time_base"], one["end"] * one["time_base"], one["metadata"].get("title", ""))
            for one in file.chapters()
        ]


# --- further tracks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("film", "codec"),
    [("mov", Codec.H264), ("mkv", Codec.H264), ("mkv", Codec.PRORES), ("mp4", Codec.FFV1), ("mkv", Codec.FFV1)],
    indirect=["film"],
)
def test_a_part_of_a_film_takes_its_tracks_subtitles_and_chapters_along(film, voice, tmp_path, codec):
    clip = probe(film).subclip(10, 25)  # 0.4 to 1.0 s
    writer = written(clip, tmp_path / "out", codec, KeepAudio.ALL, voice)
    found = facts(writer)
    assert found.title == "Scene 12; take 3"
    assert tones(writer.path) == [440, *TONES]
    audio = [track for track in found.tracks if track.kind == "audio"]
    assert [track.language for track in audio][:3] == [None, "eng", "fra"]
    assert audio[3].title == "Commentary"
    assert subtitles(writer.path) == [
        "00:00:00,000 --> 00:00:00,400 across",
        "00:00:00,500 --> 00:00:00,600 after",
    ]
    assert [(float(start), title) for start, _, title in chapters(writer.path)] == [(0.0, "One"), (0.2, "Two = 2")]
    assert float(chapters(writer.path)[-1][1]) == pytest.approx(0.6, abs=0.001)
    has_font = any(track.kind == "attachment" for track in found.tracks)
    assert has_font == (film.suffix == ".mkv" and codec is Codec.FFV1)
    if film.suffix == ".mkv" and codec is not Codec.FFV1:
        fact = f"The result's {CONTAINERS[codec]} file doesn't hold the source's attachment track 1 (ttf)."
        assert fact in noted(writer)
    again = probe(writer.path)
    assert (again.frame_count, again.fps) == (15, 25)
    assert [float(time) for time in again.times] == pytest.approx([number / 25 for number in range(15)], abs=0.001)
    if codec is Codec.FFV1:
        planes = raw_planes(writer.path, "yuv420p", 64, 48)
        originals = raw_planes(film, "yuv420p", 64, 48)[10:25]
        assert all(
            np.array_equal(a, b)
            for one, two in zip(planes, originals, strict=True)
            for a, b in zip(one, two, strict=True)
        )


def test_by_default_the_new_sound_is_the_only_one_and_a_note_names_the_others(film, voice, tmp_path):
    writer = written(probe(film), tmp_path / "out", audio=voice)
    assert tones(writer.path) == [440]
    note = next(line for line in noted(writer).splitlines() if "Not in the result" in line)
    assert "audio track 1 (eng, " in note
    assert "audio track 2 (fra, " in note
    assert '"Commentary", ' in note
    assert note.endswith("; --keep-audio all keeps them.")


@pytest.mark.parametrize(
    ("keep", "expected"), [(KeepAudio.ALL, [300, 600, 1200]), (KeepAudio.FIRST, [300]), (KeepAudio.NONE, [300])]
)
def test_the_clips_own_sound_is_not_kept_twice(film, tmp_path, keep, expected):
    writer = written(probe(film), tmp_path / "out", Codec.FFV1, keep, audio=film)
    assert tones(writer.path) == expected
    assert ("Not in the result" in noted(writer)) == (len(expected) == 1)


def test_the_first_track_can_be_kept_alone_without_another_sound(film, tmp_path):
    writer = written(probe(film), tmp_path / "out", keep=KeepAudio.FIRST)
    assert tones(writer.path) == [300]
    assert "audio track 2 (fra, " in noted(writer)


@pytest.mark.parametrize(
    ("keep", "own", "named"),
    [
        (KeepAudio.ALL, False, [1, 2, 3]),
        (KeepAudio.ALL, True, [2, 3]),
        (KeepAudio.FIRST, True, []),
        (KeepAudio.NONE, False, []),
    ],
)
def test_tracks_that_a_sequence_of_pictures_has_no_place_for_are_named(film, voice, tmp_path, keep, own, named):
    clip = probe(film)
    options = WriterOptions(Codec.PNG, keep_audio=keep)
    sound = find_track(film if own else voice, clip)[0]
    writer = result_writer(tmp_path / "out", clip, options=options, pts=clip.pts, audio=sound)
    found = [number for number in (1, 2, 3) if f"audio track {number}" in noted(writer)]
    assert found == named


def test_a_clips_only_audio_track_is_replaced_without_a_word(voice, tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4", audio=("-c:a", "aac")))
    assert "Not in the result" not in noted(written(clip, tmp_path / "out", audio=voice))


def test_bitmap_subtitles_stay_in_a_mkv_and_are_named_elsewhere(tmp_path):
    folder = make_clip(tmp_path / "in.mp4").parent
    args = ["-i", str(folder / "in.mp4"), "-f", "lavfi", "-i", "color=red:s=64x48:d=0.3", "-map", "0:v", "-map", "1:v"]
    # ffmpeg makes bitmaps of no text: a packet of a PGS stream is written out by hand.
    header = struct.pack(">HHBHBBBB", 64, 48, 0x10, 0, 0x80, 0, 0, 0)
    segments = ((0x16, header), (0x80, b""))
    sup = b"".join(struct.pack(">2sIIBH", b"PG", 9000, 0, kind, len(body)) + body for kind, body in segments)
    (folder / "in.sup").write_bytes(sup)
    args = ["-i", str(folder / "in.mp4"), "-i", str(folder / "in.sup"), "-map", "0:v", "-map", "1:s", "-c", "copy"]
    run_ffmpeg([*args, str(folder / "pgs.mkv")], error=VideoError, what="muxing subtitles")
    clip = probe(folder / "pgs.mkv")
    kept, lost = written(clip, folder / "kept", Codec.FFV1), written(clip, folder / "lost")
    assert [track.kind for track in facts(kept).tracks] == ["subtitle"]
    assert "The result's MP4 file doesn't hold the source's subtitle track 1 (pgssub)." in noted(lost)


# --- timecode --------------------------------------------------------------------------------------------------------


PLAIN_TIMECODE = Fraction(25), "01:02:03:04", "01:02:03:09"
DROP_FRAME_TIMECODE = Fraction(30000, 1001), "00:00:59;28", "00:01:00;05"


@pytest.mark.parametrize(
    ("rate", "timecode", "expected", "codec"),
    others_slow(
        [(*timecode, codec) for timecode in (PLAIN_TIMECODE, DROP_FRAME_TIMECODE) for codec in FILE_CODECS],
        quick=[
            *((*PLAIN_TIMECODE, codec) for codec in FILE_CODECS),
            *((*DROP_FRAME_TIMECODE, codec) for codec in (Codec.PRORES, Codec.FFV1)),
        ],
    ),
)
def test_a_timecode_goes_on_from_the_first_frame_that_is_written(tmp_path, codec, rate, timecode, expected):
    """Quick: test_a_timecode_goes_on_from_the_first_frame_that_is_written, every codec with the plain one."""
    tags = ("-timecode", timecode, "-metadata:s:v:0", "reel_name=A001C003", "-metadata", "title=SC12 TK3")
    encoder = ("-c:v", "prores_ks", *tags)
    clip = probe(
        make_clip(tmp_path / "in.mov", size=(256, 120), pixel_format="yuv422p10le", rate=rate, encoder=encoder)
    )
    writer = written(clip.subclip(5, 10), tmp_path / "out", codec)
    found = facts(writer)
    assert (found.timecode, found.title) == (expected, "SC12 TK3")
    is_mp4 = codec.suffix == ".mp4"
    assert found.reel_name == (None if is_mp4 else "A001C003")
    assert ("MP4 files hold no reel name: the source's (A001C003) was left out." in noted(writer)) == is_mp4


def test_a_timecode_that_no_clip_of_its_rate_has_is_named(tmp_path):
    path = make_clip(tmp_path / "in.mkv", encoder=("-c:v", "ffv1", "-metadata:s:v:0", "timecode=01:00:00;00"))
    writer = written(probe(path), tmp_path / "out")
    assert facts(writer).timecode is None
    assert "The source's timecode 01:00:00;00 is none of 25 frames a second" in noted(writer)


# --- HDR -------------------------------------------------------------------------------------------------------------

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture(scope="module")
def hdr10(tmp_path_factory):
    tags = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    params = ("-x265-params", f"log-level=none:hdr-opt=1:repeat-headers=1:master-display={DISPLAY}:max-cll=1000,400")
    path = tmp_path_factory.mktemp("hdr") / "in.mp4"
    encoder = ("-c:v", "libx265", "-preset", "ultrafast", *params)
    return probe(make_clip(path, pixel_format="yuv420p10le", params=tags, frames=3, encoder=encoder))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
def test_h264_and_hevc_hold_a_mastering_display_and_light_level(hdr10, tmp_path, codec):
    source, result = source_facts(hdr10.identity.path), facts(written(hdr10, tmp_path / "out", codec))
    assert source.light_level == (1000, 400)
    assert [float(value) for value in source.mastering_display.luminance] == [0.0001, 1000]
    assert (result.mastering_display, result.light_level) == (source.mastering_display, source.light_level)


@pytest.mark.parametrize("codec", [Codec.PRORES, Codec.FFV1])
def test_other_codecs_keep_the_colour_tags_and_name_the_rest(hdr10, tmp_path, codec):
    writer = written(hdr10, tmp_path / "out", codec)
    assert "a mastering display of 0.0001 to 1000 cd/m², MaxCLL 1000, MaxFALL 400 cd/m²" in noted(writer)
    assert probe(writer.path).color.transfer == "smpte2084"


HDR10_PLUS = "hdr10plus", "HDR10+ dynamic metadata"
DOLBY_VISION = "dolby vision 8.1", "Dolby Vision metadata"


@pytest.mark.parametrize(
    ("kind", "lost", "codec"),
    others_slow(
        [(*kind, codec) for kind in (HDR10_PLUS, DOLBY_VISION) for codec in (*CONTAINERS, Codec.HEVC)],
        quick=[
            *((*HDR10_PLUS, codec) for codec in (Codec.H264, Codec.FFV1)),
            *((*DOLBY_VISION, codec) for codec in (Codec.PRORES, Codec.HEVC)),
        ],
    ),
)
def test_dynamic_hdr_becomes_hdr10_with_a_note(tmp_path, kind, lost, codec):
    """Quick: test_dynamic_hdr_becomes_hdr10_with_a_note, every codec with one of both kinds."""
    path = tmp_path / "in.mp4"
    source = write_hdr10plus(path) if kind == "hdr10plus" else write_dolby_vision(path, 8, 1)
    clip = probe(source)
    assert clip.notes == ()
    writer = written(clip, tmp_path / "out", codec)
    assert f"No encoder here writes {lost}: left out." in noted(writer)
    assert facts(writer).lost_in_frames == ()
    color = probe(writer.path).color
    assert (color.transfer, color.primaries, color.matrix) == ("smpte2084", "bt2020", "bt2020nc")
    if codec is Codec.FFV1:
        shown = raw_planes(source, "yuv420p10le", 64, 48)
        for one, other in zip(shown, raw_planes(writer.path, "yuv420p10le", 64, 48), strict=True):
            assert all(map(np.array_equal, one, other))


@pytest.mark.parametrize(("profile", "compatibility", "named"), [(5, 0, True), (8, 1, False), (8, 4, False)])
def test_dolby_vision_whose_pictures_need_its_metadata_is_named_at_once(tmp_path, profile, compatibility, named):
    clip = probe(write_dolby_vision(tmp_path / "in.mp4", profile, compatibility))
    assert [note.level for note in clip.notes] == [NoteLevel.WARNING] * named
    assert not named or "Dolby Vision of profile 5, whose colours are right only with" in clip.notes[0].fact


@pytest.mark.parametrize("codec", [Codec.H264, Codec.PRORES, Codec.FFV1, Codec.HEVC])
def test_hlg_stays_tagged(tmp_path, codec):
    tags = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67"
    clip = probe(make_clip(tmp_path / "in.mp4", pixel_format="yuv420p10le", params=tags, frames=2, encoder=LOSSLESS))
    color = probe(written(clip, tmp_path / "out", codec).path).color
    assert (color.transfer, color.primaries, color.matrix) == ("arib-std-b67", "bt2020", "bt2020nc")


def test_alpha_that_no_decoder_shows_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(decoding.ALPHA_DECODERS, "vp9", "a decoder that this PyAV was built without")
    encoder = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-b:v", "200k")
    path = make_clip(tmp_path / "in.webm", pixel_format="yuva420p", frames=3, encoder=encoder)
    writer = written(probe(path), tmp_path / "out", Codec.FFV1)
    (note,) = [note for note in writer.notes if "alpha" in note.fact]
    assert note.fact == "No encoder here writes the alpha channel: left out."
    assert note.level is NoteLevel.WARNING


ALPHA_ENCODERS = {
    "yuva420p": ("-c:v", "ffv1"),
    "yuva444p10le": ("-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16"),
    "argb": ("-c:v", "qtrle"),
    "rgba": ("-c:v", "png"),
}


@pytest.mark.parametrize(("pixel_format", "encoder"), ALPHA_ENCODERS.items())
def test_of_a_clip_with_alpha_the_colours_are_kept(tmp_path, pixel_format, encoder):
    suffix = "mov" if encoder[1] in ("prores_ks", "qtrle") else "mkv"
    clip = probe(make_clip(tmp_path / f"in.{suffix}", pixel_format=pixel_format, frames=2, encoder=encoder))
    assert clip.notes == ()
    writer = written(clip, tmp_path / "out", Codec.FFV1)
    with FrameReader(clip) as frames:
        originals = [frame.planes for frame in frames]
    shown = raw_planes(clip.identity.path, clip.pixel_format, 64, 48)
    for planes in (originals, raw_planes(writer.path, clip.pixel_format, 64, 48)):
        assert all(
            np.array_equal(a, b) for one, two in zip(planes, shown, strict=True) for a, b in zip(one, two, strict=True)
        )


# --- field order -----------------------------------------------------------------------------------------------------


def interlaced(path, order="tff", size=(64, 48), frames=12):
    """A clip whose frames are woven of two fields each, taken one after the other."""
    filters = f"scale={size[0]}:{size[1]},interlace=scan={order},format=yuv420p"
    args = ["-f", "lavfi", "-i", f"testsrc2=s=64x64:r=50:d={frames / 25}", "-vf", filters, "-c:v", "libx264"]
    args += ["-preset", "ultrafast", "-flags", "+ildct+ilme", "-x264-params", f"{order}=1"]
    run_ffmpeg([*args, str(path)], error=VideoError, what="making an interlaced clip")
    return path


@pytest.mark.parametrize("codec", [Codec.HEVC, Codec.DNXHR])
def test_a_codec_that_marks_no_fields_names_their_order(tmp_path, codec):
    clip = probe(interlaced(tmp_path / "in.mp4", "tff", size=(256, 120)))
    writer = written(clip, tmp_path / "out", codec)
    assert facts(writer).field_order is FieldOrder.PROGRESSIVE
    assert "The clip is interlaced (top field first), which" in noted(writer)


def test_pictures_name_what_they_do_not_hold(film, tmp_path):
    clip = probe(film)
    writer = SequenceWriter(tmp_path / "out", clip, options=WriterOptions(Codec.PNG), pts=clip.pts)
    assert "A sequence of pictures doesn't hold the source's chapters, subtitle track 1" in noted(writer)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.PRORES, Codec.FFV1])
@pytest.mark.parametrize(("order", "expected"), [("tff", FieldOrder.TOP), ("bff", FieldOrder.BOTTOM)])
def test_the_field_order_stays(tmp_path, codec, order, expected):
    clip = probe(interlaced(tmp_path / "in.mp4", order))
    assert source_facts(clip.identity.path).field_order is expected
    writer = written(clip, tmp_path / "out", codec)
    assert facts(writer).field_order is expected
    assert f"({expected.value} field first), and so is the result; --deinterlace" in noted(writer)


def test_a_height_that_h264_cannot_mark_is_named(tmp_path):
    path = tmp_path / "in.mkv"
    args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x46:r=25:d=0.2",
        "-vf",
        "setparams=field_mode=tff",
        "-pix_fmt",
        "yuv420p",
    ]
    run_ffmpeg([*args, "-c:v", "ffv1", "-flags", "+ildct", str(path)], error=VideoError, what="making a clip")
    writer = written(probe(path), tmp_path / "out")
    assert facts(writer).field_order is FieldOrder.PROGRESSIVE
    assert "H.264 can't mark a height of 46 so; --deinterlace" in noted(writer)

"""Sequences of pictures as clips and as results: their numbers, samples, colours and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.audio.clip_audio import clip_audio
from latentsync_core.audio.sound_tracks import find_track
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError, ClipChangedError, OptionError, OutputError, VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.messages import Remedy
from latentsync_core.video.reading.probing import check_identity, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.sequence_writer import SequenceWriter, result_writer
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import make_clip, make_sound

PICTURES = {  # a picture's suffix and pixel format: what it is read as
    (".png", "rgb24"): "gbrp",
    (".png", "rgb48be"): "gbrp16le",
    (".png", "rgba64be"): "gbrp16le",
    (".tif", "rgb48le"): "gbrp16le",
    (".dpx", "gbrp10be"): "gbrp10le",
    (".jpg", "yuvj422p"): "yuvj422p",
}


def make_pictures(names: Path, pixel_format: str = "rgb24", count: int = 4, first: int = 1001) -> Path:
    args = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25,gblur=4", "-frames:v", str(count), "-pix_fmt", pixel_format]
    args += ["-strict", "unofficial", "-start_number", str(first), str(names)]
    run_ffmpeg(args, error=VideoError, what="making pictures")
    return names


def planes(clip, start=0, stop=None):
    with FrameReader(clip, start, stop) as frames:
        return [frame.planes for frame in frames]


@pytest.mark.parametrize(("suffix", "pixel_format"), PICTURES)
def test_pictures_are_read_with_all_their_bits(tmp_path, suffix, pixel_format):
    names = make_pictures(tmp_path / f"shot_%04d{suffix}", pixel_format)
    clip = probe(names, Fraction("23.976"))
    read_as = PICTURES[suffix, pixel_format]
    assert (clip.frame_count, clip.fps, clip.pixel_format) == (4, Fraction(24000, 1001), read_as)
    assert (clip.width, clip.height, clip.audio_codec) == (64, 48, None)
    assert clip.has_alpha == ("rgba" in pixel_format)
    assert clip.notes == ()
    for index, found in enumerate(planes(clip)):
        picture = tmp_path / f"shot_{1001 + index}{suffix}"
        raw = run_ffmpeg(["-i", str(picture), "-f", "rawvideo", "-pix_fmt", read_as, "-"], error=VideoError, what="x")
        assert b"".join(plane.tobytes() for plane in found) == raw


def test_a_sequence_is_named_by_its_folder_or_its_names(tmp_path):
    folder = tmp_path / "it's 100 % done"
    folder.mkdir()
    make_pictures(folder.with_name("%05d.png"), first=98, count=5)
    for path in sorted(tmp_path.glob("0*.png")):
        path.rename(folder / f"a.b {int(path.stem)}.png")  # 98 to 102: by number, not by name
    (folder / "sound.wav").write_bytes(b"RIFF")
    by_folder = probe(folder, Fraction(24))
    for names in ("a.b %d.png", "a.b ##.png"):
        assert [path.name for path in probe(folder / names, Fraction(24)).pictures] == [
            f"a.b {number}.png" for number in range(98, 103)
        ]
    assert by_folder.pictures[0].name == "a.b 98.png"
    part = by_folder.subclip(1, 5)
    assert np.array_equal(planes(part, 2, 3)[0][0], planes(by_folder, 3, 4)[0][0])
    with pytest.raises(AudioError, match="no sound of its own"):
        clip_audio(by_folder)


def test_what_is_no_whole_sequence_is_refused(tmp_path):
    names = make_pictures(tmp_path / "shot_%04d.png")
    with pytest.raises(VideoError, match="has no frame rate") as problem:
        probe(names)
    assert problem.value.ways_out == (Remedy.GIVE_FPS,)
    with pytest.raises(VideoError, match="frame rate is 9999"):
        probe(names, Fraction(9999))
    with pytest.raises(VideoError, match="There are no pictures"):
        probe(tmp_path / "take_%04d.png", Fraction(24))
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="is a folder without numbered pictures"):
        probe(tmp_path / "empty", Fraction(24))
    clip = probe(names, Fraction(24))
    third = tmp_path / "shot_1003.png"
    make_pictures(tmp_path / "large_%04d.png", count=1)
    with pytest.raises(VideoError, match=r"holds 2 sequences of pictures: name one of them, such as .*%04d\.png"):
        probe(tmp_path, Fraction(24))
    third.write_bytes(b"not a picture")
    with pytest.raises(ClipChangedError, match="changed"):
        check_identity(clip)
    with pytest.raises(VideoError, match=r"shot_1003\.png is none of the pictures"):
        planes(probe(names, Fraction(24)))
    third.unlink()
    with pytest.raises(VideoError, match=r"Picture 1003 of .* is missing, 1001 to 1004 are there"):
        probe(names, Fraction(24))


@pytest.mark.parametrize("codec", [Codec.PNG, Codec.TIFF])
@pytest.mark.parametrize(("pixel_format", "rotation"), [("yuv420p", 90), ("yuv422p10le", 0), ("gbrp12le", 0)])
def test_a_result_is_read_back_with_16_bits(tmp_path, codec, pixel_format, rotation):
    if rotation:
        clip = probe(make_clip(tmp_path / "in.mp4", pixel_format=pixel_format, frames=3, rotation=rotation))
    else:
        clip = probe(make_clip(tmp_path / "in.mkv", pixel_format=pixel_format, frames=3, encoder=("-c:v", "ffv1")))
    writer = result_writer(tmp_path / "dub", clip, options=WriterOptions(codec), pts=clip.pts)
    assert isinstance(writer, SequenceWriter)
    writer.preflight()
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    assert sorted(path.name for path in writer.path.iterdir()) == [
        f"dub_{number:06d}{codec.suffix}" for number in (1, 2, 3)
    ]
    assert any("every sample was converted" in note.fact for note in writer.notes)
    again = probe(writer.path, clip.fps)
    assert (again.pixel_format, again.width, again.height) == ("gbrp16le", clip.width, clip.height)
    with FrameReader(clip) as ours, FrameReader(again) as theirs:
        errors = [float((a.rgb() - b.rgb()).abs().max()) for a, b in zip(ours, theirs, strict=True)]
    assert len(errors) == 3
    assert max(errors) <= 0.51 / 65535
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_names_colours_and_sound_of_a_result(tmp_path):
    tags = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    clip = probe(make_clip(tmp_path / "in.mkv", pixel_format="yuv420p10le", frames=5, params=tags,
                           encoder=("-c:v", "ffv1")))  # fmt: skip
    voice, _ = find_track(make_sound(tmp_path / "voice.wav", seconds=3))
    for attempt in ("shot", "other"):
        folder = tmp_path / attempt
        writer = SequenceWriter(
            folder / "shot_%04d.png", clip, options=WriterOptions(Codec.PNG), pts=clip.pts, audio=voice
        )
        with FrameReader(clip) as frames, writer:
            for frame in frames:
                writer.write(frame)
    again = probe(tmp_path / "shot", Fraction(25))
    assert again.pictures[0].name == "shot_0001.png"
    assert (again.color.primaries, again.color.transfer) == ("bt2020", "smpte2084")
    sound = load_audio(tmp_path / "shot" / "shot.wav")
    assert (sound.samples, sound.sample_rate) == (44100 // 5, 44100)
    for path in (tmp_path / "shot").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), "results repeat"


def test_where_pictures_can_not_go_is_known_before_they_are_made(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4", frames=2))
    (tmp_path / "taken").mkdir()
    for path, words in [
        (tmp_path / "taken", "There is already"),
        (tmp_path / "taken" / "shot_%04d.png", "There is already"),
        (tmp_path / "dub.mp4", "can't go to"),
        (tmp_path / "dub" / "shot_%04d.tif", "can't go to"),
        (tmp_path / "dub" / "shot_%04d_%04d.png", "can't go to"),
        ("shot_%04d.png", "can't go to"),
    ]:
        with pytest.raises(OptionError, match=words):
            SequenceWriter(path, clip, options=WriterOptions(Codec.PNG), pts=clip.pts)
    with pytest.raises(OutputError, match="no folder"):
        SequenceWriter(tmp_path / "x" / "y", clip, options=WriterOptions(Codec.PNG), pts=clip.pts).preflight()
    with (
        pytest.raises(OutputError, match="Only 0 of 2"),
        SequenceWriter(tmp_path / "dub", clip, options=WriterOptions(Codec.PNG), pts=clip.pts),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "taken"]

"""What an error message recommends works: its command is run in a shell, and the file that it makes is accepted."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.media.opening import open_container
from latentsync_core.video.clip import Clip, ColorTags
from latentsync_core.video.reading.advice import even_stamps_advice, needed_conversion, shell_line
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.clips import make_clip, require_transport_streams
from tests.shared_reference import ROOT

FFV1 = ("-c:v", "ffv1")


@dataclass(frozen=True)
class Refused:
    """A clip whose samples aren't supported, and the nearest format that holds all of them."""

    pixel_format: str
    target: str
    name: str  # an odd one
    color_range: str = "tv"
    encoder: tuple[str, ...] = FFV1
    is_chroma_kept: bool = True


CASES = [
    Refused("yuva444p9le", "yuv444p10le", "it's \"the\" 'one'.mkv", "pc"),
    Refused("gray16le", "gbrp16le", "take:1 $(touch ran) `touch ran`.mkv"),
    Refused("gbrap14le", "gbrp16le", "-i %d;&#.mkv"),
    Refused("yuv422p14le", "yuv422p16le", "x" * 240 + ".mkv"),
    Refused("uyvy422", "yuv422p", "two\nlines.avi", encoder=("-c:v", "rawvideo")),
    Refused("yuv411p", "yuv422p", "Übergröße 日本語.mkv", "pc", is_chroma_kept=False),
]


def run_advice(message: str) -> Path:
    """Runs the command in `message` as a user would, in the folder at hand, and returns the file that it made."""
    command = message.split("run: ", 1)[1]
    before = set(Path().iterdir())
    done = subprocess.run(command, shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    (made,) = set(Path().iterdir()) - before
    return made


def samples(clip: Clip) -> np.ndarray:
    """(frames, samples) of all planes."""
    with FrameReader(clip) as frames:
        return np.stack([np.concatenate([plane.ravel() for plane in frame.planes]).astype(int) for frame in frames])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pixel_format)
def test_an_unsupported_pixel_format_is_converted_without_loss(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    path, planar = Path(case.name), case.pixel_format.replace("uyvy422", "yuv422p")
    plain = make_clip(tmp_path / f"plain{path.suffix}", pixel_format=case.pixel_format, frames=3,
                      params=f"range={case.color_range}",
                      encoder=(*case.encoder, "-color_range", case.color_range))  # fmt: skip
    raw = run_ffmpeg(["-i", str(plain), "-f", "rawvideo", "-pix_fmt", planar, "-"], error=VideoError, what="decoding")
    plain.rename(path)
    with pytest.raises(VideoError, match=f"(?s)^The pixel format {case.pixel_format} of .* is not supported") as e:
        probe(path)
    assert f"convert it to {case.target}" in str(e.value)
    assert ("without alpha" in str(e.value)) == (case.pixel_format in ("yuva444p9le", "gbrap14le"))
    converted = probe(run_advice(str(e.value)))
    assert (converted.pixel_format, converted.frame_count, converted.fps) == (case.target, 3, 25)
    assert (converted.color.range == "pc") == (case.color_range == "pc" or case.target.startswith("gbr"))
    source_bits, target_bits = (av.VideoFormat(name, 8, 8).components[0].bits for name in (planar, case.target))
    original = np.frombuffer(raw, np.uint16 if source_bits > 8 else np.uint8).reshape(3, -1).astype(int)
    found = samples(converted)
    original = np.tile(original, 3) if case.pixel_format.startswith("gray") else original[:, : found.shape[1]]
    kept = slice(None) if case.is_chroma_kept else slice(64 * 48)
    more = target_bits - source_bits
    if case.color_range == "pc" or case.target.startswith("gbr"):  # stretched to the new maximum
        assert np.array_equal(found[:, kept] >> more, original[:, kept])
    else:
        assert np.array_equal(found[:, kept], original[:, kept] << more)


def test_timecode_and_sounds_beside_the_picture_are_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = make_clip(tmp_path / "plain.mov", pixel_format="uyvy422", frames=8, audio=("-c:a", "aac"),
                      encoder=("-c:v", "rawvideo", "-timecode", "01:02:03:04"))  # fmt: skip
    args = ["-i", str(plain), "-map", "0", "-map", "0:a", "-c", "copy", "-c:a:1", "pcm_s24be", "-metadata:s:v", "x=y"]
    run_ffmpeg([*args, "take 422.mov"], error=VideoError, what="adding a sound")
    plain.unlink()
    with av.open("take 422.mov") as file:
        assert sorted(stream.type for stream in file.streams) == ["audio", "audio", "data", "video"]
    with pytest.raises(VideoError, match="convert it to yuv422p") as problem:
        probe("take 422.mov")
    made = run_advice(str(problem.value))
    clip = probe(made)
    assert (clip.pixel_format, clip.frame_count, clip.audio_codec) == ("yuv422p", 8, "aac")
    with av.open(str(made)) as file:
        assert [stream.codec_context.name for stream in file.streams.audio] == ["aac", "pcm_s32le"]
        assert file.streams.video[0].metadata["timecode"] == "01:02:03:04"


@pytest.mark.parametrize("matrix", ["ycgco", "ictcp"])
def test_an_unsupported_colour_matrix_is_converted(tmp_path, monkeypatch, matrix):
    monkeypatch.chdir(tmp_path)
    params = f"range=tv:colorspace={matrix}:color_primaries=bt2020:color_trc=smpte2084"
    make_clip(Path("clip.mkv"), pixel_format="yuv444p10le", frames=2, params=params, encoder=FFV1)
    with pytest.raises(VideoError, match=f"colour matrix {matrix} of clip.mkv is not supported") as problem:
        probe("clip.mkv")
    clip = probe(run_advice(str(problem.value)))
    assert (clip.pixel_format, clip.color.matrix, clip.color.transfer) == ("yuv444p10le", "bt2020nc", "smpte2084")


def test_no_command_is_recommended_that_ffmpeg_can_not_carry_out(tmp_path):
    params = "range=tv:colorspace=smpte2085:color_primaries=bt709:color_trc=bt709"
    path = make_clip(tmp_path / "clip.mkv", pixel_format="yuva420p", frames=2, params=params, encoder=FFV1)
    with pytest.raises(VideoError) as problem:
        probe(path)
    expected = f"The colour matrix smpte2085 of {path} is not supported: export it again as yuv420p"
    assert str(problem.value) == f"{expected}, with the colour matrix bt709."


def test_a_file_that_changes_its_size_is_brought_to_one(tmp_path, monkeypatch):
    require_transport_streams()
    monkeypatch.chdir(tmp_path)
    for name, size, offset in (("a", (64, 48), 0), ("b", (96, 80), 2)):
        encoder = ("-c:v", "libx264", "-bf", "0", "-output_ts_offset", str(offset))
        make_clip(tmp_path / f"{name}.ts", size=size, frames=5, encoder=encoder)
    Path("joined.ts").write_bytes(Path("a.ts").read_bytes() + Path("b.ts").read_bytes())
    clip = probe("joined.ts")
    with pytest.raises(VideoError, match="changes at frame 5 from 64×48 yuv420p to 96×80") as problem:
        samples(clip)
    converted = probe(run_advice(str(problem.value)))
    assert samples(converted).shape == (10, 64 * 48 * 3 // 2)


def test_stamps_that_can_not_be_used_are_replaced_by_even_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = [
        "-r",
        "25",
        "-i",
        str(make_clip(tmp_path / "plain.mp4", frames=6)),
        "-c",
        "copy",
        "-fps_mode",
        "passthrough",
    ]
    run_ffmpeg([*args, "-bsf:v", "setts=ts=1000*gt(N\\,2)", "same.mkv"], error=VideoError, what="making equal stamps")
    with open_container(Path("same.mkv"), VideoError) as container:
        advice = even_stamps_advice(Path("same.mkv"), container)
    assert advice.startswith("have them shown at 25 frames a second, run: ")
    clip = probe(run_advice(advice))
    assert (clip.frame_count, clip.fps, set(np.diff(clip.pts) * clip.time_base)) == (6, 25, {Fraction(1, 25)})


def test_no_advice_takes_bits_or_chroma_away():
    formats = [av.VideoFormat(name, 64, 64) for name in av.video.format.names]
    in_memory = [form for form in formats if form.components and not form.name.startswith("bayer")]
    assert len(in_memory) > 100
    for source in in_memory:
        conversion = needed_conversion(source.name, ColorTags())
        target = av.VideoFormat(conversion.pixel_format if conversion else source.name, 64, 64)
        colors = [component.bits for component in source.components if not component.is_alpha]
        assert target.components[0].bits >= min(max(colors), 16), source.name
        if not target.is_rgb:
            assert target.chroma_width(64) >= source.chroma_width(64), source.name
            assert target.chroma_height(64) >= source.chroma_height(64), source.name


def test_windows_arguments_are_quoted_for_its_own_shell():
    command = ["C:\\Users\\Jo Doe\\ffmpeg.exe", "-i", "D:\\Film & Ton\\take^1 (2).mov", "-map", "0:0", "file:-a,b.mov"]
    expected = '"C:\\Users\\Jo Doe\\ffmpeg.exe" -i "D:\\Film & Ton\\take^1 (2).mov" -map 0:0 "file:-a,b.mov"'
    assert shell_line(command, is_windows=True) == expected


def test_no_message_spells_a_command_out_by_itself():
    """All are made, and tried, in advice.py."""
    sources = [path for folder in ("latentsync_core", "nodes") for path in (ROOT / folder).rglob("*.py")]
    command = re.compile(r"\bffmpeg(\.exe)? +-(?!version)")
    assert [path.name for path in sources if command.search(path.read_text("utf-8"))] == []
    assert command.search("run 'ffmpeg -i in.mov out.mkv'")

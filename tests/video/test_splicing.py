"""A film whose packets are copied from films is the film that is encoded whole, in every packet and in every tag."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

from latentsync_core.audio.source import load_audio
from latentsync_core.errors import OutputError, VideoError
from latentsync_core.media.ffmpeg import ffmpeg_executable
from latentsync_core.media.opening import open_container
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.splicing import EncodedFrames, splice
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, KeepAudio, WriterOptions
from tests.clips import make_clip, make_sound
from tests.one_thread import one_thread  # noqa: F401
from tests.slow_parameters import others_slow

pytestmark = pytest.mark.usefixtures("one_thread")

INTRA = [codec for codec in Codec if codec not in (Codec.MATCH_SOURCE,) and codec.is_intra]
FRAMES = 12
CUTS = (0, 5, 8, FRAMES)  # the frames in the middle are encoded apart
SIZE = (256, 144)
SOURCES = {
    "plain": {},
    "23.976 fps": {"rate": Fraction(24000, 1001)},
    "uneven stamps": {"pts": "1000+512*N+128*mod(N\\,3)"},
    "turned and mirrored": {"rotation": 90, "mirrored": True},
    "anamorphic": {"sample_aspect": "4/3"},
    "10 bits, HDR": {
        "pixel_format": "yuv420p10le",
        "params": "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084",
        "encoder": ("-c:v", "libx265", "-x265-params", "log-level=error"),
    },
    "full range": {"pixel_format": "yuvj420p", "params": "range=pc:colorspace=bt470bg"},
    "interlaced, with a timecode": {
        "encoder": ("-c:v", "libx264", "-x264-params", "tff=1", "-flags", "+ildct+ilme", "-timecode", "01:00:00:00"),
        "params": "field_mode=tff",
    },
    "alpha": {"pixel_format": "yuva420p", "encoder": ("-c:v", "ffv1")},
}


def film(tmp_path, source):
    options = SOURCES[source]
    name = "source.mkv" if options.get("encoder", ("", ""))[1] == "ffv1" else "source.mov"
    return probe(make_clip(tmp_path / name, frames=FRAMES, size=SIZE, **options))


def writer(clip, path, codec, audio=None, keep=KeepAudio.NONE):
    return FrameWriter(path, clip, options=WriterOptions(codec, keep_audio=keep), pts=clip.pts, audio=audio)


def write_whole(clip, path, codec, **more):
    with writer(clip, path, codec, **more) as whole, FrameReader(clip) as frames:
        for frame in frames:
            whole.write(frame)
    return path


def write_spliced(clip, earlier, path, codec, **more):
    """The film again: the frames in the middle encoded, the others copied from `earlier`."""
    new = writer(clip, path, codec, **more)
    pieces = [EncodedFrames(earlier, start, stop) for start, stop in pairwise(CUTS)]
    pieces[1] = EncodedFrames(path.parent / f"part{codec.suffix}", *CUTS[1:3])
    with new.part(pieces[1].film, *CUTS[1:3]) as part, FrameReader(clip) as frames:
        for frame in frames:
            if frame.index in range(*CUTS[1:3]):
                part.write(frame)
    with new.with_picture(pieces, path.parent / f"picture{codec.suffix}"):
        pass
    return path


def packets(path):
    """Every stream's, in its order, with stamps and what a demuxer adds to them."""
    with open_container(path, VideoError) as container:
        found = [
            (packet.stream.index, packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet))
            for packet in container.demux()
            if packet.size
        ]
    return sorted(found, key=lambda packet: packet[:3])


def description(path):
    """All that ffmpeg prints of a file, but for its name."""
    command = [ffmpeg_executable(), "-hide_banner", "-nostdin", "-i", str(path)]
    return re.sub(r"from '.*'|@ 0x\w+", "", subprocess.run(command, capture_output=True, text=True, check=False).stderr)


@pytest.mark.parametrize(
    ("source", "codec"),
    others_slow(
        product(SOURCES, INTRA),
        quick=[
            *product(["plain"], INTRA), ("uneven stamps", Codec.PRORES), ("uneven stamps", Codec.FFV1),
            ("23.976 fps", Codec.DNXHR), ("turned and mirrored", Codec.PRORES), ("anamorphic", Codec.FFV1),
            ("10 bits, HDR", Codec.DNXHR), ("full range", Codec.FFV1), ("alpha", Codec.PRORES),
            ("interlaced, with a timecode", Codec.PRORES), ("interlaced, with a timecode", Codec.FFV1),
        ],
    ),
)  # fmt: skip
def test_packets_and_tags_are_those_of_the_film_that_is_encoded_whole(tmp_path, source, codec):
    """Quick: test_packets_and_tags_are_those_of_the_film_that_is_encoded_whole, every source and every codec."""
    clip = film(tmp_path, source)
    whole = write_whole(clip, tmp_path / f"whole{codec.suffix}", codec)
    spliced = write_spliced(clip, whole, tmp_path / f"spliced{codec.suffix}", codec)
    assert packets(spliced) == packets(whole)
    assert description(spliced) == description(whole)


@pytest.mark.parametrize(
    ("voice", "codec"),
    others_slow(
        product(["voice.wav", "voice.m4a"], INTRA),
        quick=[("voice.wav", Codec.PRORES), ("voice.m4a", Codec.DNXHR), ("voice.m4a", Codec.FFV1)],
    ),
)
def test_sounds_go_beside_it_as_beside_a_film_that_is_encoded_whole(tmp_path, codec, voice):
    """Quick: test_sounds_go_beside_it_as_beside_a_film_that_is_encoded_whole, every codec with one of both sounds."""
    clip = probe(make_clip(tmp_path / "source.mov", frames=FRAMES, size=SIZE, audio=("-c:a", "aac")))
    more = {"audio": load_audio(make_sound(tmp_path / voice)).as_track(tmp_path), "keep": KeepAudio.ALL}
    whole = write_whole(clip, tmp_path / f"whole{codec.suffix}", codec, **more)
    spliced = write_spliced(clip, whole, tmp_path / f"spliced{codec.suffix}", codec, **more)
    assert packets(spliced) == packets(whole)
    assert description(spliced) == description(whole)


@pytest.mark.parametrize(
    ("size", "aspect", "copies"), [((262, 146), "1", True), ((256, 144), "4/3", True), ((256, 144), "16/11", False)]
)
def test_ffv1_is_copied_where_its_aspect_can_be_told_exactly(tmp_path, size, aspect, copies):
    clip = probe(make_clip(tmp_path / "source.mkv", size=size, sample_aspect=aspect))
    assert writer(clip, tmp_path / "film.mkv", Codec.FFV1).copies_packets is copies


def test_codecs_whose_frames_depend_on_others_are_not_copied(tmp_path):
    clip = film(tmp_path, "plain")
    assert not writer(clip, tmp_path / "film.mp4", Codec.H264).copies_packets


def test_a_film_can_be_written_over_the_one_that_it_is_copied_from(tmp_path):
    clip = film(tmp_path, "plain")
    whole = write_whole(clip, tmp_path / "film.mkv", Codec.FFV1)
    before = packets(whole)
    write_spliced(clip, whole, whole, Codec.FFV1)
    assert packets(whole) == before


def test_frames_that_a_film_lacks_are_named(tmp_path):
    clip = film(tmp_path, "plain")
    short = clip.subclip(0, 6)
    earlier = write_whole(short, tmp_path / "short.mkv", Codec.FFV1)
    with pytest.raises(VideoError, match="lacks frame 6"):
        splice_all(clip, [EncodedFrames(earlier, 0, FRAMES)], tmp_path / "picture.mkv")


def test_a_film_that_is_encoded_in_another_way_is_not_joined(tmp_path):
    clip = film(tmp_path, "plain")
    earlier = write_whole(clip, tmp_path / "one.mkv", Codec.FFV1)
    other = write_whole(clip, tmp_path / "other.mov", Codec.PRORES)
    with pytest.raises(VideoError, match="encoded in another way"):
        splice_all(clip, [EncodedFrames(earlier, 0, 6), EncodedFrames(other, 6, FRAMES)], tmp_path / "picture.mkv")


def test_a_picture_that_can_not_be_written_is_an_output_error(tmp_path):
    clip = film(tmp_path, "plain")
    earlier = write_whole(clip, tmp_path / "one.mkv", Codec.FFV1)
    with pytest.raises(OutputError, match="Can't write"):
        splice_all(clip, [EncodedFrames(earlier, 0, FRAMES)], tmp_path / "no folder" / "picture.mkv")


def splice_all(clip, ranges, out):
    splice(ranges, out, np.asarray(clip.pts), clip.time_base, clip.fps, clip.time_base.denominator)

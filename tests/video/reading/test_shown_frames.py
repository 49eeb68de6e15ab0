"""Frames are those that ffmpeg shows, whatever packets and stamps a file has; damaged files are still refused."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from latentsync_core.cli.commands import main
from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import make_clip, raw_planes
from tests.field_pictures import SIDE, write_fields

QUICK = ("-c:v", "libx264", "-preset", "ultrafast")
TS_PACKET = 188  # bytes


def read(clip, start=0, stop=None):
    with FrameReader(clip, start, stop) as frames:
        return list(frames)


def check_frames(path, size=(64, 48), note=None):
    """Every frame is ffmpeg's, from any start; returns the clip."""
    clip = probe(path)
    raw = raw_planes(path, clip.pixel_format, *size)
    assert clip.frame_count == len(raw)
    assert (np.diff(clip.pts) > 0).all()
    for start in {0, clip.frame_count // 2, clip.frame_count - 1}:
        for frame, planes in zip(read(clip, start), raw[start:], strict=True):
            assert frame.pts == clip.pts[frame.index]
            assert all(map(np.array_equal, frame.planes, planes))
    assert [note in one.fact for one in clip.notes] == [True] if note else not clip.notes
    return clip


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("each.ts", {}),
        ("joined.ts", {"joined": True}),
        ("first.ts", {"stamps": "first"}),
        ("remuxed.mp4", {}),
        ("remuxed.mkv", {}),
        ("remuxed.mov", {"stamps": "first"}),
    ],
)
def test_two_field_pictures_are_one_frame(tmp_path, name, how):
    path = write_fields(tmp_path / name, ["fields"] * 4 + ["frame"] * 3 + ["fields"] * 3, **how)
    clip = check_frames(path, (SIDE, SIDE))
    assert (clip.frame_count, clip.fps) == (10, 25)


def test_field_pictures_without_a_container_have_the_nominal_rate(tmp_path):
    path = write_fields(tmp_path / "raw.h264", ["fields"] * 5)
    assert check_frames(path, (SIDE, SIDE), "no times of its frames").fps == 25


def test_a_field_whose_other_one_is_missing_is_what_the_decoder_makes_of_it(tmp_path):
    path = write_fields(tmp_path / "lone.ts", ["fields"] * 3 + ["lone"] + ["fields"] * 3)
    assert check_frames(path, (SIDE, SIDE)).frame_count == 6


@pytest.mark.parametrize("share", [0.2, 0.45, 0.7])
@pytest.mark.parametrize("params", ["intra-refresh=1:keyint=8:bframes=0", "open-gop=1:keyint=8:bframes=2:scenecut=0"])
def test_a_recording_cut_at_any_packet_begins_with_the_first_frame_shown(tmp_path, params, share):
    path = make_clip(tmp_path / "in.ts", frames=40, encoder=("-c:v", "libx264", "-x264opts", params))
    data = path.read_bytes()
    cut = int(len(data) // TS_PACKET * share) * TS_PACKET
    path.write_bytes(data[: 3 * TS_PACKET] + data[cut:])
    check_frames(path, note="between two key frames" if "refresh" in params else None)


def remuxed(source, path, stamp, frames=30):
    """The packets of a clip without B-frames, each at `stamp(number)` milliseconds; None: it has no stamp."""
    with av.open(str(source)) as given, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(one for one in given.demux(video=0) if one.size):
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts, packet.dts = stamp(number), number * 40 - 100_000
            out.mux(packet)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("plain") / "in.mp4", frames=30, encoder=(*QUICK, "-bf", "0", "-g", "8"))


@pytest.mark.parametrize(
    ("stamp", "note"),
    [
        (lambda n: 40 * min(n, 28), "Frame 29 has no later time"),
        (lambda n: 40 * (n - (n in (7, 8))), "Frame 7 has no later time"),
        (lambda n: n * 4 // 5, "frames, from frame 1 on"),
        (lambda n: 40 * n if n != 7 else 220, "Frame 7 has"),
        (lambda n: 2000 + 40 * n if n != 25 else 0, "Frame 25 has"),
        (lambda n: 2000 + 40 * (n if n < 20 else n - 20), "clock jumps at frame 20"),
    ],
    ids=["last equal", "two equal", "every fifth equal", "backward", "zero", "restarted"],
)
def test_sound_frames_with_wrong_stamps_are_taken_in_the_decoders_order(tmp_path, plain, stamp, note):
    clip = check_frames(remuxed(plain, tmp_path / "odd.mkv", stamp), note=note)
    with FrameReader(clip) as frames, FrameWriter(
        tmp_path / "out", clip, options=WriterOptions(Codec.FFV1), pts=clip.pts
    ) as out:  # fmt: skip
        for frame in frames:
            out.write(frame)
    again = probe(out.path)
    for frame, given in zip(read(again), read(clip), strict=True):
        assert all(map(np.array_equal, frame.planes, given.planes))


def test_stamps_before_zero_that_matroska_lost_are_counted_back(tmp_path, plain):
    path = tmp_path / "negative.mkv"
    args = ["-itsoffset", "-0.5", "-i", str(plain), "-c", "copy", "-avoid_negative_ts", "disabled", str(path)]
    run_ffmpeg(args, error=VideoError, what="remuxing")
    clip = check_frames(path, note="no time for")
    assert clip.fps == 25
    assert np.diff(clip.pts).tolist() == [40] * 29


def test_recordings_joined_byte_by_byte_go_on(tmp_path):
    one = make_clip(tmp_path / "one.ts", frames=20, encoder=(*QUICK, "-bf", "2", "-g", "8")).read_bytes()
    (tmp_path / "joined.ts").write_bytes(one + one)
    clip = check_frames(tmp_path / "joined.ts", note="clock jumps at frame 20")
    assert (clip.frame_count, clip.fps, set(np.diff(clip.pts))) == (40, 25, {3600})


def test_a_file_that_has_to_be_decoded_reports_its_progress_once_and_can_be_cancelled(tmp_path):
    one = make_clip(tmp_path / "one.ts", frames=20, encoder=(*QUICK, "-bf", "2", "-g", "8")).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(one + one)
    seen = []

    def cancel(done, total):
        seen.append((done, total))
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(path, on_progress=cancel)
    assert seen == [(done, 40) for done in range(1, 6)]
    seen.clear()
    probe(path, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 40) for done in range(1, 41)]
    probe(path, on_progress=cancel)  # known by now
    assert len(seen) == 40
    probe(make_clip(tmp_path / "sound.mp4", frames=10), on_progress=cancel)  # whose packets tell
    assert len(seen) == 40


def test_the_command_line_shows_that_a_file_is_decoded(tmp_path, capsys):
    one = make_clip(tmp_path / "one.ts", frames=20, encoder=(*QUICK, "-bf", "2", "-g", "8")).read_bytes()
    (tmp_path / "joined.ts").write_bytes(one + one)
    assert main(["probe", str(tmp_path / "joined.ts")]) == 0
    shown = capsys.readouterr()
    assert "Listing the frames" in shown.err
    assert "40/40" in shown.err


def test_recordings_of_two_sizes_are_refused_at_once(tmp_path):
    for name, size in (("a.ts", (64, 48)), ("b.ts", (48, 64))):
        make_clip(tmp_path / name, frames=10, size=size, encoder=QUICK)
    (tmp_path / "joined.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.raises(VideoError, match="changes at frame 10 from 64×48 yuv420p to 48×64 yuv420p: split it there"):
        probe(tmp_path / "joined.ts")


def test_packed_b_frames_are_frames(tmp_path):
    """As DivX stored them: a P-frame and a B-frame in one packet, then an empty one."""
    source = make_clip(tmp_path / "in.avi", frames=25, encoder=("-c:v", "mpeg4", "-bf", "1", "-g", "12"))
    with av.open(str(source)) as given:
        packets = [bytes(packet) for packet in given.demux(video=0) if packet.size]
    start = b"\0\0\1\xb6"  # of a picture; its type is in the next two bits: I, P, B
    kinds = ["IPBS"[data[data.index(start) + 4] >> 6] for data in packets]
    packed, number = [], 0
    while number < len(packets):
        if kinds[number : number + 2] == ["P", "B"]:
            packed += [packets[number] + packets[number + 1], start + b"\x40\x7f"]
            number += 2
        else:
            packed.append(packets[number])
            number += 1
    headers = packets[0][: packets[0].index(start)] if start in packets[0] else b""
    packed[0] = headers + b"\0\0\1\xb2DivX503b1393p" + packed[0][len(headers) :]
    with av.open(str(tmp_path / "packed.avi"), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, data in enumerate(packed):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), number, number
            packet.is_keyframe = number == 0
            out.mux(packet)
    assert check_frames(tmp_path / "packed.avi").frame_count == 25


def test_a_lost_frame_is_damage(tmp_path, plain):
    data = bytearray(plain.read_bytes())
    with av.open(str(plain)) as given:
        lost = [packet for packet in given.demux(video=0) if packet.size][12]
    data[lost.pos : lost.pos + lost.size] = bytes(lost.size)
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(VideoError, match="damaged"):
        read(probe(tmp_path / "damaged.mp4"))

"""A clip's own sound starts with its first frame and lasts as long as it does, sample by sample."""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from latentsync_core.audio.clip_audio import clip_audio, clip_audio_track
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError, ClipChangedError, VideoError
from latentsync_core.media.description import describe
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.media.sound_reader import SoundReader, _SampleClock
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import WriterOptions
from tests.clips import make_clip
from tests.slow_parameters import others_slow

RATE = 48000


def clip_with_ramp(path, *sound_args, seconds=4.0, late=0.0, channels=2, frames=100, fps=25):
    """A clip whose sound is a staircase that tells every sample's place: (C, T) is what it should decode to."""
    samples = int(seconds * RATE)
    ramp = (np.arange(samples) % 32768 - 16384).astype(np.int16)
    pcm = np.stack([ramp, -ramp - 1] + [ramp] * (channels - 2))[:channels]
    picture = make_clip(path.with_name(f"picture_{path.name}"), frames=frames, rate=fps)
    sound = path.with_name(f"sound_{path.name}")
    source = ["-y", "-f", "s16le", "-ar", str(RATE), "-ac", str(channels), "-i", "pipe:0"]
    coded = [*(sound_args or ("-c:a", "flac")), "-strict", "-2", str(sound)]
    run_ffmpeg([*source, *coded], error=VideoError, what="making a sound", input=pcm.T.tobytes())
    both = ["-y", "-i", str(picture), "-itsoffset", str(late), "-i", str(sound)]
    copied = ["-map", "0:v", "-map", "1:a", "-c", "copy", "-strict", "-2", str(path)]
    run_ffmpeg([*both, *copied], error=VideoError, what="making a clip")
    return probe(path), torch.from_numpy(pcm.astype(np.float32) / 32768)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_whole_clips_sound_is_every_sample_of_it(tmp_path, name, channels):
    codec = ("-c:a", "pcm_s16le") if name == "a.mov" else ("-c:a", "flac")
    clip, expected = clip_with_ramp(tmp_path / name, *codec, channels=channels)
    waveform, rate = clip_audio(clip)
    assert rate == RATE
    assert torch.equal(waveform, expected)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(("start", "stop"), [(1, 30), (70, 99), (80, 100)])
def test_a_trimmed_clips_sound_is_exactly_its_part(tmp_path, name, start, stop):
    clip, expected = clip_with_ramp(tmp_path / name)
    waveform, _ = clip_audio(clip.subclip(start, stop))
    first, count = start * RATE // 25, (stop - start) * RATE // 25
    assert torch.equal(waveform, expected[:, first : first + count])


def test_after_a_seek_a_lossy_sound_is_the_same_as_without(tmp_path):
    clip, _ = clip_with_ramp(tmp_path / "a.mp4", "-c:a", "aac")
    whole, _ = clip_audio(clip)
    part, _ = clip_audio(clip.subclip(75, 100))
    torch.testing.assert_close(part, whole[:, 3 * RATE :], rtol=0, atol=1e-5)
    assert whole.shape == (2, 4 * RATE)


def test_silence_stands_where_the_sound_begins_later_or_ends_earlier(tmp_path):
    clip, expected = clip_with_ramp(tmp_path / "a.mp4", seconds=1.0, late=0.5)
    waveform, _ = clip_audio(clip)
    assert waveform.shape == (2, 4 * RATE)
    assert not waveform[:, : RATE // 2].any()
    assert torch.equal(waveform[:, RATE // 2 : RATE * 3 // 2], expected)
    assert not waveform[:, RATE * 3 // 2 :].any()
    before, _ = clip_audio(clip.subclip(0, 5))
    assert not before.any()
    assert before.shape == (2, RATE // 5)


def test_a_sound_longer_than_the_picture_ends_with_it(tmp_path):
    clip, expected = clip_with_ramp(tmp_path / "a.mp4", frames=40)
    waveform, _ = clip_audio(clip)
    assert torch.equal(waveform, expected[:, : 40 * RATE // 25])


def test_it_is_what_ffmpeg_hears(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=50, audio=("-c:a", "aac"))
    waveform, rate = clip_audio(probe(path))
    heard = load_audio(path)
    both = min(heard.samples, waveform.shape[1])
    torch.testing.assert_close(waveform[:, :both], torch.cat(list(heard._blocks()), 1)[:, :both], rtol=0, atol=1e-6)
    assert rate == heard.sample_rate


def test_the_mux_copies_a_whole_clips_sound(tmp_path):
    clip, _ = clip_with_ramp(tmp_path / "a.mp4", "-c:a", "aac")
    assert clip_audio_track(clip).path == clip.identity.path
    out = remade(clip, tmp_path)
    assert packets(out.path) == packets(clip.identity.path)


@pytest.mark.parametrize("late", [0.0, 0.3])
def test_the_mux_takes_a_trimmed_clips_part(tmp_path, late):
    clip, _ = clip_with_ramp(tmp_path / "a.mp4", late=late, seconds=3.5)
    part = clip.subclip(10, 60)
    waveform, _ = clip_audio(part)
    with SoundReader(clip_audio_track(part), 2 * RATE) as reader:
        assert torch.equal(torch.cat(list(reader), dim=1), waveform)
    muxed, _ = clip_audio(probe(remade(part, tmp_path).path))
    assert (muxed[0] * waveform[0]).sum() > 0.98 * (waveform[0] ** 2).sum(), "at the same place"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_sound_that_begins_before_the_picture_is_cut_there(tmp_path, name):
    clip, expected = clip_with_ramp(tmp_path / name, late=-0.2)
    waveform, _ = clip_audio(clip)
    assert torch.equal(waveform[:, : 3 * RATE], expected[:, RATE // 5 :][:, : 3 * RATE])


def test_what_has_no_sound_is_named(tmp_path):
    silent = probe(make_clip(tmp_path / "silent.mp4"))
    with pytest.raises(AudioError, match=r"silent\.mp4 has no sound"):
        clip_audio(silent)
    with pytest.raises(AudioError, match="of images has no sound"):
        clip_audio(clip_from_images(torch.zeros(2, 8, 8, 3), Fraction(25)))
    make_clip(tmp_path / "silent.mp4", frames=3)
    with pytest.raises(ClipChangedError):
        clip_audio(silent)


def remade(clip, folder):
    sound = clip_audio_track(clip)
    options = WriterOptions(preset="ultrafast")
    with (
        FrameReader(clip) as frames,
        FrameWriter(folder / "out.mp4", clip, options=options, pts=clip.pts, audio=sound) as out,
    ):
        for frame in frames:
            out.write(frame)
    return out


def packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


PLANAR = ("-c:a", "aac"), ("-c:a", "libopus", "-mapping_family", "255"), ("-c:a", "libvorbis"), ("-c:a", "alac")
PACKED = ("-c:a", "pcm_s16le"), ("-c:a", "pcm_s24le"), ("-c:a", "pcm_f32le"), ("-c:a", "pcm_f64le"), ("-c:a", "flac")
LAYOUTS = ["mono", "stereo", "5.1", "6.1", "7.1", "7.1(wide)", "octagonal", "cube", "5.1.2", "hexadecagonal", "22.2"]
NOT_ENCODED = {"aac": {"cube", "5.1.2", "hexadecagonal", "22.2"}, "flac": {"hexadecagonal", "22.2"}}
ENCODED = [
    (codec, layout) for codec in (*PLANAR, *PACKED) for layout in LAYOUTS if layout not in NOT_ENCODED.get(codec[1], ())
]
QUICK_LAYOUTS = {  # every codec, and every layout both planar and packed
    "aac": ("mono", "7.1", "octagonal"),
    "libopus": ("stereo", "5.1.2", "22.2"),
    "libvorbis": ("5.1", "cube", "hexadecagonal"),
    "alac": ("6.1", "7.1(wide)"),
    "pcm_s16le": ("mono", "7.1", "22.2"),
    "pcm_s24le": ("stereo", "octagonal"),
    "pcm_f32le": ("5.1", "hexadecagonal"),
    "pcm_f64le": ("6.1", "5.1.2"),
    "flac": ("7.1(wide)", "cube"),
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """Five frames for any sound to go with."""
    return make_clip(tmp_path_factory.mktemp("picture") / "picture.mkv", frames=5)


@pytest.mark.parametrize(
    ("codec", "layout"),
    others_slow(ENCODED, [(codec, layout) for codec, layout in ENCODED if layout in QUICK_LAYOUTS[codec[1]]]),
    ids=[f"{codec[1]} {layout}" for codec, layout in ENCODED],
)
def test_every_codec_and_layout_gives_what_ffmpeg_decodes(tmp_path, picture, codec, layout):
    """Eight and more planar channels once ended the process.

    Quick: test_every_codec_and_layout_gives_what_ffmpeg_decodes, with every codec and every layout, not each of each.
    """
    path = tmp_path / "a.mkv"
    noise = ["-f", "lavfi", "-i", f"anoisesrc=r={RATE}:d=0.2:a=0.5", "-af", f"aformat=channel_layouts={layout}"]
    made = ["-y", "-i", str(picture), *noise, "-map", "0:v", "-map", "1:a", "-c:v", "copy", *codec, str(path)]
    run_ffmpeg(made, error=VideoError, what="making a clip")
    if re.search(r"start: -0\.0\d", describe(path, 0)):
        pytest.skip("this ffmpeg plays the delay of a Matroska file's encoder as sound")
    waveform, rate = clip_audio(probe(path))
    keep_time = ["-map", "0:a", "-af", "aresample=async=1:first_pts=0", "-c:a", "pcm_f32le", "-f", "f32le", "-"]
    decoded = run_ffmpeg(["-i", str(path), *keep_time], error=AudioError, what="decoding")
    expected = torch.from_numpy(np.frombuffer(decoded, np.float32).reshape(-1, len(waveform)).T.copy())
    if codec[1] == "libvorbis" and expected.shape[1] > 0.2 * RATE:
        pytest.skip("this ffmpeg plays the delay of a Vorbis encoder as sound")
    count = min(waveform.shape[1], expected.shape[1])
    assert rate == RATE
    assert count > 0.19 * RATE
    assert torch.allclose(waveform[:, :count], expected[:, :count], atol=2e-6)


def test_a_clip_whose_last_frame_is_said_to_be_days_later_is_refused(tmp_path):
    clip, _ = clip_with_ramp(tmp_path / "a.mkv", seconds=1, frames=25)
    pts = clip.pts.copy()
    pts[-1] += int(3e6 / clip.time_base)
    lasting = dataclasses.replace(clip, pts=pts)
    with pytest.raises(AudioError, match="GB of memory"):
        clip_audio(lasting)


@pytest.mark.parametrize("name", ["late.mkv", "late.ts"])
def test_a_part_late_in_a_film_is_the_same_samples_as_in_the_whole(tmp_path, name):
    noise = ["-f", "lavfi", "-i", f"anoisesrc=r={RATE}:d=12:a=0.5", "-f", "lavfi", "-i", "color=s=32x32:r=5:d=12"]
    coded = ["-c:a", "aac", "-c:v", "libx264", "-preset", "ultrafast", "-map", "1:v", "-map", "0:a"]
    run_ffmpeg(["-y", *noise, *coded, str(tmp_path / name)], error=VideoError, what="making a film")
    clip = probe(tmp_path / name)
    whole, part = clip_audio(clip)[0], clip_audio(clip.subclip(40, 50))[0]
    first = round(float(clip.times[40]) * RATE)
    assert torch.equal(part, whole[:, first : first + part.shape[1]])
    assert float(part.abs().max()) > 0.3


@pytest.mark.parametrize("start", [Fraction(0), Fraction(-1, 3), Fraction(7, 11)])
@pytest.mark.parametrize("tick", [Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 48_000), Fraction(1, 14_112_000)])
def test_stamps_become_the_nearest_samples(tick, start):
    clock = _SampleClock(tick, start, 44_100)
    for stamp in (*range(-700, 700), 10**12, -(10**12)):
        assert clock.sample_at(stamp) == round((stamp * tick - start) * 44_100)

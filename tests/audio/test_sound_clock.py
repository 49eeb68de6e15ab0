"""One clock: a click at a flash stays there in what drives the lips, in Clip Audio and in every result."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.audio.clip_audio import clip_audio, clip_audio_track
from latentsync_core.audio.source import load_audio
from latentsync_core.audio.track_choice import TrackChoice
from latentsync_core.errors import AudioError, VideoError
from latentsync_core.media.downmix import cancelling_channel
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.media.sound_reader import SoundTrack
from latentsync_core.messages import NoteLevel, Remedy
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.audio_plan import AudioPlan
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.slow_parameters import others_slow

RATE = 48000
FLASH_FRAME, FPS = 20, 25  # of the whole picture: 0.8 s
CLICK = "aevalsrc='if(between(t,0.8,0.803),0.9*sin(25000*(t-0.8)),0)':s=48000:d=1.2"
TOLERANCE_MS = 1.0


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Files with a click at a flash, by name."""
    folder = tmp_path_factory.mktemp("films")
    flash = f"drawbox=color=white:t=fill:enable='eq(n\\,{FLASH_FRAME})'"
    picture = ["-f", "lavfi", "-i", f"color=gray:s=64x48:r={FPS}:d=1.2"]
    sound = ["-f", "lavfi", "-i", CLICK]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "5"]
    late_picture = f"{flash},select=gte(t\\,0.32)"

    def film(name, *args, filters=flash):
        coded = ["-map", "0:v", "-map", "1:a", "-vf", filters, "-fps_mode", "passthrough", *video, *args]
        run_ffmpeg(["-y", *picture, *sound, *coded, str(folder / name)], error=VideoError, what="making a film")

    film("together.mp4", "-c:a", "aac")
    film("late picture.mp4", "-c:a", "aac", filters=late_picture)
    film("late picture.mkv", "-c:a", "libopus", filters=late_picture)
    film("late picture.ts", "-c:a", "mp2", filters=late_picture)
    film("late picture.mov", "-c:a", "pcm_s16le", filters=late_picture)
    film("late sound.mp4", "-c:a", "aac", "-af", "aselect=gte(t\\,0.25)")
    film("begins at 7.5 s.mp4", "-c:a", "aac", "-output_ts_offset", "7.5")
    film("whole.ts", "-c:a", "mp2")
    data = (folder / "whole.ts").read_bytes()
    packets = len(data) // 188
    # A recording that begins in the middle of a group of pictures: the tables, then whatever comes.
    (folder / "cut.ts").write_bytes(data[: 3 * 188] + data[packets // 5 * 188 :])
    return folder


@pytest.mark.parametrize(
    ("early", "codec"),
    others_slow(
        itertools.product([0.3, 0.55], ["pcm_s16le", "aac", "flac", "libopus"]),
        quick=[(0.3, "pcm_s16le"), (0.55, "aac"), (0.55, "flac"), (0.3, "libopus")],
    ),
)
def test_a_matroska_film_whose_sound_begins_below_zero_keeps_the_click_at_the_flash(tmp_path, codec, early):
    """Quick: test_a_matroska_film_whose_sound_begins_below_zero_keeps_the_click_at_the_flash, each codec once."""
    flash = f"drawbox=color=white:t=fill:enable='eq(n\\,{FLASH_FRAME})'"
    begin = 0.8 + early  # of the click, in the sound
    click = f"aevalsrc='if(between(t,{begin},{begin + 0.003}),0.9*sin(25000*(t-{begin})),0)':s={RATE}:d=1.8"
    picture = ["-f", "lavfi", "-i", f"color=gray:s=64x48:r={FPS}:d=1.2"]
    sound = ["-itsoffset", str(-early), "-f", "lavfi", "-i", click, "-map", "0:v", "-map", "1:a", "-c:a", codec]
    video = ["-vf", flash, "-c:v", "libx264", "-preset", "ultrafast", "-avoid_negative_ts", "disabled"]
    path = tmp_path / "film.mkv"
    run_ffmpeg(["-y", "-copyts", *picture, *sound, *video, str(path)], error=VideoError, what="making a film")
    clip = probe(path)
    voice = load_audio(path)
    assert float(voice.track.first) == pytest.approx(-early, abs=0.015)
    waveform, rate = clip_audio(clip)
    assert 1000 * (click_seconds(waveform[0], rate) - flash_seconds(clip)) == pytest.approx(0, abs=TOLERANCE_MS)
    assert 1000 * (click_seconds(voice.mono16k(), 16000) - flash_seconds(clip)) == pytest.approx(0, abs=TOLERANCE_MS)
    result = probe(rewritten(clip, clip_audio_track(clip), tmp_path / "out", Codec.FFV1))
    waveform, rate = clip_audio(result)
    assert 1000 * (click_seconds(waveform[0], rate) - flash_seconds(result)) == pytest.approx(0, abs=TOLERANCE_MS)


NAMES = [
    "together.mp4", "late picture.mp4", "late picture.mkv", "late picture.ts", "late picture.mov", "late sound.mp4",
    "begins at 7.5 s.mp4", "cut.ts",
]  # fmt: skip


def flash_seconds(clip):
    """When the flash is shown, in seconds after the clip's first frame."""
    with FrameReader(clip) as frames:
        brightest = int(np.argmax([float(np.mean(frame.planes[0])) for frame in frames]))
    return float(int(clip.pts[brightest] - clip.pts[0]) * clip.time_base)


def click_seconds(samples, rate):
    loud = np.abs(np.asarray(samples))
    return np.flatnonzero(loud > 0.3 * loud.max())[0] / rate


@pytest.mark.parametrize("name", NAMES)
def test_a_click_at_a_flash_stays_there_for_the_lips_and_for_clip_audio(films, name):
    clip = probe(films / name)
    waveform, rate = clip_audio(clip)
    voice = load_audio(films / name)
    flash = flash_seconds(clip)
    assert 1000 * (click_seconds(waveform[0], rate) - flash) == pytest.approx(0, abs=TOLERANCE_MS)
    assert 1000 * (click_seconds(voice.mono16k(), 16000) - flash) == pytest.approx(0, abs=TOLERANCE_MS)


RESULTS = [
    ("late picture.mp4", Codec.H264),
    ("late picture.mkv", Codec.H264),
    ("late picture.mov", Codec.PRORES),
    ("late picture.mp4", Codec.FFV1),
    ("late sound.mp4", Codec.H264),
    ("begins at 7.5 s.mp4", Codec.H264),
    ("cut.ts", Codec.H264),
]


@pytest.mark.parametrize(
    ("own", "name", "codec"),
    others_slow(
        [(own, *result) for own in (True, False) for result in RESULTS],
        quick=[
            *((True, *result) for result in RESULTS),
            *((False, *result) for result in (RESULTS[0], RESULTS[3], RESULTS[4])),
        ],
    ),
)
def test_a_click_at_a_flash_stays_there_in_the_result(films, tmp_path, name, codec, own):
    """Quick: test_a_click_at_a_flash_stays_there_in_the_result, another voice with a late picture and a late sound."""
    clip = probe(films / name)
    sound = clip_audio_track(clip) if own else load_audio(films / name, clip).track
    result = probe(rewritten(clip, sound, tmp_path / "out", codec))
    waveform, rate = clip_audio(result)
    late = click_seconds(waveform[0], rate) - flash_seconds(result)
    assert 1000 * late == pytest.approx(0, abs=TOLERANCE_MS)


def rewritten(clip, sound, path, codec):
    options = WriterOptions(codec, preset="ultrafast")
    with FrameReader(clip) as frames, FrameWriter(path, clip, options=options, pts=clip.pts, audio=sound) as out:
        for frame in frames:
            out.write(frame)
    return out.path


def test_the_clips_own_file_as_voice_is_trimmed_as_the_clip_is(films):
    clip = probe(films / "together.mp4").subclip(10, 30)
    waveform, rate = clip_audio(clip)
    voice = load_audio(films / "together.mp4", clip)
    assert torch.equal(voice.whole()[:, : waveform.shape[1]], waveform)
    assert click_seconds(waveform[0], rate) == pytest.approx(0.4, abs=0.001)


def test_sound_before_the_picture_is_noted(films):
    (note,) = load_audio(films / "late picture.mp4").notes
    assert note.fact == (
        "The sound of late picture.mp4 begins 0.32 s before its picture; it is used from the picture's first frame on."
    )
    assert load_audio(films / "together.mp4").notes == ()


@pytest.mark.parametrize("seconds", [0.5, 0.51])
def test_a_copied_sound_ends_with_the_picture(films, tmp_path, seconds):
    clip = probe(films / "together.mp4").subclip(0, round(seconds * FPS))
    copied = load_audio(rewritten(clip, load_audio(films / "together.mp4", clip).track, tmp_path / "out", Codec.H264))
    assert copied.track.codec == "aac"
    assert copied.samples == round(clip.duration * RATE)


def joined(path, *parts):
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """A second of a tone each: mono at 24 kHz and stereo at 48 kHz as MP3, and as Opus in Ogg."""
    folder = tmp_path_factory.mktemp("chunks")
    for name, rate, channels in (("low.mp3", 24000, 1), ("high.mp3", 48000, 2), ("a.ogg", 48000, 1)):
        coded = ["-ac", str(channels), *(["-c:a", "libopus"] if name == "a.ogg" else []), str(folder / name)]
        tone = ["-f", "lavfi", "-i", f"sine=r={rate}:d=1"]
        run_ffmpeg(["-y", *tone, *coded], error=AudioError, what="making a chunk")
    joined(folder / "rates.mp3", folder / "low.mp3", folder / "high.mp3")
    joined(folder / "chain.ogg", folder / "a.ogg", folder / "a.ogg", folder / "a.ogg")
    return folder


@pytest.mark.parametrize(("name", "seconds"), [("rates.mp3", 2), ("chain.ogg", 3)])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.FFV1])
def test_joined_chunks_drive_the_lips_and_lie_in_the_file_to_the_sample(chunks, tmp_path, name, seconds, codec):
    voice = load_audio(chunks / name)
    assert (voice.sample_rate, voice.duration) == (48000, pytest.approx(seconds, abs=0.1))
    assert voice.channels == (2 if name == "rates.mp3" else 1)
    picture = ["-f", "lavfi", "-i", f"color=gray:s=64x48:r=25:d={seconds + 0.2}", str(tmp_path / "in.mp4")]
    run_ffmpeg(["-y", *picture], error=VideoError, what="making a picture")
    written = load_audio(rewritten(probe(tmp_path / "in.mp4"), voice.track, tmp_path / "out", codec)).whole()
    expected = voice.whole()
    if codec is Codec.FFV1:  # 24 bits
        torch.testing.assert_close(written[:, : voice.samples], expected, rtol=0, atol=2**-22)
        assert not written[:, voice.samples :].any()
    else:
        error = written[:, : voice.samples] - expected
        assert error.square().mean() < 1e-3 * expected.square().mean()


@pytest.mark.parametrize("inverted", [1.0, 0.4])
def test_a_voice_whose_channels_cancel_is_its_loudest_channel_with_a_note(inverted):
    """Also where only the last part of it is inverted."""
    mono = torch.randn(RATE * 5, generator=torch.Generator().manual_seed(3)) * 0.1
    stereo = torch.stack([mono, 0.9 * mono])
    stereo[1, int(RATE * 5 * (1 - inverted)) :] *= -1
    voice = load_audio({"waveform": stereo, "sample_rate": RATE})
    assert torch.equal(voice.mono16k(), load_audio({"waveform": mono[None], "sample_rate": RATE}).mono16k())
    assert [note.level for note in voice.notes] == [NoteLevel.WARNING]
    assert "cancel each other when mixed to mono (one is inverted): channel 1 alone is used" in voice.notes[0].fact


def test_channels_that_don_t_cancel_are_averaged_without_a_note():
    noise = torch.randn(6, RATE, generator=torch.Generator().manual_seed(3)) * 0.1
    for waveform in (noise, noise[:2], torch.cat([noise[:1], torch.zeros(7, RATE)]), noise[:1].expand(4, -1)):
        assert cancelling_channel(waveform, RATE) is None
        assert load_audio({"waveform": waveform, "sample_rate": RATE}).notes == ()


@pytest.mark.parametrize(("level", "words"), [(0.0, "below -120 dBFS"), (1e-4, "-80 dBFS"), (5e-4, "-66 dBFS")])
def test_a_silent_voice_is_noted_with_its_level(level, words):
    steady = torch.full((1, RATE * 2), level)
    (note,) = load_audio({"waveform": steady, "sample_rate": RATE}).notes
    assert f"its loudest second measures {words}" in note.fact
    assert note.level is NoteLevel.WARNING


def test_a_quiet_voice_with_one_second_of_speech_is_not_called_silent():
    waveform = torch.zeros(1, RATE * 60)
    waveform[:, RATE * 40 : RATE * 41] = 0.01
    assert load_audio({"waveform": waveform, "sample_rate": RATE}).notes == ()


def test_four_mono_tracks_are_averaged_where_asked_and_named_where_not(tmp_path):
    tones = [part for hertz in (400, 900, 1600, 2500) for part in ("-f", "lavfi", "-i", f"sine={hertz}:r=48000:d=1")]
    picture = ["-f", "lavfi", "-i", "color=gray:s=64x48:r=25:d=1"]
    maps = [part for number in range(5) for part in ("-map", str(number))]
    path = tmp_path / "master.mov"
    coded = ["-c:v", "mpeg4", "-c:a", "pcm_s16le", str(path)]
    run_ffmpeg(["-y", *picture, *tones, *maps, *coded], error=VideoError, what="making a master")
    clip = probe(path)
    first, every = load_audio(path, clip), load_audio(path, clip, TrackChoice.ALL)
    assert [(note.fact, note.remedies) for note in first.notes] == [
        ("Of the 4 audio tracks of master.mov, track 1 is used; tracks 2, 3, 4 are left out.", (Remedy.MIX_TRACKS,))
    ]
    assert every.notes == ()
    singles = [load_tone(tmp_path, tones[4 * n : 4 * n + 4]) for n in range(4)]
    torch.testing.assert_close(first.whole(), singles[0])
    torch.testing.assert_close(every.whole(), sum(singles) / 4)
    torch.testing.assert_close(clip_audio(clip, TrackChoice.ALL)[0], sum(singles) / 4)
    result = load_audio(rewritten(clip, every.track, tmp_path / "out", Codec.PRORES))
    torch.testing.assert_close(result.whole(), sum(singles) / 4, rtol=0, atol=2**-22)


def load_tone(folder, source):
    run_ffmpeg(["-y", *source, "-c:a", "pcm_s16le", str(folder / "one.wav")], error=AudioError, what="a tone")
    return load_audio(folder / "one.wav").whole()


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25)])
def test_two_hours_do_not_drift(tmp_path, rate, fps):
    """By exact arithmetic: no frame of two hours is more than half a sample off its sound."""
    track = SoundTrack(tmp_path / "a", (0,), Fraction(7, 3), Fraction(7, 3), rate, 2, "stereo", "aac", is_uniform=True)
    plan, begin = AudioPlan(track, (), (), rate), Fraction(1001, 24000)
    frames = round(7200 * fps)
    for frame in (0, 1, 1000, frames // 2, frames - 1, frames):
        seconds = frame / fps
        assert abs(Fraction(plan.samples(seconds), rate) - max(seconds, Fraction(1, rate))) <= Fraction(1, 2 * rate)
    assert abs(Fraction(plan.first_tick(begin), rate) - begin) <= Fraction(1, 2 * rate)
    assert plan.copy_offset(begin) + track.start == begin

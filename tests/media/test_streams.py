"""Which streams of a file are taken where some have no decoder, as spatial audio of phones and raw camera formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latentsync_core.audio.clip_audio import clip_audio, clip_audio_track
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError, VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.messages import Note, NoteLevel
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.proxy import is_browser_playable, write_proxy
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import WriterOptions
from tests.clips import CODECS, make_clip

LOW, HIGH = 300, 3000  # Hz, the tones of the first and second audio track


@pytest.fixture
def film(tmp_path) -> Path:
    """A film with two audio tracks of one tone each."""
    picture = make_clip(tmp_path / "picture.mp4", frames=12)
    tones = [part for tone in (LOW, HIGH) for part in ("-f", "lavfi", "-i", f"sine=f={tone}:r=48000:d=0.48")]
    maps = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a", "aac"]
    run_ffmpeg(["-i", str(picture), *tones, *maps, str(tmp_path / "film.mp4")], error=VideoError, what="two tracks")
    return tmp_path / "film.mp4"


def without_decoder(film: Path, *tracks: int, picture: bool = False) -> Path:
    """A copy in which the codecs of some audio tracks, or of the picture, have names that no decoder knows."""
    data = bytearray(film.read_bytes())
    places, at = [], data.index(b"moov")
    while (at := data.find(b"mp4a", at + 1)) >= 0:
        if data[at - 16 : at - 8] == b"stsd" + bytes(4) or b"stsd" in data[at - 20 : at]:
            places.append(at)
    for track in tracks:
        data[places[track] : places[track] + 4] = b"apac"
        esds = data.index(b"esds", places[track])
        data[esds : esds + 4] = b"dapa"
    if picture:
        place = data.index(b"avc1", data.index(b"stsd"))
        data[place : place + 4] = b"xq7z"
    changed = film.with_name("unknown.mp4")
    changed.write_bytes(data)
    return changed


def pitch(samples: np.ndarray, rate: int) -> float:
    """The strongest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


def test_the_first_audio_track_with_a_decoder_is_used_everywhere_with_a_note(film, tmp_path):
    path = without_decoder(film, 0)
    clip, voice = probe(path), load_audio(path)
    assert clip.audio_codec == "aac"
    for notes in (clip.notes, voice.notes):
        fact = "The codec of audio track 1 has no decoder here: track 2 (aac) is used."
        assert notes == (Note(fact, NoteLevel.WARNING),)
    waveform, rate = clip_audio(clip)
    assert pitch(waveform[0].numpy(), rate) == pytest.approx(HIGH, abs=20)
    assert pitch(voice.mono16k().numpy(), 16000) == pytest.approx(HIGH, abs=20)
    for codec in CODECS:
        writer = FrameWriter(
            tmp_path / "out",
            clip,
            options=WriterOptions(codec),
            pts=clip.pts,
            audio=clip_audio_track(clip),
        )
        with FrameReader(clip) as frames, writer:
            for frame in frames:
                writer.write(frame)
        assert pitch(load_audio(writer.path).mono16k().numpy(), 16000) == pytest.approx(HIGH, abs=20)
    assert is_browser_playable(path)
    assert pitch(load_audio(write_proxy(path, tmp_path / "proxy.mp4")).mono16k().numpy(), 16000) > 2000


def test_a_later_track_without_a_decoder_is_no_matter(film):
    clip = probe(without_decoder(film, 1))
    assert clip.notes == ()
    assert pitch(clip_audio(clip)[0][0].numpy(), 48000) == pytest.approx(LOW, abs=20)


def test_audio_that_nothing_decodes_is_a_sentence(film):
    path = without_decoder(film, 0, 1)
    clip = probe(path)
    assert clip.audio_codec is None
    with FrameReader(clip) as frames:
        assert sum(1 for _ in frames) == 12
    with pytest.raises(AudioError, match="no decoder here"):
        clip_audio(clip)
    with pytest.raises(AudioError, match="no decoder here"):
        load_audio(path)


def test_a_picture_that_nothing_decodes_is_a_sentence(film):
    path = without_decoder(film, picture=True)
    with pytest.raises(VideoError, match="video has no decoder here"):
        probe(path)
    assert load_audio(path).samples > 0


def two_pictures(folder: Path, *dispositions: str) -> Path:
    """A MKV with a small and a large video track, flagged as told."""
    small, large = make_clip(folder / "small.mp4", frames=6), make_clip(folder / "large.mp4", size=(96, 64), frames=9)
    args = ["-i", str(small), "-i", str(large), "-map", "0:v", "-map", "1:v", "-c", "copy"]
    for number, flags in enumerate(dispositions):
        args += [f"-disposition:v:{number}", flags]
    run_ffmpeg([*args, str(folder / "film.mkv")], error=VideoError, what="two video tracks")
    return folder / "film.mkv"


@pytest.mark.parametrize(
    ("dispositions", "size", "used", "left"),
    [
        (("0", "default"), (96, 64), "track 2 (h264, 96×64)", "1 (h264, 64×48)"),
        (("default", "0"), (64, 48), "track 1 (h264, 64×48)", "2 (h264, 96×64)"),
        (("0", "0"), (64, 48), "track 1 (h264, 64×48)", "2 (h264, 96×64)"),
    ],
)
def test_the_default_video_track_is_used_everywhere_and_a_note_names_the_other(
    tmp_path, dispositions, size, used, left
):
    clip = probe(two_pictures(tmp_path, *dispositions))
    assert (clip.width, clip.height) == size
    assert clip.notes == (Note(f"The file has 2 video tracks: {used} is used, not {left}.", NoteLevel.WARNING),)
    with FrameReader(clip) as frames:
        assert {(frame.width, frame.height) for frame in frames} == {size}
    proxy = probe(write_proxy(clip.identity.path, tmp_path / "proxy.mp4"))
    assert (proxy.width, proxy.height) == size


def test_cover_art_is_no_video_track(tmp_path):
    cover = make_clip(tmp_path / "cover.mp4", size=(32, 32), frames=1, encoder=("-c:v", "png"), pixel_format="rgb24")
    film = make_clip(tmp_path / "film.mp4", frames=6)
    args = ["-i", str(film), "-i", str(cover), "-map", "0:v", "-map", "1:v", "-c", "copy"]
    args += ["-disposition:v:0", "0", "-disposition:v:1", "attached_pic", str(tmp_path / "both.mp4")]
    run_ffmpeg(args, error=VideoError, what="cover art")
    clip = probe(tmp_path / "both.mp4")
    assert (clip.width, clip.frame_count, clip.notes) == (64, 6, ())

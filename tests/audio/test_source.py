"""Any sound is read as 16 kHz mono in a stream; the original stays as it was; what can't be used is named."""

from __future__ import annotations

import logging
import math
import sys
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync_core.audio import resample, wav
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError, OutputError
from latentsync_core.media.ffmpeg import run_ffmpeg
from tests.shared_reference import SHARED, needs_shared
from tests.slow_parameters import others_slow


class LazyAudio(Mapping):
    """A mapping that is no dict and makes its waveform only when asked, as some loaders send it."""

    def __init__(self, waveform: torch.Tensor, rate: int) -> None:
        self._values = {"waveform": lambda: waveform, "sample_rate": lambda: rate}

    def __getitem__(self, key: str) -> object:
        return self._values[key]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@pytest.fixture
def without_torchaudio(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    monkeypatch.setitem(sys.modules, "torchaudio.functional", None)
    resample._torchaudio_resample.cache_clear()
    yield
    resample._torchaudio_resample.cache_clear()


def test_a_16_bit_mono_file_at_16_khz_comes_sample_by_sample(tmp_path):
    samples = (noise(40000) * 9000).to(torch.int16)
    sound = load_audio(pcm_file(tmp_path / "voice.wav", samples[None], 16000))
    assert (sound.sample_rate, sound.channels, sound.samples) == (16000, 1, 40000)
    assert torch.equal(sound.mono16k(), samples.float() / 32768)


def test_blocks_have_the_length_asked_for_but_the_last():
    sound = load_audio(in_memory(noise(35000), 16000))
    assert [len(block) for block in sound.mono16k_blocks(10000)] == [10000, 10000, 10000, 5000]
    assert torch.equal(torch.cat(list(sound.mono16k_blocks(10000))), sound.mono16k())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_any_float_mapping_is_averaged_over_its_channels(dtype, channels):
    waveform = noise(channels, 5000).to(dtype)
    for given in (waveform, waveform[None]):
        sound = load_audio(LazyAudio(given, 16000))
        assert (sound.channels, sound.samples, sound.duration) == (channels, 5000, 5000 / 16000)
        assert torch.equal(sound.mono16k(), waveform.float().mean(dim=0))


@pytest.mark.parametrize(
    "rate",
    others_slow([8000, 11025, 22050, 24000, 32000, 44056, 44100, 48000, 96000], quick=(8000, 11025, 44100, 48000)),
)
def test_resampling_in_blocks_is_resampling_whole(rate):
    """Quick: test_resampling_in_blocks_is_resampling_whole, with rates below and above, that divide evenly or don't."""
    from torchaudio.functional import resample as whole

    signal = noise(int(rate * 23.7))
    expected = whole(
        signal,
        rate,
        16000,
        lowpass_filter_width=resample.ZERO_CROSSINGS,
        rolloff=resample.ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=resample.KAISER_BETA,
    )
    ours = load_audio(in_memory(signal, rate)).mono16k()
    assert len(ours) == math.ceil(signal.numel() * 16000 / rate)
    assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 44101])
def test_speech_frequencies_pass_unchanged_and_none_above_8_khz_folds_back(rate):
    for hertz in (100, 1000, 4000, 7000):
        assert level(tone(hertz, rate)) == pytest.approx(0.0, abs=0.05)  # dB
    for hertz in (8150, 9000, 10500):
        assert level(tone(hertz, rate)) < -80


def test_a_tone_keeps_its_time_when_resampled():
    sound = load_audio(in_memory(tone(440, 44100)["waveform"][0, 0], 44100)).mono16k()
    expected = torch.sin(2 * math.pi * 440 * torch.arange(len(sound), dtype=torch.float64) / 16000).float()
    assert (sound - expected)[500:-500].abs().max() < 2e-5


def test_without_torchaudio_ffmpeg_resamples_the_same_and_that_is_said_once(without_torchaudio, caplog):
    with caplog.at_level(logging.WARNING, "latentsync_core"):
        for hertz in (440, 3000):
            sound = load_audio(tone(hertz, 44100)).mono16k()
            expected = torch.sin(2 * math.pi * hertz * torch.arange(len(sound), dtype=torch.float64) / 16000).float()
            assert (sound - expected)[500:-500].abs().max() < 2e-5
        assert level(tone(8200, 44100)) < -60
    assert [record.message.startswith("torchaudio can't be used") for record in caplog.records] == [True]


def test_a_file_resampled_by_ffmpeg_has_every_sample(without_torchaudio, tmp_path):
    samples = (noise(2, 48000) * 9000).to(torch.int16)
    sound = load_audio(pcm_file(tmp_path / "voice.wav", samples, 48000))
    assert abs(len(sound.mono16k()) - 16000) <= 1


def test_the_track_for_the_mux_lies_in_the_given_file(tmp_path):
    path = pcm_file(tmp_path / "voice.wav", torch.ones(2, 100, dtype=torch.int16), 44100)
    assert load_audio(str(path)).as_track(tmp_path / "work").path == path


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6, 8])
def test_a_mapping_is_written_for_the_mux_without_loss_and_once(channels, tmp_path):
    waveform = noise(channels, 300000) * 3  # louder than full scale
    sound = load_audio(in_memory(waveform, 44100))
    path = sound.as_wav(tmp_path / "work")
    written = path.stat().st_mtime_ns

    again = load_audio(path)
    assert (again.sample_rate, again.channels, again.samples) == (44100, channels, 300000)
    assert torch.equal(torch.cat(list(again._blocks()), dim=1), waveform)
    assert sound.as_wav(tmp_path / "work") == path
    assert path.stat().st_mtime_ns == written
    assert [p.name for p in (tmp_path / "work").iterdir()] == [path.name]


def test_a_wave_file_over_4_gib_is_written_as_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(wav, "MAX_RIFF_BYTES", 1000)
    waveform = noise(2, 500)
    path = tmp_path / "long.wav"
    wav.write_float_wav(path, 48000, 2, 500, [waveform])
    data = path.read_bytes()
    assert data[:4] == b"RF64"
    # ffmpeg needs the real mark in the sizes that "ds64" replaces
    path.write_bytes(data.replace((1000).to_bytes(4, "little"), b"\xff\xff\xff\xff"))
    assert torch.equal(torch.cat(list(load_audio(path)._blocks()), dim=1), waveform)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="free some room there"):
        load_audio(in_memory(noise(10), 8000)).as_wav(tmp_path / "taken")


def test_the_digest_tells_content_from_content(tmp_path):
    a, b = noise(1000), noise(1000).neg()
    assert load_audio(in_memory(a, 16000)).digest == load_audio(in_memory(a.clone(), 16000)).digest
    others = (
        in_memory(b, 16000),
        in_memory(a, 16001),
        in_memory(a.reshape(2, 500), 16000),
        in_memory(a.double(), 16000),
    )
    assert len({load_audio(m).digest for m in (in_memory(a, 16000), *others)}) == 5
    one = pcm_file(tmp_path / "one.wav", torch.ones(1, 100, dtype=torch.int16), 16000)
    two = pcm_file(tmp_path / "two.wav", torch.ones(1, 100, dtype=torch.int16), 16000)
    assert load_audio(one).digest == load_audio(two).digest


def test_a_stream_that_starts_late_is_heard_late(tmp_path):
    voice = pcm_file(tmp_path / "voice.wav", (noise(16000) * 9000).to(torch.int16)[None], 16000)
    film = tmp_path / "film.mkv"
    picture = ["-f", "lavfi", "-i", "color=s=32x32:r=25:d=2"]
    late = ["-itsoffset", "0.5", "-i", str(voice)]
    run_ffmpeg([*picture, *late, "-c:a", "copy", str(film)], error=AudioError, what="No film")
    sound = load_audio(film).mono16k()
    assert len(sound) == 24000
    assert sound[:8000].abs().max() == 0
    assert torch.equal(sound[8000:], load_audio(voice).mono16k())


def test_a_steady_tone_is_not_taken_for_another_format(tmp_path):
    sound = load_audio(in_memory(tone(6500, 48000)["waveform"][0], 48000))  # its samples repeat like transport packets
    assert load_audio(sound.as_wav(tmp_path)).samples == sound.samples


def test_a_file_that_changed_since_is_refused(tmp_path):
    path = pcm_file(tmp_path / "voice.wav", torch.ones(1, 100, dtype=torch.int16), 16000)
    sound = load_audio(path)
    pcm_file(path, torch.ones(1, 200, dtype=torch.int16), 16000)
    with pytest.raises(AudioError, match="changed since it was loaded"):
        sound.mono16k()
    path.unlink()
    with pytest.raises(AudioError, match="There is no file"):
        sound.as_track(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "No sound was given"),
        (7, "int is no sound"),
        ({"waveform": torch.zeros(1, 1, 9)}, "no 'sample_rate'"),
        ({"waveform": [0.0], "sample_rate": 16000}, "list, not a float tensor"),
        ({"waveform": torch.zeros(1, 1, 9, dtype=torch.int16), "sample_rate": 16000}, "int16, not a float"),
        ({"waveform": torch.zeros(9), "sample_rate": 16000}, r"shape \(9,\)"),
        ({"waveform": torch.zeros(2, 1, 9), "sample_rate": 16000}, r"shape \(2, 1, 9\)"),
        ({"waveform": torch.zeros(1, 9, 9), "sample_rate": 16000}, r"shape \(1, 9, 9\)"),
        ({"waveform": torch.zeros(1, 1, 0), "sample_rate": 16000}, "holds no samples"),
        ({"waveform": torch.zeros(1, 1, 9), "sample_rate": 0}, "sample_rate is 0"),
        ({"waveform": torch.zeros(1, 1, 9), "sample_rate": -44100}, "sample_rate is -44100"),
        ({"waveform": torch.zeros(1, 1, 9), "sample_rate": 44100.5}, r"sample_rate is 44100\.5"),
        ({"waveform": torch.zeros(1, 1, 9), "sample_rate": "fast"}, "sample_rate is 'fast'"),
    ],
)
def test_what_is_no_sound_is_refused_with_the_value_seen(given, words):
    with pytest.raises(AudioError, match=words):
        load_audio(given)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_refused_with_its_time(bad, tmp_path):
    waveform = noise(2, 48000)
    waveform[1, 36000] = bad
    with pytest.raises(AudioError, match=r"The sound .* at 0\.750 s"):
        load_audio(in_memory(waveform, 48000))
    wav.write_float_wav(tmp_path / "bad.wav", 48000, 2, 48000, [waveform])
    with pytest.raises(AudioError, match=r"bad\.wav .* at 0\.750 s"):
        load_audio(tmp_path / "bad.wav")


def test_files_without_sound_are_refused(tmp_path):
    with pytest.raises(AudioError, match="There is no file"):
        load_audio(tmp_path / "absent.wav")
    with pytest.raises(AudioError, match="is a folder"):
        load_audio(tmp_path)
    empty = pcm_file(tmp_path / "empty.wav", torch.zeros(1, 0, dtype=torch.int16), 16000)
    with pytest.raises(AudioError, match="holds no samples"):
        load_audio(empty)
    (tmp_path / "notes.txt").write_text("no sound in here")
    with pytest.raises(AudioError, match=r"notes\.txt can.t be read as a sound"):
        load_audio(tmp_path / "notes.txt")
    (tmp_path / "torn.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    with pytest.raises(AudioError, match=r"torn\.wav can't be read as a sound"):
        load_audio(tmp_path / "torn.wav")
    crowd = pcm_file(tmp_path / "crowd.wav", torch.zeros(9, 100, dtype=torch.int16), 16000)
    with pytest.raises(AudioError, match="has 9 channels"):
        load_audio(crowd)
    silent = tmp_path / "silent.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", "color=s=32x32:d=0.2", str(silent)], error=AudioError, what="No film")
    with pytest.raises(AudioError, match="has no audio stream"):
        load_audio(silent)


@needs_shared
def test_a_films_own_sound_is_read_from_its_picture_file():
    sound = load_audio(SHARED / "media" / "demo1_video.mp4")
    assert (sound.sample_rate, sound.channels) == (44100, 2)
    assert sound.duration == pytest.approx(10.0, abs=0.05)
    assert len(sound.mono16k()) == math.ceil(sound.samples * 16000 / 44100)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(11)) * 0.2


def tone(hertz: float, rate: int) -> dict:
    time = torch.arange(rate * 2, dtype=torch.float64) / rate
    return in_memory(torch.sin(2 * math.pi * hertz * time).float(), rate)


def level(sound: Mapping) -> float:
    """Decibels of a tone after resampling, away from its ends, against a full-scale sine."""
    return 10 * math.log10(2 * float(load_audio(sound).mono16k()[3000:-3000].square().mean()) + 1e-15)


def in_memory(waveform: torch.Tensor, rate: int) -> dict:
    return {"waveform": waveform.reshape(1, -1, waveform.shape[-1]), "sample_rate": rate}


def pcm_file(path: Path, samples: torch.Tensor, rate: int) -> Path:
    """A 16-bit WAV of (channels, n) int16 samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(samples.T.numpy().astype("<i2")).tobytes())
    return path


def with_hole(path, seconds):
    """A second of a tone, silence that the file doesn't hold, a second of a tone."""
    tone = "sine=d=2:r=48000"
    gap = f"asetpts=PTS+gte(T\\,1)*{seconds}/TB"
    run_ffmpeg(["-f", "lavfi", "-i", tone, "-af", gap, "-c:a", "aac", str(path)], error=AudioError, what="A hole")
    return path


def test_a_hole_of_minutes_is_silence_and_one_of_hours_is_refused(tmp_path):
    """ffmpeg holds the silence of a hole at once, so a stamp that lies asks for any amount of memory."""
    sound = load_audio(with_hole(tmp_path / "minutes.mp4", 300))
    assert sound.duration == pytest.approx(302, abs=0.1)
    whole = sound.whole()[0]
    assert float(whole[: 48000 // 2].abs().max()) > 0.05
    assert float(whole[2 * 48000 : 300 * 48000].abs().max()) < 1e-3
    assert float(whole[-48000 // 2 :].abs().max()) > 0.05
    with pytest.raises(AudioError, match="hole of many minutes"):
        load_audio(with_hole(tmp_path / "hours.mp4", 5000))

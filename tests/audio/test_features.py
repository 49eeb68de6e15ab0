"""A voice's features are the same streamed as whole, end in silence, and are gathered for each frame by its time."""

from __future__ import annotations

import gc
import tempfile
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.audio import features as audio_features
from latentsync_core.audio.features import (
    AudioEmbedding,
    FeatureFile,
    WindowRule,
    embed_audio,
    frame_windows,
    keep_embedding,
    kept_embedding,
    window_centres,
)
from latentsync_core.audio.source import AudioSource, load_audio
from latentsync_core.errors import AudioError, OptionError, OutputError
from latentsync_core.models.whisper.encoder import WhisperEncoder
from latentsync_core.models.whisper.log_mel import log_mel, measure_peak, mel_filters, normalised_mel
from tests.shared_reference import SHARED, needs_shared
from tests.whisper_by_rule import openai_checkpoint

SECOND = 16000  # samples


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    return WhisperEncoder.from_openai(openai_checkpoint())


def voice(seconds: float, rate: int = SECOND) -> torch.Tensor:
    """Noise that swells and fades, loudest late, so that the recording's loudest value is not in its first segment."""
    count = round(seconds * rate)
    time = torch.arange(count) / rate
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, generator=generator) * 0.1 * (0.05 + time / seconds) * (1 + torch.sin(5 * time))


def source(seconds: float, rate: int = SECOND) -> AudioSource:
    return load_audio({"waveform": voice(seconds, rate)[None, None], "sample_rate": rate})


def with_tail(waveform: torch.Tensor) -> torch.Tensor:
    return torch.cat([waveform, torch.zeros(SECOND)])


def ramp(rows: int, levels: int = 2, width: int = 3) -> torch.Tensor:
    """Features whose every value tells its row, level and channel."""
    return torch.arange(rows * levels * width, dtype=torch.float32).reshape(rows, levels, width)


def embedding(features: torch.Tensor | FeatureFile) -> AudioEmbedding:
    return AudioEmbedding(features, features.shape[0] / 50, "digest", source(0.1))


@pytest.mark.parametrize("piece", [100, 160, 399, 4097, 16000])
def test_the_log_mel_is_the_same_in_pieces_of_any_size(piece):
    waveform = voice(3.03)
    blocks = waveform.split(piece)
    peak, frames = measure_peak(blocks)
    assert frames == len(waveform) // 160
    assert torch.allclose(torch.cat(list(normalised_mel(blocks, peak)), dim=1), log_mel(waveform), atol=1e-6)


def test_mel_filters_are_triangles_that_cover_the_band_with_equal_areas():
    filters = mel_filters(80)
    assert filters.shape == (80, 201)
    peaks = filters.argmax(dim=1)
    assert (peaks.diff() >= 0).all()
    assert (filters[:, 1:200].sum(dim=0) > 0).all()
    wide = filters[50:].sum(dim=1) * 40  # Hz per bin; narrow triangles have too few bins to tell their area
    assert torch.allclose(wide, torch.ones(30), atol=0.05)


def test_a_streamed_embedding_is_the_whole_recordings_features(encoder, monkeypatch):
    pieces = []
    segments = encoder.segments
    monkeypatch.setattr(encoder, "segments", lambda *args: (pieces.append(p) or p for p in segments(*args)))
    embedded = embed_audio(source(75.0), encoder)
    monkeypatch.undo()
    whole = encoder.features(with_tail(voice(75.0)))

    assert len(pieces) == 3
    assert (torch.cat(pieces) - whole).abs().max() <= 1e-5
    assert torch.equal(embedded.features, torch.cat(pieces).half())
    assert embedded.duration == 75.0


def test_sound_of_another_rate_is_embedded_as_its_16_khz_mono(encoder):
    sound = source(4.0, 44100)
    whole = encoder.features(with_tail(sound.mono16k()))
    assert torch.equal(embed_audio(sound, encoder).features, whole.half())


def test_even_a_single_sample_can_be_embedded(encoder):
    embedded = embed_audio(load_audio({"waveform": torch.ones(1, 1, 1), "sample_rate": 16000}), encoder)
    assert embedded.features.shape == (50, 3, 64)
    assert torch.isfinite(embedded.features).all()


def test_frames_after_the_voice_hear_silence_and_not_its_last_sound(encoder):
    embedded = embed_audio(source(2.0), encoder)
    end = embedded.window(np.array([2.0 - 0.04]))
    silence = embedded.window(np.array([3.0, 60.0]))
    assert torch.equal(silence[0, -3:], silence[1, -3:])  # the last row, from the end of the tail on
    assert (end[0, -3:] - silence[1, -3:]).abs().max() > 0.1
    pause = torch.cat([voice(2.0), torch.zeros(4 * SECOND)])
    row = encoder.features(pause)[2 * 50 + 45]  # inside a real pause after the same voice
    assert (silence[1, -3:] - row).abs().mean() < (end[0, -3:] - row).abs().mean()


def test_a_long_voice_lives_in_a_file_that_goes_with_it(encoder, monkeypatch):
    in_memory = embed_audio(source(33.0), encoder)
    monkeypatch.setattr(audio_features, "MAX_ROWS_IN_MEMORY", 1000)
    in_file = embed_audio(source(33.0), encoder)
    assert isinstance(in_file.features, FeatureFile)
    assert np.array_equal(np.load(in_file.features.path), in_memory.features.numpy())
    times = np.arange(-3, 36 * 25) / 25
    assert torch.equal(in_file.window(times), in_memory.window(times))

    folder = in_file.features.path.parent
    assert folder.is_dir()
    del in_file
    gc.collect()
    assert not folder.exists()


def test_features_in_a_given_folder_stay_there(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(audio_features, "MAX_ROWS_IN_MEMORY", 10)
    embedded = embed_audio(source(1.0), encoder, folder=tmp_path / "deep" / "work")
    path = embedded.features.path
    del embedded
    gc.collect()
    assert list((tmp_path / "deep" / "work").iterdir()) == [path]


def test_features_that_were_deleted_are_missed_by_name(tmp_path):
    np.save(tmp_path / "voice.npy", ramp(100).half().numpy())
    kept = embedding(FeatureFile(tmp_path / "voice.npy", (100, 2, 3)))
    assert torch.equal(kept.window(np.array([1.0])), embedding(ramp(100).half()).window(np.array([1.0])))
    (tmp_path / "voice.npy").unlink()
    with pytest.raises(AudioError, match=r"voice\.npy are gone"):
        kept.window(np.array([1.0]))


def test_a_sound_that_is_shorter_when_it_is_read_again_is_an_error(encoder, monkeypatch):
    read, readings = AudioSource.mono16k_blocks, []

    def shrinking(sound: AudioSource):
        readings.append(sound)
        return read(sound) if len(readings) == 1 else iter(())

    monkeypatch.setattr(AudioSource, "mono16k_blocks", shrinking)
    with pytest.raises(AudioError, match=r"rows of features instead of \d+: load it again"):
        embed_audio(source(2.0), encoder)


def test_progress_counts_segments_and_can_cancel_without_leaving_anything(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(audio_features, "MAX_ROWS_IN_MEMORY", 10)
    calls = []
    embed_audio(source(65.0), encoder, lambda done, total: calls.append((done, total)))
    assert set(calls[:4]) == {(0, 3)}
    assert calls[4:] == [(1, 3), (2, 3), (3, 3)]

    class Stop(BaseException):
        pass

    def stop_at(when: int):
        def report(done: int, total: int) -> None:
            if done == when:
                raise Stop

        return report

    for when in (0, 1):
        with pytest.raises(Stop):
            embed_audio(source(65.0), encoder, stop_at(when), tmp_path / "work")
    assert not list(tmp_path.rglob("*.*"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Stop) as held:  # what is held keeps the failed call's objects from being collected
        embed_audio(source(1.0), encoder, stop_at(1))
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert held.type is Stop


def test_a_folder_that_cannot_be_written_is_named(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(audio_features, "MAX_ROWS_IN_MEMORY", 10)
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="free some room there"):
        embed_audio(source(1.0), encoder, folder=tmp_path / "taken")


def test_the_digest_follows_sound_and_weights(encoder):
    other = openai_checkpoint()
    other["model_state_dict"]["encoder.conv1.bias"] += 1
    digests = [
        embed_audio(source(1.0), encoder).digest,
        embed_audio(source(1.1), encoder).digest,
        embed_audio(source(1.0), WhisperEncoder.from_openai(other)).digest,
    ]
    assert len(set(digests)) == 3
    assert embed_audio(source(1.0), encoder).digest == digests[0]


def test_a_window_holds_rows_4_before_to_5_after_in_order_of_time():
    features = ramp(200)
    window = embedding(features).window(np.array([1.0]))
    assert window.shape == (1, 20, 3)
    assert torch.equal(window[0].reshape(10, 2, 3), features[46:56])


def test_windows_beyond_either_end_repeat_the_nearest_row():
    features = ramp(30)
    windows = embedding(features).window(np.array([-1e12, -0.5, 0.0, 5.0, 1e12])).reshape(5, 10, 2, 3)
    assert torch.equal(windows[0], features[:1].expand(10, 2, 3))
    assert torch.equal(windows[1], windows[0])
    assert torch.equal(windows[2], features[[0, 0, 0, 0, 0, 1, 2, 3, 4, 5]])
    assert torch.equal(windows[3], features[-1:].expand(10, 2, 3))
    assert torch.equal(windows[4], windows[3])


def test_a_time_that_is_no_number_is_refused():
    with pytest.raises(OptionError, match="nan"):
        embedding(ramp(30)).window(np.array([0.0, np.nan]))


@given(
    fps=st.sampled_from([Fraction(25), Fraction(24), Fraction(30), Fraction(50), Fraction(60), Fraction(24000, 1001)]),
    start=st.integers(0, 200_000),
)
@settings(max_examples=60, deadline=None)
def test_windows_by_float_time_are_those_of_exact_time_two_hours_in(fps, start):
    frames = np.arange(start, start + 40)
    centres = np.floor(frames * (1 / float(fps)) * 50 + audio_features.ROW_TOLERANCE)
    assert centres.tolist() == [int(v * 50 / fps) for v in frames.tolist()]


@pytest.mark.parametrize("fps", [25, Fraction(24000, 1001), 30, 12.5, 60])
def test_the_video_rule_gives_the_frames_asked_for_at_their_times(fps):
    features = ramp(400)
    windows = frame_windows(features, fps, 90)
    times = [v / Fraction(fps) for v in range(90)]
    assert torch.equal(windows, embedding(features).window(np.array([float(t) for t in times])))
    assert window_centres(400, fps, None).size == -(-400 * Fraction(fps) // 50)


def test_the_reference_rule_gives_two_windows_more_than_the_sound_lasts():
    features = ramp(1500)
    assert len(frame_windows(features, 25, None, "reference")) == 752
    assert len(frame_windows(features, 25, None, WindowRule.VIDEO)) == 750
    assert torch.equal(frame_windows(features, 25, 10, "reference"), frame_windows(features, 25, 10))


@pytest.mark.parametrize(
    ("fps", "frames", "rule", "words"),
    [
        (0, 5, "video", "fps is 0"),
        (-25, None, "reference", "fps is -25"),
        (float("nan"), 5, "video", "fps is nan"),
        (25, 0, "video", "frames is 0"),
        (25, 5, "upstream", "rule is 'upstream'"),
    ],
)
def test_options_out_of_range_are_refused(fps, frames, rule, words):
    with pytest.raises(OptionError, match=words):
        frame_windows(ramp(10), fps, frames, rule)


def test_features_without_a_row_are_refused():
    with pytest.raises(AudioError, match="too short"):
        frame_windows(torch.zeros(0, 2, 3), 25, None, "reference")


@needs_shared
def test_a_real_voice_ends_in_rows_that_hear_one_and_the_same_silence(encoder):
    embedded = embed_audio(load_audio(SHARED / "media" / "demo1_audio.wav"), encoder)
    assert embedded.features.shape == (530, 3, 64)
    heard = embedded.features[:, 0].float() - encoder.encoder.embed_positions.weight[:530]
    assert heard[:480].std(dim=0).mean() > 0.1
    assert heard[485:528].std(dim=0).max() < 1e-3


def test_features_that_are_kept_are_the_same_and_made_once(encoder, tmp_path, monkeypatch):
    sound = source(1.0)
    made = embed_audio(sound, encoder)
    assert kept_embedding(sound, encoder, tmp_path) is None
    keep_embedding(sound, encoder, tmp_path)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(WhisperEncoder, "segments", None)  # nothing is embedded from here on
    keep_embedding(sound, encoder, tmp_path)
    kept = embed_audio(sound, encoder, kept=tmp_path)
    assert (kept.digest, kept.duration) == (made.digest, made.duration)
    times = np.arange(25) / 25
    assert torch.equal(kept.window(times), made.window(times))
    assert kept_embedding(source(1.1), encoder, tmp_path) is None  # another voice
    rows = np.load(file)
    np.save(file, rows[:50])  # of one second: the row after its end is missing
    assert kept_embedding(sound, encoder, tmp_path) is None
    np.save(file, rows)
    assert kept_embedding(sound, encoder, tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    assert kept_embedding(sound, encoder, tmp_path) is None

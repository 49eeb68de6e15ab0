"""Whisper's log-mel, features and windows agree with the reference's within its tolerances; indices exactly."""

from __future__ import annotations

import json
import wave
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync_core.audio.features import ROWS_AFTER, ROWS_BEFORE, frame_windows, window_centres
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError
from latentsync_core.models.whisper.encoder import WhisperEncoder
from latentsync_core.models.whisper.log_mel import log_mel, measure_peak
from tests.shared_reference import SHARED, needs_shared
from tests.whisper_by_rule import openai_checkpoint

DATA = Path(__file__).parent / "data" / "whisper.npz"
FULL = SHARED / "reference" / "whisper_tiny_cfg"
RATES = ("25", "24", "23.976", "30")
MEL_ATOL, FEATURE_ATOL = 1e-4, 2e-5


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(DATA))


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    return WhisperEncoder.from_openai(openai_checkpoint())


@pytest.fixture(scope="module")
def waveform(golden) -> torch.Tensor:
    return torch.from_numpy(golden["samples"].astype(np.float32) / 32768)


def test_log_mel_agrees_with_the_reference(golden, waveform):
    assert _distance(log_mel(waveform), golden["mel"]) <= MEL_ATOL


def test_features_agree_with_the_reference(golden, waveform, encoder):
    assert _distance(encoder.features(waveform), golden["features"]) <= FEATURE_ATOL


def test_the_final_norm_of_the_last_level_is_the_encoders_normal_output(golden, encoder):
    mel = torch.nn.functional.pad(torch.from_numpy(golden["mel"]), (0, 2700))
    last = encoder.encoder.layer_norm(encoder(mel[None])[0, ::10, -1])
    assert _distance(last, golden["ln_post"]) <= FEATURE_ATOL


@pytest.mark.parametrize("rate", RATES)
def test_windows_agree_with_the_reference(rate, golden, waveform, encoder):
    windows = frame_windows(encoder.features(waveform), float(rate), None, "reference")
    _check_windows(windows, golden, f"fps{rate}")


def test_window_indices_and_counts_are_the_references(golden):
    for rows, fps, count, checksum in golden["indices"]:
        index = _indices(int(rows), fps)
        assert (len(index), zlib.crc32(index.tobytes())) == (count, checksum)


def test_every_length_gives_the_references_frames_rows_and_windows(golden, encoder):
    for samples, frames, rows, *counts in golden["lengths"].tolist():
        silence = [torch.zeros(samples)]
        if frames < 0:
            with pytest.raises(AudioError):
                measure_peak(silence)
            continue
        assert measure_peak(silence)[1] == frames
        assert encoder.rows(frames) == rows
        for rate, count in zip(RATES, counts, strict=True):
            if count < 0:
                with pytest.raises(AudioError):
                    frame_windows(torch.zeros(rows, 3, 64), float(rate), None, "reference")
            else:
                assert len(window_centres(rows, float(rate), None, "reference")) == count


@needs_shared
@pytest.mark.parametrize("name", ["w3", "w30", "w37"])
def test_a_whole_recording_agrees_with_the_reference_at_every_rate(name):
    from safetensors.torch import load_file

    dims = json.loads((FULL / "whisper_tiny_cfg.json").read_text())["dims"]
    weights = load_file(FULL / "whisper_tiny_cfg.safetensors")
    encoder = WhisperEncoder.from_openai({"dims": dims, "model_state_dict": weights})
    golden = dict(np.load(FULL / f"{name}.npz"))
    waveform = load_audio(FULL / f"{name}.wav").mono16k()

    assert torch.equal(waveform, _samples(FULL / f"{name}.wav"))
    assert _distance(log_mel(waveform), golden["mel"]) <= MEL_ATOL
    features = encoder.features(waveform)
    assert _distance(features, golden["audio2feat"]) <= FEATURE_ATOL
    for rate in RATES:
        assert np.array_equal(_indices(len(features), float(rate)), golden[f"fps{rate}.indices"])
        _check_windows(frame_windows(features, float(rate), None, "reference"), golden, f"fps{rate}")


@needs_shared
def test_the_rules_weights_are_the_references():
    from safetensors.torch import load_file

    for key, tensor in load_file(FULL / "whisper_tiny_cfg.safetensors").items():
        if key.startswith("encoder."):
            assert _distance(openai_checkpoint()["model_state_dict"][key], tensor.numpy()) <= 1e-6, key


def _indices(rows: int, fps: float) -> np.ndarray:
    centres = window_centres(rows, fps, None, "reference")
    return np.clip(centres[:, None] + np.arange(-ROWS_BEFORE, ROWS_AFTER), 0, rows - 1).astype("<i4")


def _check_windows(windows: torch.Tensor, golden: dict[str, np.ndarray], tag: str) -> None:
    assert _distance(windows[golden[f"{tag}.full_ids"]], golden[f"{tag}.full"]) <= FEATURE_ATOL
    sums = torch.stack([windows.double().sum((1, 2)), windows.double().abs().sum((1, 2))], dim=1)
    assert _distance(sums, golden[f"{tag}.checksums"]) <= FEATURE_ATOL * windows[0].numel()


def _samples(path: Path) -> torch.Tensor:
    with wave.open(str(path)) as file:
        return torch.from_numpy(np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768)


def _distance(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert tuple(ours.shape) == theirs.shape
    return float((ours - torch.from_numpy(theirs)).abs().max())

"""A job resumes only from patches that it would sample again as they are."""

from __future__ import annotations

import dataclasses

import pytest

from latentsync_core.audio.features import AudioEmbedding, embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.noise_schedule import NoiseSchedule, PredictionType
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions
from latentsync_core.video.reading.probing import probe
from tests.made_faces import made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FRAMES = 3


@pytest.fixture(scope="module")
def job() -> tuple[LatentSyncModel, FaceTracks, AudioEmbedding]:
    model = untrained_model(resolution=64)
    clip = probe(SCENE).subclip(0, FRAMES)
    faces = made_faces(clip, [make_track(0, 0, FRAMES, box=(400, 100, 560, 280))])
    return model, faces, embed_audio(load_audio(VOICE), model.whisper)


def sampled_windows(job, folder, seed: int = 1) -> int:
    """Runs the job, which is one window long, and counts the windows that weren't in the folder yet."""
    previews = []
    options = SamplerOptions(steps=1, cfg=1.0, seed=seed)
    with sample(*job, options, folder=folder, on_preview=previews.append).patches as patches:
        assert patches.finished.all()
    return len(previews)


def test_the_same_job_resumes_and_another_one_does_not(job, tmp_path):
    assert sampled_windows(job, tmp_path) == 1
    assert sampled_windows(job, tmp_path) == 0
    assert sampled_windows(job, tmp_path, seed=2) == 1


def test_another_noise_schedule_resumes_nothing(job, tmp_path):
    model, *rest = job
    assert sampled_windows(job, tmp_path) == 1
    other = dataclasses.replace(model, schedule=NoiseSchedule(prediction_type=PredictionType.V))
    assert sampled_windows((other, *rest), tmp_path) == 1
    assert sampled_windows((other, *rest), tmp_path) == 0


def test_another_edition_resumes_nothing_and_keeps_what_is_there(job, tmp_path, monkeypatch):
    assert sampled_windows(job, tmp_path) == 1
    monkeypatch.setattr("latentsync_core.sampling.sampler.CACHE_VERSION", "another")
    assert sampled_windows(job, tmp_path) == 1
    assert sampled_windows(job, tmp_path) == 0
    monkeypatch.undo()
    assert sampled_windows(job, tmp_path) == 0

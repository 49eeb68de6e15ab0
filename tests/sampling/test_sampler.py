"""A job resumes only from patches that it would sample again as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from latentsync_core.audio.features import AudioEmbedding, embed_audio
from latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from latentsync_core.audio.source import load_audio
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.noise_schedule import NoiseSchedule, PredictionType
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions, Scheduler, WindowOptions
from latentsync_core.sampling.timeline import LengthRule
from latentsync_core.video.reading.probing import probe
from tests.clips import make_sound
from tests.made_faces import SCENE_BOX, made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FRAMES = 3


@pytest.fixture(scope="module")
def job() -> tuple[LatentSyncModel, FaceTracks, AudioEmbedding]:
    model = untrained_model(resolution=64)
    clip = probe(SCENE).subclip(0, FRAMES)
    faces = made_faces(clip, [make_track(0, 0, FRAMES, box=SCENE_BOX)])
    return model, faces, embed_audio(load_audio(VOICE), model.whisper)


@pytest.fixture(scope="module")
def plain_folder(job, tmp_path_factory) -> Path:
    """Where the job was sampled once; jobs of other options keep theirs beside it."""
    folder = tmp_path_factory.mktemp("plain")
    assert sampled_windows(job, folder) == 1
    return folder


def sampled_windows(job, folder, length=LengthRule.VIDEO, seconds=None, pauses=None, **options) -> int:
    """Runs the job, which is one window long, and counts the windows that weren't in the folder yet."""
    previews = []
    options = SamplerOptions(**{"steps": 1, "cfg": 1.0, "seed": 1, **options})
    with sample(*job, options, length, folder, seconds, previews.append, pauses=pauses).patches as patches:
        assert patches.finished.all()
    return len(previews)


def test_the_same_job_resumes_and_another_one_does_not(job, tmp_path):
    assert sampled_windows(job, tmp_path) == 1
    assert sampled_windows(job, tmp_path) == 0
    assert sampled_windows(job, tmp_path, seed=2) == 1


def test_another_noise_schedule_resumes_nothing(job, plain_folder):
    model, *rest = job
    other = dataclasses.replace(model, schedule=NoiseSchedule(prediction_type=PredictionType.V))
    assert sampled_windows((other, *rest), plain_folder) == 1
    assert sampled_windows((other, *rest), plain_folder) == 0


def test_another_edition_resumes_nothing_and_keeps_what_is_there(job, tmp_path, monkeypatch):
    assert sampled_windows(job, tmp_path) == 1
    monkeypatch.setattr("latentsync_core.sampling.sampler.CACHE_VERSION", "another")
    assert sampled_windows(job, tmp_path) == 1
    assert sampled_windows(job, tmp_path) == 0
    monkeypatch.undo()
    assert sampled_windows(job, tmp_path) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"cfg": 1.5},
        {"noise_sharing": 0.25},
        {"scheduler": Scheduler.UNIPC},
        {"cfg_end": 0.5},
        {"cfg_rescale": 0.5},
        {"reuse_interval": 2},
        {"reuse_change": 0.1},
        {"length": LengthRule.HOLD, "seconds": 0.16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_option_resumes_nothing(job, plain_folder, change):
    assert sampled_windows(job, plain_folder, **change) >= 1
    assert sampled_windows(job, plain_folder, **change) == 0


def test_windows_that_are_sampled_together_are_the_same_patches(job, plain_folder):
    assert sampled_windows(job, plain_folder, window_batch=4) == 0


def test_closed_pauses_are_other_patches_and_filmed_ones_the_same(job, plain_folder):
    """The scene's first frames lie before the voice's first word: all of them are a pause."""
    closed, filmed = (PauseOptions(one) for one in (PauseBehaviour.CLOSED, PauseBehaviour.ORIGINAL))
    assert sampled_windows(job, plain_folder, pauses=filmed) == 0
    assert sampled_windows(job, plain_folder, pauses=closed) == 1
    assert sampled_windows(job, plain_folder, pauses=closed) == 0
    with sample(*job, SamplerOptions(steps=1, cfg=1.0, seed=1), folder=plain_folder, pauses=filmed).patches as patches:
        assert patches.finished.all()


def test_where_the_voice_pauses_the_filmed_mouth_shows_and_a_silenced_one_is_drawn(job):
    options = SamplerOptions(steps=1, cfg=1.0)
    blends = {}
    for behaviour in PauseBehaviour:
        synced = sample(*job, options, pauses=PauseOptions(behaviour))
        with synced.patches:
            blends[behaviour] = synced.blend.tolist()
            assert synced.audio is job[2]
            assert synced.speech is None if behaviour is PauseBehaviour.MODEL else synced.speech.max() == 0
    assert blends == {
        PauseBehaviour.MODEL: [1, 1, 1], PauseBehaviour.CLOSED: [1, 1, 1], PauseBehaviour.ORIGINAL: [0, 0, 0]
    }  # fmt: skip


def test_another_model_clip_face_or_voice_resumes_nothing(job, tmp_path):
    model, faces, voice = job
    other_voice = embed_audio(load_audio(make_sound(tmp_path / "tone.wav")), model.whisper)
    later = made_faces(probe(SCENE).subclip(1, 1 + FRAMES), [make_track(0, 0, FRAMES, box=SCENE_BOX)])
    moved = made_faces(faces.clip, [make_track(0, 0, FRAMES, box=(552, 204, 831, 499))])
    other_person = made_faces(faces.clip, [make_track(0, 0, FRAMES, box=SCENE_BOX, person=1)])
    other_pictures = made_faces(probe_copy(tmp_path), [make_track(0, 0, FRAMES, box=SCENE_BOX)])
    jobs = {
        "the job": job,
        "another model": (dataclasses.replace(model, digest="another"), faces, voice),
        "another voice": (model, faces, other_voice),
        "later frames": (model, later, voice),
        "a moved face": (model, moved, voice),
        "another person": (model, other_person, voice),
        "another file": (model, other_pictures, voice),
    }
    assert {name: sampled_windows(one, tmp_path) for name, one in jobs.items()} == dict.fromkeys(jobs, 1)
    assert {name: sampled_windows(one, tmp_path) for name, one in jobs.items()} == dict.fromkeys(jobs, 0)


def probe_copy(folder):
    """The scene's first frames in a file with another content."""
    copy = folder / "copy.mp4"
    copy.write_bytes(SCENE.read_bytes() + bytes(8))  # a reader ignores what lies after the last box
    return probe(copy).subclip(0, FRAMES)


def test_two_persons_share_no_noise(job):
    """One face, drawn once as person 0 and once as person 1: all that differs is the noise."""
    model, faces, voice = job
    drawn = []
    for person in (0, 1):
        one = made_faces(faces.clip, [make_track(0, 0, FRAMES, box=SCENE_BOX, person=person)])
        with sample(model, one, voice, SamplerOptions(steps=1, cfg=1.0)).patches as patches:
            drawn.append(patches.get(range(FRAMES)))
    spread = drawn[0].std()
    assert (drawn[0] - drawn[1]).flatten(1).std(1).min() > 0.1 * spread


class _StopError(Exception):
    """What a user's cancel looks like to the sampler."""


def test_a_resumed_job_keeps_the_frames_that_two_windows_were_blended_in(job, tmp_path):
    """Of windows 0-1, 1-2, 2-3 the first two are drawn; the second is drawn again alone, for frame 2."""
    model, _, voice = job
    clip = probe(SCENE).subclip(0, 4)
    faces = made_faces(clip, [make_track(0, 0, 4, box=SCENE_BOX)])
    options = SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=2, overlap=1))

    def stop_in_the_third_window(done: int, total: int) -> None:
        if done == 3:
            raise _StopError

    with pytest.raises(_StopError):
        sample(model, faces, voice, options, folder=tmp_path, on_progress=stop_in_the_third_window)
    previews = []
    with (
        sample(model, faces, voice, options, folder=tmp_path, on_preview=previews.append).patches as resumed,
        sample(model, faces, voice, options).patches as undisturbed,
    ):
        assert torch.equal(resumed.get(range(4)), undisturbed.get(range(4)))
    assert len(previews) == 2

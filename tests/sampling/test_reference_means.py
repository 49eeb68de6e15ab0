"""Averaged reference mouths: which frames are averaged, and what a model that was trained on them sees."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.reference_mouth import ReferenceMouth, replace_mouth
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.reference_means import ReferenceMeans, averaged_frames
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sampling.windows import Window
from latentsync_core.video.reading.probing import probe
from tests.made_faces import SCENE_BOX, made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FRAMES = 6
TWO_FRAMES = SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=2))


@pytest.mark.parametrize(
    ("window", "run", "first", "last"),
    [
        (Window(100, 116), (0, 300), 72, 144),  # 75 frames around it, every third from the run's first on
        (Window(0, 16), (0, 300), 0, 72),  # the run's beginning: further on
        (Window(284, 300), (0, 300), 225, 297),  # its end: further back
        (Window(40, 56), (31, 61), 31, 58),  # a short shot: all of it
        (Window(5, 6), (5, 6), 5, 5),
    ],
)
def test_the_frames_averaged_lie_around_the_window_within_its_shot(window, run, first, last):
    averaged = averaged_frames(window, run)
    assert (averaged[0], averaged[-1], averaged.step) == (first, last, 3)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 74, 75, 76, 400])
def test_every_window_of_every_run_has_frames_to_average_and_none_outside(length):
    run = (7, 7 + length)
    for start in range(*run):
        averaged = averaged_frames(Window(start, min(start + 16, run[1])), run)
        assert averaged
        assert run[0] <= averaged[0] <= averaged[-1] < run[1]
        assert (averaged[0] - run[0]) % 3 == 0


def test_each_frame_is_encoded_once_and_the_mean_is_that_of_the_frames_around():
    encoded = []

    def encode(crop):
        encoded.append(round(crop.mean().item()))
        return crop[:, :1].expand(1, 4, 2, 2)

    means = ReferenceMeans([(0, 90)], encode)
    for start in range(0, 90, 10):
        window = Window(start, start + 10)
        crops = {frame: torch.full((3, 2, 2), (frame + 1) / 2) for frame in means.needed_frames(window)}
        mean = means.around(window, crops)
        assert mean.shape == (4, 2, 2)
        averaged = averaged_frames(window, (0, 90))
        assert mean[0, 0, 0] == pytest.approx(sum(averaged) / len(averaged))
    assert encoded == list(range(0, 90, 3))


def test_lips_and_chin_are_the_means_and_eyes_and_ears_are_the_frames_own():
    reference, mean = torch.zeros(2, 4, 16, 16), torch.ones(4, 16, 16)
    seen = replace_mouth(reference, mean)
    assert (seen[:, :, 10:14, 6:10] == 1).all()
    assert (seen[:, :, :8] == 0).all()
    assert (seen[:, :, :, :3] == 0).all()
    assert (seen[:, :, :, 13:] == 0).all()
    assert ((seen > 0) & (seen < 1)).any()  # with a soft edge
    torch.testing.assert_close(seen, seen.flip(-1))


@pytest.fixture(scope="module")
def job():
    model = untrained_model(resolution=64)
    faces = made_faces(probe(SCENE).subclip(0, FRAMES), [make_track(0, 0, FRAMES, box=SCENE_BOX)])
    return model, faces, embed_audio(load_audio(VOICE), model.whisper)


def seen_references(job, reference_mouth) -> torch.Tensor:
    """(FRAMES, 4, 8, 8): the reference latents that the U-Net gets while it draws."""
    model, *rest = job
    seen = []
    hook = model.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 9:13].transpose(0, 1)))
    try:
        model = dataclasses.replace(model, reference_mouth=reference_mouth)
        sample(model, *rest, TWO_FRAMES).patches.close()
    finally:
        hook.remove()
    return torch.cat(seen)


def test_a_model_sees_the_mouth_of_its_reference_frames_as_it_was_trained_to(job):
    filmed, averaged = (seen_references(job, mouth) for mouth in (ReferenceMouth.FILMED, ReferenceMouth.AVERAGED))
    mouth = (..., slice(5, 7), slice(3, 5))
    assert filmed[mouth].std(0).min() > 0
    assert averaged[mouth].std(0).max() < 1e-6
    torch.testing.assert_close(averaged[mouth], filmed[::3].mean(0).expand_as(filmed)[mouth], rtol=1e-4, atol=1e-5)
    assert torch.equal(averaged[..., :4, :], filmed[..., :4, :])


class _StopError(Exception):
    """What a user's cancel looks like to the sampler."""


def test_a_resumed_job_averages_the_frames_before_it_too(job, tmp_path):
    model, *rest = job
    averaging = (dataclasses.replace(model, reference_mouth=ReferenceMouth.AVERAGED), *rest)

    def stop_in_the_third_window(done: int, total: int) -> None:
        if done == 3:
            raise _StopError

    with pytest.raises(_StopError):
        sample(*averaging, TWO_FRAMES, folder=tmp_path, on_progress=stop_in_the_third_window)
    previews = []
    with (
        sample(*averaging, TWO_FRAMES, folder=tmp_path, on_preview=previews.append).patches as resumed,
        sample(*averaging, TWO_FRAMES).patches as undisturbed,
        sample(*job, TWO_FRAMES, folder=tmp_path).patches as filmed,
    ):
        assert torch.equal(resumed.get(range(FRAMES)), undisturbed.get(range(FRAMES)))
        assert not torch.equal(resumed.get(range(FRAMES)), filmed.get(range(FRAMES)))
    assert len(previews) == 1

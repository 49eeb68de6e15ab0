"""Windows are sampled together, and their frames encoded once, without a change in what they come to."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.faces.alignment.align import crop_face
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sampling.timeline import LengthRule
from latentsync_core.sampling.window_inputs import FrameLatents, WindowInputs, in_batches
from latentsync_core.sampling.windows import Window
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.made_faces import SCENE_BOX, made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FRAMES = 7
OPTIONS = {"steps": 2, "cfg": 1.5, "windows": WindowOptions(frames=3, overlap=1)}  # windows 0-2, 2-4, 4-6


@pytest.fixture(scope="module")
def job():
    model = untrained_model(resolution=64, device="cpu")
    model.unet.double()  # random weights carry float32's rounding on through all steps
    faces = made_faces(probe(SCENE).subclip(0, FRAMES), [make_track(0, 0, FRAMES, box=SCENE_BOX)])
    return model, faces, embed_audio(load_audio(VOICE), model.whisper)


def drawn(job, folder=None, on_progress=None, **options) -> torch.Tensor:
    """The job's latents, (7, 4, 8, 8)."""
    with sample(*job, SamplerOptions(**OPTIONS | options), folder=folder, on_progress=on_progress).patches as patches:
        return patches.get(range(FRAMES))


@pytest.fixture(scope="module")
def in_turn(job) -> torch.Tensor:
    return drawn(job)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_windows_that_are_sampled_together_come_to_the_same(job, in_turn, count):
    seen = []
    together = drawn(job, on_progress=lambda done, total: seen.append((done, total)), window_batch=count)
    torch.testing.assert_close(together, in_turn, rtol=2e-3, atol=2e-3)  # patches are kept in half precision
    expected = [2, 4, 5, 6] if count == 2 else [3, 6]
    assert seen == [(done, 6) for done in expected]


class _StopError(Exception):
    """What a user's cancel looks like to the sampler."""


def test_a_job_that_was_stopped_between_batches_resumes_to_the_same(job, in_turn, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 5:
            raise _StopError

    with pytest.raises(_StopError):
        drawn(job, tmp_path, stop, window_batch=2)
    seen = []
    resumed = drawn(job, tmp_path, lambda done, total: seen.append(done))
    assert seen[0] == 2, "the first window is ready; the second waits for the third, with which it shares a frame"
    torch.testing.assert_close(resumed, in_turn, rtol=2e-3, atol=2e-3)


def test_crops_that_are_cut_ahead_are_the_same_and_their_thread_ends(job, in_turn, monkeypatch):
    monkeypatch.setattr("latentsync_core.sampling.sampler.CUT_IN_TURN", ())
    assert torch.equal(drawn(job), in_turn)

    def stop(done: int, total: int) -> None:
        assert "crops ahead" in [thread.name for thread in threading.enumerate()]
        raise _StopError

    with pytest.raises(_StopError):
        drawn(job, on_progress=stop)
    assert "crops ahead" not in [thread.name for thread in threading.enumerate()]


def test_every_source_frame_is_encoded_once(job, monkeypatch):
    """Nine output frames in four windows show seven frames; the last of them is held for three."""
    model, faces, voice = job
    encoded = []
    encode = model.codec.encode
    monkeypatch.setattr(model.codec, "encode", lambda images, noise=None: encoded.append(len(images)) or encode(images))
    options = SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=3, overlap=1))
    seconds = 9 / float(faces.clip.fps)
    sample(model, faces, voice, options, LengthRule.HOLD, seconds=seconds).patches.close()
    assert sum(encoded) == 2 * FRAMES


def test_latents_are_kept_for_the_next_window_alone():
    asked = []

    def encode(crops: torch.Tensor) -> torch.Tensor:
        asked.append(crops[:, 0, 0, 0].tolist())
        return crops.mean((2, 3), keepdim=True)

    windows = [[4, 5, 6, 6], [6, 7], [5]]
    latents = FrameLatents(encode, torch.zeros(4, 4), windows)
    for number, frames in enumerate(windows):
        pixels = torch.stack([torch.full((3, 4, 4), float(frame)) for frame in frames])
        masked, whole = latents.of_window(number, pixels)
        assert whole[:, 0, 0, 0].tolist() == frames
        assert masked.abs().max() == 0
    assert asked == [[0, 0], [4, 5], [0], [6], [0], [7], [0], [5]]


def test_a_batch_holds_windows_of_one_length_and_none_is_made_early():
    made = []

    def windows():
        for start, stop in ((0, 3), (3, 6), (6, 9), (9, 11), (11, 14)):
            made.append(start)
            yield WindowInputs(Window(start, stop), stop, *[torch.empty(0)] * 5)

    batches = in_batches(windows(), 2)
    assert [one.window.start for one in next(batches)] == [0, 3]
    assert made == [0, 3]
    assert [[one.window.start for one in batch] for batch in batches] == [[6], [9], [11]]


def test_a_crop_is_cut_on_the_device_that_is_asked_for():
    """On PyTorch's meta device, which any tensor of the CPU's would stop."""
    with FrameReader(probe(SCENE)) as frames:
        frame = next(iter(frames))
    for shift in (0, 10_000):  # the second lies beyond the frame
        crop = crop_face(frame, np.array([[1, 0, -400 + shift], [0, 1, -100]], np.float32), 64, device="meta")
        assert (crop.device.type, crop.shape) == ("meta", (3, 64, 64))

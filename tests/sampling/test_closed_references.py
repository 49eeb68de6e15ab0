"""References with a closed mouth: which frame each one comes from, and what the network then sees."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import OptionError
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.reference_mouth import ReferenceMouth
from latentsync_core.pipeline import sample
from latentsync_core.runs import runs_where
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.closed_references import MAX_TURN, REACH, ClosedReferences, closed_frames
from latentsync_core.sampling.sampler_options import ReferenceChoice, SamplerOptions, WindowOptions
from latentsync_core.sampling.timeline import LengthRule
from latentsync_core.sampling.windows import Window
from latentsync_core.video.reading.probing import probe
from tests.made_faces import made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FPS = 25
FIRST, FRAMES = 12, 6  # of the sample scene: her lips part in its 13th frame
BOX = (544, 209, 828, 524)  # her face there
TWO_FRAMES = SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=2))
CLOSED = dataclasses.replace(TWO_FRAMES, reference_mouth=ReferenceChoice.CLOSED)


def chosen_of(openings, turns=None, runs=None) -> np.ndarray:
    openings = np.asarray(openings, float)
    turns = np.zeros((len(openings), 2)) if turns is None else np.column_stack([turns, np.zeros(len(turns))])
    return closed_frames(openings, turns, np.arange(len(openings)) / FPS, runs or [(0, len(openings))])


def test_the_nearest_closed_mouth_is_chosen_and_a_closed_one_is_its_own():
    assert chosen_of([0.01, 0.1, 0.2, 0.1, 0.02, 0.15]).tolist() == [0, 0, 0, 4, 4, 4]


def test_a_mouth_that_stays_as_it_is_is_its_own_reference():
    assert chosen_of([0.1] * 5).tolist() == [0, 1, 2, 3, 4]


def test_no_reference_comes_from_another_shot():
    openings = [0.1, 0.2, 0.0, 0.0, 0.2, 0.1]
    assert chosen_of(openings, runs=[(0, 2), (2, 6)]).tolist() == [0, 0, 2, 3, 3, 3]
    assert chosen_of(openings, runs=[(0, 2)])[2:].tolist() == [2, 3, 4, 5], "frames without a face are their own"


def test_a_head_turned_another_way_is_no_reference():
    openings, yaw = [0.0, 0.2, 0.2, 0.3, 0.01], [2 * MAX_TURN, 0, 0, 0, 0.9 * MAX_TURN]
    assert chosen_of(openings, yaw).tolist() == [0, 4, 4, 4, 4]
    assert chosen_of(openings[:4], yaw[:4]).tolist() == [0, 1, 1, 1], "where none is closed, the one open least"


def test_what_lies_too_far_off_is_no_reference():
    count = 3 * round(REACH * FPS)
    openings = np.full(count, 0.2)
    openings[0] = 0.0
    openings[-30:] = 0.1
    chosen = chosen_of(openings)
    assert (np.abs(chosen - np.arange(count)) <= REACH * FPS).all()
    assert chosen[100] == 0
    assert chosen[round(REACH * FPS) + 1 :].min() > 0


@pytest.mark.parametrize("openings", [[np.nan] * 3, [np.nan, 0.1, np.nan]], ids=["unknown", "hardly known"])
def test_hidden_mouths_are_never_references_unless_all_are(openings):
    known = np.flatnonzero(np.isfinite(openings))
    assert chosen_of(openings).tolist() == ([1, 1, 1] if len(known) else [0, 1, 2])


def test_each_reference_is_encoded_once_in_order_and_dropped_after_its_last_use():
    chosen = np.array([3, 3, 3, 3, 1, 1, 7, 7, 7, 2])
    cut = []

    def crops_of(frames):
        cut.append(list(frames))
        return {frame: torch.full((3, 2, 2), (frame + 1) / 2) for frame in frames}

    references = ClosedReferences(chosen, crops_of, lambda crop: crop[:, :1].expand(1, 4, 2, 2))
    for start in range(0, 10, 2):
        latents = references.of_window(Window(start, start + 2))
        assert latents.shape == (2, 4, 2, 2)
        assert latents[:, 0, 0, 0].tolist() == chosen[start : start + 2].tolist()
    assert cut == [[1, 2, 3], [7]]


def test_a_run_that_skips_windows_encodes_only_what_the_rest_needs():
    cut = []

    def crops_of(frames):
        cut.extend(frames)
        return {frame: torch.zeros(3, 2, 2) for frame in frames}

    references = ClosedReferences(np.array([0, 0, 1, 5, 5, 5]), crops_of, lambda crop: torch.zeros(1, 4, 2, 2))
    references.of_window(Window(3, 6))
    assert cut == [5]


@pytest.fixture(scope="module")
def job():
    model = untrained_model(resolution=64)
    return model, marked_faces(FRAMES), embed_audio(load_audio(VOICE), model.whisper)


def marked_faces(frames: int):
    """Her face in so many frames, its mouth's opening unknown as that of a face that is marked by hand."""
    track = make_track(0, 0, frames, box=BOX, opening=np.nan)
    return made_faces(probe(SCENE).subclip(FIRST, FIRST + frames), [track])


@pytest.fixture(scope="module")
def filmed_inputs(job) -> torch.Tensor:
    """What the U-Net sees of references as they were filmed."""
    return seen_inputs(job)


def seen_inputs(job, options=TWO_FRAMES, length=LengthRule.VIDEO, seconds=None) -> torch.Tensor:
    """(F, 13, 8, 8): what the U-Net gets while it draws, in its first step."""
    seen = []
    hook = job[0].unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0].transpose(0, 1)))
    try:
        sample(*job, options, length, seconds=seconds).patches.close()
    finally:
        hook.remove()
    return torch.cat(seen)


def references_of(*args, **kwargs) -> torch.Tensor:
    return seen_inputs(*args, **kwargs)[:, 9:13]


def test_lips_and_chin_are_those_of_a_frame_whose_mouth_is_closed_and_the_rest_is_the_frames_own(job, filmed_inputs):
    filmed, closed = filmed_inputs[:, 9:13], references_of(job, CLOSED)
    assert torch.equal(closed[..., :4, :], filmed[..., :4, :])
    mouth = (..., slice(5, 7), slice(3, 5))
    match = (closed[mouth][:, None] - filmed[mouth][None]).abs().amax((2, 3, 4)) < 1e-3  # (F, F)
    assert match.any(1).all()
    sources = match.float().argmax(1)
    assert (sources != torch.arange(FRAMES)).any()
    assert (sources[1:] >= sources[:-1]).all()


def test_added_frames_have_references_too(job):
    closed = references_of(job, CLOSED, length=LengthRule.PING_PONG, seconds=2 * FRAMES / FPS)
    assert len(closed) == 2 * FRAMES
    assert torch.isfinite(closed).all()


def test_a_choice_overrides_how_the_model_was_trained(job, filmed_inputs):
    model, *rest = job
    averaging = (dataclasses.replace(model, reference_mouth=ReferenceMouth.AVERAGED), *rest)
    averaged = references_of(averaging)
    for chosen_for, choice, like in (
        (averaging, ReferenceChoice.FILMED, filmed_inputs[:, 9:13]),
        (averaging, ReferenceChoice.MODEL, averaged),
        (job, ReferenceChoice.AVERAGED, averaged),
    ):
        options = dataclasses.replace(TWO_FRAMES, reference_mouth=choice)
        assert torch.equal(references_of(chosen_for, options), like)


def test_a_grown_mask_hides_more_of_the_filmed_face_and_the_network_is_told(job, filmed_inputs):
    plain, grown = filmed_inputs, seen_inputs(job, dataclasses.replace(TWO_FRAMES, mask_grow=10.0))
    kept = [inputs[0, 4] for inputs in (plain, grown)]
    assert kept[1].sum() < kept[0].sum()
    assert (kept[1] <= kept[0]).all()
    assert not torch.equal(plain[:, 5:9], grown[:, 5:9])
    assert torch.equal(plain[:, 9:], grown[:, 9:])


@pytest.mark.parametrize("grow", [-1.0, 21.0, float("nan")])
def test_a_mask_that_shrinks_or_hides_all_is_refused(grow):
    with pytest.raises(OptionError, match="mouth mask grows by"):
        SamplerOptions(mask_grow=grow)


class _StopError(Exception):
    """What a user's cancel looks like to the sampler."""


def test_a_resumed_job_comes_to_the_same_bits(job, tmp_path):
    def stop_in_the_third_window(done: int, _total: int) -> None:
        if done == 3:
            raise _StopError

    with pytest.raises(_StopError):
        sample(*job, CLOSED, folder=tmp_path, on_progress=stop_in_the_third_window)
    previews = []
    with (
        sample(*job, CLOSED, folder=tmp_path, on_preview=previews.append).patches as resumed,
        sample(*job, CLOSED).patches as undisturbed,
    ):
        assert torch.equal(resumed.get(range(FRAMES)), undisturbed.get(range(FRAMES)))
    assert len(previews) == 1


def test_it_can_be_cancelled_while_mouths_are_looked_at(job):
    calls = []

    def stop(done: int, _total: int) -> None:
        calls.append(done)
        raise _StopError

    with pytest.raises(_StopError):
        sample(*job, CLOSED, on_progress=stop)
    assert calls == [0]


def test_defaults_are_no_part_of_a_stores_key_and_other_choices_are(job, tmp_path):
    """The options' text is, so a new field in it would make every earlier store useless."""
    text = (
        "SamplerOptions(seed=1247, steps=20, cfg=1.5, scheduler=<Scheduler.DDIM: 'ddim'>, noise_sharing=0.5, "
        "windows=WindowOptions(frames=16, overlap=0, full_last=True), reference=False)"
    )
    assert repr(SamplerOptions()) == text
    assert repr(dataclasses.replace(CLOSED, steps=20, cfg=1.5, windows=WindowOptions())) == text
    model, _, voice = job
    faces, stores = marked_faces(2), []
    choices = [{"reference_mouth": choice} for choice in ReferenceChoice] + [{"mask_grow": 5.0}, {"expression": 0.5}]
    for change in choices:
        sample(model, faces, voice, dataclasses.replace(TWO_FRAMES, **change), folder=tmp_path).patches.close()
        stores.append(len(list(tmp_path.glob("*.patches"))))
    assert stores == [1, 1, 2, 3, 4, 5], "model and filmed are the same for this model"


def test_runs_of_two_faces_are_kept_apart():
    track = np.array([0, 0, 1, 1])
    chosen = chosen_of([0.0, 0.2, 0.2, 0.1], runs=runs_where(np.ones(4, bool), track))
    assert chosen.tolist() == [0, 0, 3, 3]

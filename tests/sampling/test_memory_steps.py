"""Where memory runs out, sampling computes less at once, comes to the same faces, and says so."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.compositing.notes import job_notes
from latentsync_core.errors import ModelError
from latentsync_core.messages import Remedy
from latentsync_core.models.device_memory import OUT_OF_MEMORY
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.memory.plan import MemoryPlan
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.memory_steps import MemorySteps
from latentsync_core.sampling.sampler_options import SamplerOptions
from latentsync_core.video.reading.probing import probe
from tests.capped_memory import CappedMemory
from tests.made_faces import SCENE_BOX, made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = 3
GUIDED = SamplerOptions(steps=2, cfg=1.5)


@pytest.fixture(scope="module")
def job():
    model = untrained_model(resolution=64)
    faces = made_faces(probe(SCENE).subclip(0, FRAMES), [make_track(0, 0, FRAMES, box=SCENE_BOX)])
    return model, faces, embed_audio(load_audio(VOICE), model.whisper)


def run(job, monkeypatch, limit: float, calls: list | None = None):
    """The latents and notes of the job where the U-Net has so much memory; its peak, and how often memory ran out."""
    unet, meters = job[0].unet, []

    def forward(*inputs):
        with CappedMemory(unet, limit) as meter:
            meters.append(meter)
            return type(unet).forward(unet, *inputs)

    monkeypatch.setattr(unet, "forward", forward)
    synced = sample(
        *job, GUIDED, on_progress=lambda done, total: None if calls is None else calls.append((done, total))
    )
    with synced.patches as patches:
        latents = patches.get(list(range(FRAMES)))
    failures = sum(meter.failures for meter in meters)
    return latents, [str(note) for note in job_notes([synced], ())], max(meter.peak for meter in meters), failures


def test_guidance_is_computed_in_turn_where_both_halves_do_not_fit(job, monkeypatch):
    plain, notes, peak, failures = run(job, monkeypatch, float("inf"))
    assert (failures, any("memory ran out" in note for note in notes)) == (0, False)
    calls = []
    tight, notes, _, failures = run(job, monkeypatch, 0.7 * peak, calls)
    assert failures == 1
    assert [note for note in notes if "memory" in note] == [
        "memory ran out: the two predictions of guidance are computed one after the other"
    ]
    torch.testing.assert_close(tight, plain, rtol=0, atol=2e-3)  # stored in half precision
    assert calls[-1] == (2, 2)


def test_steps_that_are_taken_again_are_counted_once(job, monkeypatch):
    unet, calls, taken = job[0].unet, [], []

    def forward(*inputs):
        taken.append(inputs)
        if len(taken) == 2:  # in the second step
            raise OUT_OF_MEMORY("full")
        return type(unet).forward(unet, *inputs)

    monkeypatch.setattr(unet, "forward", forward)
    with sample(*job, GUIDED, on_progress=lambda done, total: calls.append((done, total))).patches:
        assert calls == [(1, 2), (1, 2), (2, 2)]


def test_with_nothing_left_to_lower_the_error_names_the_way_out(job, monkeypatch):
    with pytest.raises(ModelError, match=r"cpu has too little memory for untrained.*\(Tried to allocate") as caught:
        run(job, monkeypatch, 1000)
    assert caught.value.ways_out == (Remedy.SAVE_MEMORY,)
    assert "\n" not in str(caught.value)


def test_steps_are_taken_in_order_until_the_work_fits(job):
    offloaded = []
    model = dataclasses.replace(job[0], make_room=lambda: offloaded.append(True) or True)
    memory = MemorySteps(model, guided=True, window_batch=5)
    states, retries = [], []

    def work() -> str:
        states.append((memory.window_batch, memory.halves_in_turn, bool(offloaded)))
        if not offloaded:
            raise OUT_OF_MEMORY("full")
        return "done"

    assert memory.run(work, lambda: retries.append(len(states))) == "done"
    assert states == [(5, False, False), (3, False, False), (2, False, False), (1, False, False), (1, True, False),
                      (1, True, True)]  # fmt: skip
    assert retries == [1, 2, 3, 4, 5]
    assert str(memory.notes[-1]) == "memory ran out: the U-Net's weights wait in main memory"


def test_other_errors_pass_through_at_once(job):
    def work() -> None:
        raise KeyboardInterrupt

    memory = MemorySteps(job[0], guided=True)
    with pytest.raises(KeyboardInterrupt):
        memory.run(work)
    assert memory.notes == []


def test_the_plan_of_the_loaded_model_is_where_sampling_begins(job):
    plan = MemoryPlan(torch.float16, decode_slice=1, window_batch=2, halves_in_turn=True)
    memory = MemorySteps(dataclasses.replace(job[0], memory_plan=plan), guided=True, window_batch=4)
    assert (memory.window_batch, memory.halves_in_turn) == (2, True)

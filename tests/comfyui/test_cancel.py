"""Cancelling while faces are drawn: at once, nothing kept in memory, and the next run goes on where it stopped."""

from __future__ import annotations

import time

import pytest

from latentsync_core.video.reading.probing import probe
from tests.comfyui.harness.graphs import Graph

STEPS, WINDOWS = 8, 2


@pytest.fixture
def graph(dub) -> Graph:
    """Two windows of some steps."""
    graph = Graph(dub)
    graph.stages(clip=graph.clip("longer.mp4"), trepa={"overlap": 0}, sampler={"steps": STEPS, "seed": 31})
    return graph


def steps_done(server, prompt_id: str) -> float:
    """Share of the drawing that the bar has shown so far."""
    shown = [
        state["value"] / state["max"]
        for message in server.messages
        if message.type == "progress_state" and message.data.get("prompt_id") == prompt_id
        for name, state in message.data["nodes"].items()
        if name == "sampler"
    ]
    return max(shown, default=0.0)


def wait_for_share(server, prompt_id: str, share: float) -> None:
    deadline = time.monotonic() + 600  # for a hang; a busy machine may take minutes
    while steps_done(server, prompt_id) < share:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_stops_within_a_step_and_goes_on_where_it_stopped(dub, graph):
    queued = dub.queue(graph.prompt)
    wait_for_share(dub, queued, 1.2 / WINDOWS)
    stopped_at = steps_done(dub, queued)
    dub.interrupt(queued)
    run = dub.wait(queued)
    assert (run.status, run.failed_node) == ("interrupted", "sampler")
    assert steps_done(dub, queued) - stopped_at <= 2.5 / (WINDOWS * STEPS), "no more than a step or two went on"

    resumed = dub.queue(graph.prompt)
    done = dub.wait(resumed)
    values = [value / maximum for value, maximum in done.progress("sampler")]
    first = next(value for value in values if value > 0)
    assert first >= 0.99 / WINDOWS, "the finished window is not drawn again"
    assert probe(dub.files(done, "composite")[0]).frame_count == 32


def test_what_was_cancelled_frees_its_memory(dub, graph):
    dub.free()
    before = dub.rss()
    graph.prompt["sampler"]["inputs"]["seed"] = 32
    queued = dub.queue(graph.prompt)
    dub.wait_for(queued, "preview")
    dub.interrupt(queued)
    assert dub.wait(queued).status == "interrupted"
    dub.free()
    assert dub.rss() - before < 150 << 20

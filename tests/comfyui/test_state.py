"""What a run leaves behind in ComfyUI: nothing but files in a folder of its own."""

from __future__ import annotations

import time

import pytest

from tests.comfyui.harness.graphs import Graph, shown_json


def test_global_state_is_left_alone(dub):
    """The same after our nodes as before them, in one prompt."""
    graph = Graph(dub)
    frames = graph.images()
    graph.add("TestGlobalState", "before", after=frames)
    graph.add("TestGlobalState", "after", after=graph.stages(clip=frames, sampler={"seed": 41}))
    run = graph.run()
    assert run.nodes_run.index("before") < run.nodes_run.index("after")
    assert shown_json(run, "after") == shown_json(run, "before")


@pytest.fixture(scope="module")
def other_files(dub) -> dict:
    """Somebody else's files in the temp and output folders."""
    files = {dub.temp / "theirs.png": b"1", dub.temp / "theirs" / "a.wav": b"2", dub.output / "LatentSync.txt": b"3"}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def test_only_our_folder_in_temp_is_used(dub, other_files):
    before = set(dub.temp.iterdir())
    graph = Graph(dub)
    graph.stages(clip=graph.add("TestVideoOfBytes", file="clip.mp4"), sampler={"seed": 42})
    graph.run()
    assert set(dub.temp.iterdir()) - before <= {dub.temp / "latentsync_dub"}
    assert all(path.read_bytes() == content for path, content in other_files.items())


def test_input_and_output_folders_stay_as_they_are(dub):
    graph = Graph(dub)
    graph.stages(sampler={"seed": 43})
    before = {folder: sorted(folder.rglob("*")) for folder in (dub.input, dub.output, dub.models)}
    graph.run()
    assert {folder: sorted(folder.rglob("*")) for folder in before} == before


def test_the_faces_of_a_finished_run_go_with_it(dub):
    """They lie on disk as long as something may use them, and then no longer; a cancelled run's stay, to go on from."""
    faces = dub.temp / "latentsync_dub" / "faces"
    before = set(faces.glob("*"))
    graph = Graph(dub)
    graph.stages(sampler={"seed": 44})
    graph.run()
    assert set(faces.glob("*")) - before
    deadline = time.monotonic() + 20  # ComfyUI collects garbage every 10 s
    while set(faces.glob("*")) - before and time.monotonic() < deadline:
        dub.free()
    assert not set(faces.glob("*")) - before

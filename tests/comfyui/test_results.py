"""Files in the output folder: one number for all of a run, their workflow inside, and what the node reports of them."""

from __future__ import annotations

import json

import av
import pytest
from PIL import Image

from latentsync_core.models.loading.untrained import NAME
from latentsync_core.provenance.film_credits import FilmCredits
from latentsync_core.video.reading.probing import probe
from tests.clips import packet_times
from tests.comfyui.harness.graphs import FRAMES, SIZE, Graph

WORKFLOW = {"nodes": [{"id": 1, "title": "Żółć = 'film'; #1 \\ 映画", "size": [1, 2]}], "links": []}
CREDITS = FilmCredits(NAME)


@pytest.fixture
def graph(dub) -> Graph:
    graph = Graph(dub)
    graph.stages()
    return graph


def composite(graph: Graph, **inputs: object) -> None:
    graph.prompt["composite"]["inputs"] |= inputs


def inputs_of(prompt: dict[str, dict]) -> dict[str, dict]:
    """Each node's inputs; ComfyUI adds what it knows of a running node beside them."""
    return {name: node["inputs"] for name, node in prompt.items()}


def tags(path) -> dict[str, str]:
    with av.open(str(path)) as file:
        return {name.lower(): text for name, text in file.metadata.items()}


@pytest.mark.parametrize(("patch", "suffix"), [("prores4444", ".mov"), ("png", "")])
def test_result_matte_and_patch_go_into_the_output_folder_under_one_number(dub, graph, patch, suffix):
    """Also where an earlier run left only one of them; the page gets a copy of the result that it can play."""
    folder = dub.output / "film"
    dub.put_files(folder, {f"{patch}_00004_matte.mov": b"of an earlier run"})
    composite(graph, codec="prores", matte=True, patch=patch, filename_prefix=f"film/{patch}")
    run = graph.run()
    names = sorted(path.name for path in folder.glob(f"{patch}_00005*"))
    assert names == [f"{patch}_00005_.mov", f"{patch}_00005_matte.mov", f"{patch}_00005_patch{suffix}"]
    assert packet_times(folder / names[0]) == packet_times(dub.input / "clip.mp4")
    assert probe(folder / names[1]).frame_count == FRAMES
    layer = folder / names[2]
    assert len(packet_times(layer) if suffix else list(layer.glob("*.png"))) == FRAMES
    assert FilmCredits.of(tags(folder / names[0])) == CREDITS
    assert not suffix or FilmCredits.of(tags(layer)) == CREDITS
    (shown,) = dub.files(run, "composite")
    assert shown.is_relative_to(dub.temp)
    assert probe(shown).pixel_format == "yuv420p"
    notes = run.outputs["composite"]["text"]
    assert all(f"saved: output/film/{name}" in notes for name in names)
    assert any(f"the result is {SIZE[0]}×{SIZE[1]}, ProRes 422 HQ" in note for note in notes)


def test_an_h264_result_is_saved_beside_its_matte(dub, graph):
    composite(graph, codec="h264", matte=True, filename_prefix="film/h264")
    run = graph.run()
    saved = sorted((dub.output / "film").glob("h264_*"))
    assert [path.name for path in saved] == ["h264_00001_.mp4", "h264_00001_matte.mov"]
    assert dub.files(run, "composite") == [saved[0]]
    assert not any("temp folder" in note for note in run.outputs["composite"]["text"])


@pytest.mark.parametrize("options", [{"codec": "prores"}, {"codec": "h264", "matte": True}])
def test_mov_and_mp4_results_hold_the_workflow(dub, graph, options):
    composite(graph, filename_prefix=f"with/{options['codec']}", **options)
    graph.run(workflow=WORKFLOW)
    (path,) = (dub.output / "with").glob(f"{options['codec']}_00001_.*")
    assert json.loads(tags(path)["workflow"]) == WORKFLOW
    assert inputs_of(json.loads(tags(path)["prompt"])) == inputs_of(graph.prompt)


def test_save_video_keeps_what_a_film_says_of_its_making(dub, graph):
    graph.save(["composite", 0])
    (saved,) = dub.files(graph.run(workflow=WORKFLOW), "save")
    assert FilmCredits.of(tags(saved)) == CREDITS


def test_a_picture_beside_an_mkv_holds_its_workflow(dub, graph):
    composite(graph, codec="ffv1", filename_prefix="with/ffv1")
    run = graph.run(workflow=WORKFLOW)
    assert (dub.output / "with" / "ffv1_00001_.mkv").is_file()
    with Image.open(dub.output / "with" / "ffv1_00001_.png") as picture:
        picture.load()
        assert picture.size == SIZE
        assert json.loads(picture.text["workflow"]) == WORKFLOW
        assert inputs_of(json.loads(picture.text["prompt"])) == inputs_of(graph.prompt)
    assert any("ffv1_00001_.png" in note for note in run.outputs["composite"]["text"])


@pytest.mark.parametrize("codec", ["prores", "ffv1"])
def test_without_metadata_no_file_holds_the_workflow(dub_classic, codec):
    graph = Graph(dub_classic)
    graph.stages(composite={"codec": codec, "filename_prefix": f"without/{codec}"})
    graph.run(workflow=WORKFLOW)
    (path,) = (dub_classic.output / "without").glob(f"{codec}*")
    assert not {"workflow", "prompt"} & set(tags(path))


def test_the_note_on_a_temporary_video_stays_true_once_save_video_is_connected(dub_classic):
    graph = Graph(dub_classic)
    graph.save(graph.stages(composite={"feather": 0.9}))
    unsaved = {name: node for name, node in graph.prompt.items() if name != "save"}
    notes = dub_classic.run(unsaved).outputs["composite"]["text"]
    assert any("temp folder unless Save Video is connected" in note for note in notes)
    assert graph.run().nodes_run == ["save"], "nothing is rendered again for a note"

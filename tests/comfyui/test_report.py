"""The Report node in a real ComfyUI: a picture, scores and a page of a result beside its source's faces."""

from __future__ import annotations

import json

from latentsync_core.result_report.findings import Finding
from tests.comfyui.harness.graphs import FRAMES, Graph, shown_json


def reported(server, **inputs: object) -> Graph:
    graph = Graph(server)
    result = graph.stages()
    report = graph.add("LatentSyncDubReport", "report", faces=["faces", 0], result=result, **inputs)
    graph.add("TestShowText", "scores", text=[report[0], 1])
    graph.add("TestImageFacts", "picture", images=report)
    return graph


def test_a_result_is_reported_as_text_picture_scores_and_a_page(dub):
    run = reported(dub, filename_prefix="reports/of a dub").run()
    shown = run.outputs["report"]
    assert f"new mouth in {FRAMES} of {FRAMES} frames" in shown["text"][1]
    assert Finding.NO_SPEECH.value in shown["text"][1]  # the voice begins after half a second
    (page,) = (dub.output / "reports").glob("of a dub*.html")
    assert shown["text"][-1] == f"written: {page.name}"
    assert Finding.NO_SPEECH.value in page.read_text("utf-8")
    assert len(shown["images"]) == 1
    scores = json.loads(shown_json(run, "scores"))
    assert scores["people"][0]["frames_changed"] == FRAMES


def test_faces_of_another_clip_are_refused_in_a_sentence(dub):
    graph = reported(dub)
    graph.add("LoadVideo", "another", file="two.mp4")
    graph.add("LatentSyncDubPrepareFaces", "others", clip=["another", 0])
    graph.prompt["report"]["inputs"]["faces"] = ["others", 0]
    run = dub.wait(dub.queue(graph.prompt))
    assert (run.status, run.failed_node) == ("error", "report")
    assert "give the clip that the result was made from" in run.error

"""The harness itself, on core nodes: what the other tests here rely on."""

from __future__ import annotations

import socket

import psutil
import pytest
from PIL import Image

from tests.comfyui.harness.server import ComfyServer, PromptRefused, RunFailed


def image(width: int = 64, color: int = 0xFF0000) -> dict:
    """A core node that makes a one-coloured image."""
    return {"class_type": "EmptyImage", "inputs": {"width": width, "height": 32, "batch_size": 1, "color": color}}


def preview(source: str) -> dict:
    """A core node that shows images from the temporary folder."""
    return {"class_type": "PreviewImage", "inputs": {"images": [source, 0]}}


def save(source: str) -> dict:
    """A core node that writes images into the output folder."""
    return {"class_type": "SaveImage", "inputs": {"images": [source, 0], "filename_prefix": "here/red"}}


def test_a_prompt_runs_and_its_pictures_are_found(comfy):
    colour = 200, 10, 20  # no other test's: the server would answer from its cache
    done = comfy.run({"1": image(color=int.from_bytes(bytes(colour), "big")), "2": preview("1"), "3": save("1")})
    assert sorted(done.nodes_run) == ["1", "2", "3"]
    (shown,), (saved,) = comfy.files(done, "2"), comfy.files(done, "3")
    assert shown.parent == comfy.temp
    assert saved.parent == comfy.output / "here"
    assert Image.open(saved).getpixel((5, 5)) == colour


def test_what_the_cache_answers_for_does_not_count_as_run(comfy):
    prompt = {"1": image(color=1), "2": preview("1")}
    comfy.run(prompt)
    again = comfy.run(
        prompt | {"3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}}
    )
    assert again.nodes_run == ["3"]
    assert "1" in again.cached


def test_a_refused_prompt_says_which_node_and_input(comfy):
    with pytest.raises(PromptRefused, match=r"node 1 \(EmptyImage\): .*width"):
        comfy.run({"1": image(width=-3), "2": preview("1")})


def test_a_prompt_refused_in_part_is_refused(comfy):
    with pytest.raises(PromptRefused, match="node 3"):
        comfy.run({"1": image(), "2": preview("1"), "3": image(width=-3), "4": preview("3")})


def test_a_failing_node_says_what_went_wrong(comfy):
    comfy.put_files(comfy.input, {"broken.png": b"no picture"})
    load = {"class_type": "LoadImage", "inputs": {"image": "broken.png"}}
    with pytest.raises(RunFailed, match=r"error in node 1: .*broken\.png") as failed:
        comfy.run({"1": load, "2": preview("1")})
    assert "load_image" in failed.value.run.traceback


def test_interrupt_ends_a_running_prompt(comfy):
    blur = {"blur_radius": 20, "sigma": 5.0}
    prompt = {"0": image(1500, color=2)} | {
        str(i): {"class_type": "ImageBlur", "inputs": {"image": [str(i - 1), 0], **blur}} for i in range(1, 300)
    }
    queued = comfy.queue(prompt | {"end": preview("299")})
    comfy.wait_for(queued, "executing", node="3")
    comfy.interrupt(queued)
    run = comfy.wait(queued, timeout=30)
    assert run.status == "interrupted"
    assert "end" not in run.nodes_run


@pytest.mark.slow
def test_a_server_ends_with_its_files_and_its_port(comfy):
    """Quick: test_a_prompt_runs_and_its_pictures_are_found, whose server ends with the session."""
    server = ComfyServer(comfy.comfy, pack=None, flags=["--cache-classic"], inputs={"a/b.txt": b"x"})
    with server:
        assert (server.input / "a" / "b.txt").read_bytes() == b"x"
        assert server.rss() > 100e6
        assert not [node for node in server.object_info() if node.startswith("LatentSyncDub")]
    assert not server.base.exists()
    assert not psutil.pid_exists(server.pid)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port))

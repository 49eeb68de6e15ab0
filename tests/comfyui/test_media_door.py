"""Media in a real ComfyUI: no clip makes it open another file or an address, and none ends it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import SCENE
from tests.comfyui.harness.graphs import Graph
from tests.comfyui.test_bad_inputs import refused as refused


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


@pytest.fixture
def watched() -> Iterator[tuple[str, list[str]]]:
    """The address of a server that would hand out a film or send on to one, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302 if self.path == "/elsewhere.mp4" else 200)
            self.send_header("Location", "/film.mp4")
            self.end_headers()
            self.wfile.write(SCENE.read_bytes())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile '{}'\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
@pytest.mark.parametrize("node", ["faces", "own"])
def test_a_playlist_among_the_inputs_opens_nothing(dub, graph, refused, watched, node, text):
    address, asked = watched
    dub.put_files(dub.input, {"list.mp4": text.format(f"{address}/film.mp4").encode()})
    listed = graph.add("LoadVideo", "listed", file="list.mp4")
    if node == "own":
        graph.stages(voice=graph.add("LatentSyncDubClipAudio", "own", video=listed))
    else:
        graph.stages(clip=listed)
    assert "list.mp4" in refused(graph, node)
    assert asked == []


@pytest.mark.parametrize("path", ["/film.mp4", "/elsewhere.mp4"])
def test_an_address_is_refused_with_the_way_out_and_never_asked(graph, refused, watched, path):
    address, asked = watched
    graph.stages(clip=graph.add("TestVideoAt", place=address + path))
    sentence = refused(graph, "faces")
    assert "is an address" in sentence
    assert "download it first" in sentence
    assert asked == []


def test_eight_planar_channels_do_not_end_the_server(dub, graph, tmp_path):
    """The sound goes from Clip Audio to the lips, and as the clip's own into the result."""
    loud = ["-f", "lavfi", "-i", "anoisesrc=d=0.6:a=0.3", "-af", "aformat=channel_layouts=7.1"]
    made = ["-i", str(dub.input / "clip.mp4"), *loud, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac"]
    run_ffmpeg([*made, str(tmp_path / "surround.mp4")], error=VideoError, what="making a surround clip")
    dub.put_files(dub.input, {"surround.mp4": (tmp_path / "surround.mp4").read_bytes()})
    clip = graph.clip("surround.mp4")
    voice = graph.add("LatentSyncDubClipAudio", "own", video=clip, channels="all")
    graph.stages(clip=clip, voice=voice, composite={"sound": "clip's own"})
    assert graph.run().status == "success"

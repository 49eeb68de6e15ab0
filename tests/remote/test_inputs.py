"""The command line takes URLs where it takes media, fetches them first, and treats them as files from there on."""

from __future__ import annotations

import _thread
import json
import tempfile
import threading
from pathlib import Path

import pytest

from latentsync_core.cli.commands import EXIT_CANCELLED, EXIT_ERROR, main
from latentsync_core.sample_scene import SCENE, VOICE
from tests.clips import part_of
from tests.https_server import file_page, film_server

SITE = "https://films.example"
SECRET = "hunter2"


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """A clip with a face in it."""
    return part_of(SCENE, tmp_path_factory.mktemp("scene") / "scene.mp4", 0, 6)


@pytest.fixture
def server(scene, monkeypatch):
    for name in ("https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with film_server() as running:
        running.pages["/rushes/scene.mp4"] = file_page(scene.read_bytes(), '"scene"')
        running.pages["/voice"] = file_page(VOICE.read_bytes(), '"voice"', kind="audio/flac")
        running.pages["/empty.mp4"] = file_page(b"not a film", '"empty"')
        yield running


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The system's temporary folder, for this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def paths(server) -> list[str]:
    return [path for path, _ in server.asked]


def test_probe_says_what_a_clip_at_a_url_is_and_keeps_nothing(server, scene, temporary, capsys):
    url = f"{SITE}/rushes/scene.mp4?sig={SECRET}"
    assert main(["probe", url, "--json"], server.network()) == 0
    output = capsys.readouterr()
    facts = json.loads(output.out)
    assert main(["probe", str(scene), "--json"]) == 0
    local = json.loads(capsys.readouterr().out)
    (download,) = facts.pop("downloads")
    assert facts == {**local, "clip": "films.example/.../scene.mp4"}
    assert (download["outcome"], download["bytes"], download["file"]) == ("downloaded", scene.stat().st_size, None)
    assert SECRET not in output.out + output.err
    assert list(temporary.iterdir()) == []


def test_sync_takes_video_and_voice_from_urls_and_faces_has_the_video_already(
    server, scene, tmp_path, temporary, capsys
):
    work, out = tmp_path / "work", tmp_path / "out.mp4"
    command = [
        "sync",
        "--video",
        f"{SITE}/rushes/scene.mp4",
        "--audio",
        f"{SITE}/voice",
        "--mux-audio",
        f"{SITE}/voice",
    ]
    command += ["--out", str(out), "--model", "nano", "--steps", "1", "--end", "0.2", "--work-folder", str(work)]
    assert main([*command, "--json"], server.network()) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == report["synced_frames"] == 5
    assert [one["source"] for one in report["downloads"]] == ["films.example/.../scene.mp4", "films.example/voice"]
    files = [Path(one["file"]) for one in report["downloads"]]
    assert [file.parent for file in files] == [work / "downloads"] * 2
    assert [file.suffix for file in files] == [".mp4", ".flac"]
    assert [file.read_bytes() for file in files] == [scene.read_bytes(), VOICE.read_bytes()]
    assert paths(server) == ["/rushes/scene.mp4", "/voice"]

    assert main(["faces", f"{SITE}/rushes/scene.mp4", "--work-folder", str(work)], server.network()) == 0
    assert "fetched films.example/.../scene.mp4: unchanged, " in capsys.readouterr().out
    assert server.asked[-1][1]["if-none-match"] == '"scene"'


def test_every_input_of_sync_may_be_a_url_and_only_inputs_may(server, tmp_path, capsys):
    pages = ("/mix.wav", "/anna.png", "/her.png", "/her.wav", "/his.wav")
    for page in pages:
        server.pages[page] = file_page(b"something", '"1"')
    command = ["sync", "--video", f"{SITE}/empty.mp4", "--audio", f"{SITE}/voice", "--out", str(tmp_path / "out.mp4")]
    command += ["--mux-audio", f"{SITE}/mix.wav?a=1", "--face", f"picture:{SITE}/anna.png?a=b=c"]
    command += ["--speaker", f"picture:{SITE}/her.png?sig=ab==={SITE}/her.wav?x=y=z"]
    command += ["--speaker", f"picture:{SITE}/her.png?sig=ab==voice=.wav"]
    command += ["--speaker", f"person:1={SITE}/his.wav?sig=q=="]
    assert main(command, server.network()) == EXIT_ERROR
    assert paths(server) == [
        "/empty.mp4", "/voice", "/mix.wav?a=1", "/anna.png?a=b=c", "/her.wav?x=y=z", "/her.png?sig=ab==",
        "/her.png?sig=ab==voice", "/his.wav?sig=q==",
    ]  # fmt: skip
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--marks", "--model", "--work-folder"])
def test_what_is_no_input_cannot_be_a_url(server, tmp_path, capsys, option):
    command = ["sync", "--video", f"{SITE}/rushes/scene.mp4", "--audio", str(VOICE), "--out", str(tmp_path / "out.mp4")]
    with pytest.raises(SystemExit) as ended:
        main([*command, option, f"{SITE}/x?sig={SECRET}"], server.network())
    assert ended.value.code == EXIT_ERROR
    told = capsys.readouterr().err
    assert f"argument {option}: this can't be a URL" in told
    assert SECRET not in told
    assert server.asked == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--video", "http://films.example/a.mp4"], "video: an http: URL is not fetched"),
        (["--audio", "file:///etc/passwd"], "audio: a file: URL is not opened"),
        (["--mux-audio", f"https://me:{SECRET}@films.example/a.wav"], "mux-audio: the URL holds a user name"),
        (["--face", "picture:data:image/png;base64,AAAA"], "face: a 'data' URL is not fetched"),
        (["--speaker", f"person:1=rtmp://films.example/live?key={SECRET}"], "speaker: a 'rtmp' URL is not fetched"),
    ],
)
def test_one_refused_url_is_a_sentence_before_anything_is_fetched(server, tmp_path, capsys, arguments, word):
    command = [
        "sync",
        "--video",
        f"{SITE}/rushes/scene.mp4",
        "--audio",
        f"{SITE}/voice",
        "--out",
        str(tmp_path / "o.mp4"),
    ]
    assert main([*command, *arguments, "--json"], server.network()) == EXIT_ERROR
    error = json.loads(capsys.readouterr().err)["error"]
    assert error.startswith(word)
    assert SECRET not in error
    assert server.asked == []


@pytest.mark.parametrize("argument", [f"https://films.example/a.wav?sig={SECRET}", f"picture:{SITE}/a.png?{SECRET}"])
def test_a_speaker_written_wrongly_is_shown_without_secrets(capsys, argument):
    with pytest.raises(SystemExit):
        main(["sync", "--video", "a", "--audio", "b", "--out", "c", "--speaker", argument])
    told = capsys.readouterr().err
    assert "argument --speaker: " in told
    assert SECRET not in told


def test_the_real_network_leads_to_no_server_of_this_machine(server, temporary, capsys):
    assert main(["probe", f"https://localhost:{server.port}/rushes/scene.mp4"]) == EXIT_ERROR
    assert "which is not a public address" in capsys.readouterr().err
    assert server.asked == []
    assert list(temporary.iterdir()) == []


def test_a_page_a_missing_file_and_one_too_large_are_sentences_and_leave_nothing(server, temporary, capsys):
    server.pages["/page"] = lambda request: request.answer(200, b"<html>", Content_Type="text/html")
    for arguments, word in (
        (["probe", f"{SITE}/page"], "films.example/page is a web page"),
        (["probe", f"{SITE}/none.mp4"], "films.example/none.mp4 could not be fetched, the server answered 404"),
        (["faces", f"{SITE}/rushes/scene.mp4", "--download-limit", "0.0001"], "beyond the limit of 0.1 MB"),
        (["probe", f"{SITE}/empty.mp4"], "error: "),
    ):
        assert main(arguments, server.network()) == EXIT_ERROR
        assert word in capsys.readouterr().err
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "many"])
def test_a_limit_that_is_none_is_refused(capsys, limit):
    with pytest.raises(SystemExit):
        main(["probe", f"{SITE}/a.mp4", f"--download-limit={limit}"])
    assert "write gigabytes" in capsys.readouterr().err


def test_ctrl_c_ends_a_download_that_hangs_and_leaves_nothing(server, temporary, capsys):
    asked = threading.Event()

    def hang(request):
        request.begin(200, Content_Length="1000000", Content_Type="video/mp4")
        request.raw(b"a" * 1000)
        asked.set()
        request.closing.wait()

    server.pages["/hanging.mp4"] = hang
    thread = threading.Thread(target=lambda: asked.wait() and _thread.interrupt_main())
    thread.start()
    assert main(["probe", f"{SITE}/hanging.mp4"], server.network()) == EXIT_CANCELLED
    thread.join()
    assert list(temporary.iterdir()) == []

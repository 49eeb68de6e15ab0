"""Downloads keep to their limits, resume, aren't repeated, and fail with a sentence whatever a server does."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from latentsync_core.errors import DownloadError, OutputError
from latentsync_core.messages import Remedy
from latentsync_core.remote import fetch as module
from latentsync_core.remote.fetch import DownloadedFile, DownloadLimits, Outcome, download_url
from latentsync_core.remote.url import Url
from tests.https_server import HttpsServer, Page, Request, file_page, film_server, redirect

FILM = Url.parse("https://films.example/rushes/scene.mp4?sig=hunter2")
CONTENT = hashlib.shake_256(b"film").digest(300_000)
OTHER = hashlib.shake_256(b"another cut").digest(250_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MONDAY, TUESDAY = "Mon, 02 Jun 2025 10:00:00 GMT", "Tue, 03 Jun 2025 10:00:00 GMT"

PATIENCE = 10  # seconds after which a hanging server gives up, so that a downloader without limits fails its test


@pytest.fixture
def server(monkeypatch):
    for name in ("https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with film_server() as running:
        serve(running, file_page(CONTENT, '"v1"', MONDAY))
        yield running


def serve(server: HttpsServer, page: Page) -> None:
    server.pages["/rushes/scene.mp4"] = page


def fetch(server: HttpsServer, folder: Path, on_progress=None, url: Url = FILM, **limits) -> DownloadedFile:
    return download_url(url, folder, DownloadLimits(network=server.network(), **limits), on_progress)


def left_behind(folder: Path) -> list[str]:
    """Kinds of files, without the lock that stays."""
    names = [path.name.replace(FILM.digest, "*") for path in folder.iterdir()]
    return sorted(name for name in names if not name.endswith(".lock"))


def requests(server: HttpsServer) -> list[dict[str, str]]:
    """Of every request, the headers that decide what is sent."""
    deciding = ("range", "if-range", "if-none-match", "if-modified-since")
    return [{name: text for name, text in headers.items() if name in deciding} for _, headers in server.asked]


class _CancelError(Exception):
    """What a user's cancel looks like to the engine."""


def interrupted(server: HttpsServer, folder: Path, at: int = 100_000) -> int:
    """Cancels a download once `at` bytes came; returns how many are kept."""

    def cancel(done: int, total: int) -> None:
        if done >= at:
            raise _CancelError

    with pytest.raises(_CancelError):
        fetch(server, folder, cancel)
    assert left_behind(folder) == ["*.part", "*.part.json"]
    return (folder / f"{FILM.digest}.part").stat().st_size


# What arrives


def test_a_film_arrives_under_its_url_s_digest_with_progress(server, tmp_path):
    told = []
    folder = tmp_path / "work/downloads"
    file = fetch(server, folder, lambda *done: told.append(done))
    assert file.path == folder / f"{FILM.digest}.mp4"
    assert file.path.read_bytes() == CONTENT
    assert (file.source, file.size, file.sha256) == ("films.example/.../scene.mp4", len(CONTENT), SHA256)
    assert file.outcome is Outcome.DOWNLOADED
    assert left_behind(folder) == ["*.json", "*.mp4"]
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    path, headers = server.asked[0]
    assert path == "/rushes/scene.mp4?sig=hunter2"
    assert headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer"} & set(headers)
    assert "hunter2" not in (folder / f"{FILM.digest}.json").read_text("utf-8"), "a signature stays out of the note"


def chunked(content: bytes, end: bytes = b"0\r\n\r\n") -> Page:
    def page(request: Request) -> None:
        request.begin(200, Transfer_Encoding="chunked", Content_Type="video/mp4")
        for start in range(0, len(content), 70_000):
            piece = content[start : start + 70_000]
            request.raw(b"%x\r\n" % len(piece) + piece + b"\r\n")
        request.raw(end)

    return page


def until_closed(request: Request) -> None:
    request.begin(200)
    request.raw(CONTENT)


@pytest.mark.parametrize("page", [chunked(CONTENT), until_closed])
def test_a_film_without_a_length_arrives_whole(server, tmp_path, page):
    serve(server, page)
    told = []
    assert fetch(server, tmp_path, lambda *done: told.append(done)).sha256 == SHA256
    assert {total for _, total in told} == {0}, "the server doesn't say how much comes"


@pytest.mark.parametrize(
    ("path", "headers", "suffix"),
    [
        ("/a.MOV", {"Content_Type": "application/octet-stream"}, ".mov"),
        ("/a.mkv", {"Content_Type": "text/plain"}, ".mkv"),
        ("/a.mp4.exe", {"Content_Type": "audio/flac"}, ".flac"),
        ("/download", {"Content_Type": "image/png"}, ".png"),
        ("/IMG_1.HEIC", {"Content_Type": "application/octet-stream"}, ".heic"),
        ("/download", {"Content_Type": "image/avif"}, ".avif"),
        ("/a.aifc", {"Content_Type": "audio/aiff"}, ".aifc"),
        ("/download", {"Content_Disposition": 'attachment; filename="../../her voice.wav"'}, ".wav"),
        ("/download", {"Content_Disposition": 'attachment; filename="a.sh"'}, ""),
        ("/list.m3u8", {"Content_Type": "application/vnd.apple.mpegurl"}, ""),
        ("/a.%2e%2e%2fpasswd", {}, ""),
        ("/", {}, ""),
    ],
)
def test_only_a_media_suffix_gets_into_the_name(server, tmp_path, path, headers, suffix):
    server.pages[path] = lambda request: request.answer(200, CONTENT, **headers)
    url = Url.parse(f"https://films.example{path}")
    assert fetch(server, tmp_path, url=url).path == tmp_path / f"{url.digest}{suffix}"


def test_a_share_link_s_suffix_is_that_of_the_file_it_leads_to(server, tmp_path):
    server.pages["/s/abc"] = redirect("/rushes/scene.mp4?token=1")
    assert fetch(server, tmp_path, url=Url.parse("https://films.example/s/abc")).path.suffix == ".mp4"


# What is refused


def a_page(request: Request) -> None:
    request.answer(200, b"<html>Sign in</html>", Content_Type="text/html; charset=utf-8")


def a_page_by_another_name(request: Request) -> None:
    request.answer(200, b"\n <!DOCTYPE html><html>Sign in</html>", Content_Type="video/mp4")


def two_lengths(request: Request) -> None:
    request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")


@pytest.mark.parametrize(
    ("page", "word"),
    [
        (a_page, "is a web page, not a media file"),
        (a_page_by_another_name, "is a web page, not a media file"),
        (lambda request: request.answer(200, b"", Content_Type="video/mp4"), "is an empty file"),
        (lambda request: request.answer(200, CONTENT, Content_Encoding="gzip"), r"comes compressed \('gzip'\)"),
        (two_lengths, "a length that makes no sense"),
        (lambda request: request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "a length that makes no sense"),
        (
            lambda request: request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n"),
            "a length that makes no sense",
        ),
        (lambda request: request.answer(204), "answered 204"),
        (lambda request: request.answer(206, CONTENT, Content_Range="bytes 0-9/10"), "answered 206"),
        (lambda request: request.answer(304), "answered 304"),
        (lambda request: request.answer(401), "asks for a sign-in"),
        (lambda request: request.answer(403), "the link has expired"),
        (lambda request: request.answer(404), "there is no such file"),
        (lambda request: request.answer(410), "was removed"),
        (lambda request: request.answer(418), "answered 418"),
        (lambda request: request.answer(429), "too many requests"),
        (lambda request: request.answer(503), "answered 503"),
    ],
)
def test_what_is_no_film_is_a_sentence_and_leaves_nothing(server, tmp_path, page, word):
    serve(server, page)
    with pytest.raises(DownloadError, match=word) as refused:
        fetch(server, tmp_path)
    assert "hunter2" not in str(refused.value)
    assert "films.example/.../scene.mp4" in str(refused.value)
    assert left_behind(tmp_path) in ([], ["*.part", "*.part.json"])
    assert sum(path.stat().st_size for path in tmp_path.glob("*.part")) == 0


# Limits


def endless(request: Request) -> None:
    """As good as endless, so that a downloader without limits fails instead of filling the disk."""
    request.begin(200, Transfer_Encoding="chunked", Content_Type="video/mp4")
    for _ in range(4000):
        request.raw(b"10000\r\n" + bytes(65536) + b"\r\n")


def test_a_film_over_the_limit_is_refused_before_it_comes(server, tmp_path):
    serve(server, lambda request: request.begin(200, Content_Length=str(10**15)))
    with pytest.raises(DownloadError, match=r"has 1000000\.0 GB, beyond the limit of 50\.0 GB; give a file"):
        fetch(server, tmp_path)


def test_a_film_that_goes_on_beyond_the_limit_ends_and_leaves_nothing(server, tmp_path):
    serve(server, endless)
    with pytest.raises(DownloadError, match=r"goes on, beyond the limit of 1\.0 MB"):
        fetch(server, tmp_path, size=1_000_000)
    assert left_behind(tmp_path) == []


def test_nothing_beyond_the_announced_length_is_kept(server, tmp_path):
    def longer(request: Request) -> None:
        request.begin(200, Content_Length=str(len(CONTENT)), Content_Type="video/mp4")
        request.raw(CONTENT + OTHER)

    serve(server, longer)
    assert fetch(server, tmp_path).sha256 == SHA256


def test_a_full_disk_is_noticed_before_the_film_comes(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 200_000}))
    with pytest.raises(OutputError, match=r"needs 0\.3 MB in .* which has 0\.2 MB free") as error:
        fetch(server, tmp_path)
    assert error.value.ways_out == (Remedy.MOVE_WORK_FOLDER,)


def test_a_folder_that_cannot_be_made_is_a_sentence(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="can't be kept in") as error:
        fetch(server, tmp_path / "file" / "downloads")
    assert error.value.ways_out == (Remedy.MOVE_WORK_FOLDER,)
    assert server.asked == []


def stalled(request: Request) -> None:
    request.begin(200, Content_Length=str(len(CONTENT)), ETag='"v1"', Content_Type="video/mp4")
    request.raw(CONTENT[:100_000])
    request.closing.wait(PATIENCE)


def dribbling(request: Request) -> None:
    request.begin(200, Content_Length=str(len(CONTENT)), Content_Type="video/mp4")
    for byte in CONTENT[: 50 * PATIENCE]:
        if request.closing.wait(0.02):
            break
        request.raw(bytes([byte]))


def endless_trailer(request: Request) -> None:
    chunked(CONTENT, end=b"0\r\n")(request)
    for _ in range(1000 * PATIENCE):
        if request.closing.wait(0.001):
            break
        request.raw(b"X-Trailer: a\r\n")


def chunks_of_one_byte_with_long_names(request: Request) -> None:
    request.begin(200, Transfer_Encoding="chunked")
    for _ in range(1000 * PATIENCE):
        if request.closing.wait(0.001):
            break
        request.raw(b"1;" + b"a" * 10_000 + b"\r\nb\r\n")


@pytest.mark.parametrize("page", [stalled, dribbling, endless_trailer, chunks_of_one_byte_with_long_names])
def test_a_film_that_stalls_or_hardly_moves_ends(server, tmp_path, page):
    serve(server, page)
    with pytest.raises(DownloadError, match=r"stalled: \d+ bytes came in 0\.3 s"):
        fetch(server, tmp_path, stall_seconds=0.3)


def test_a_download_ends_after_its_total_time_however_fast_it_is(server, tmp_path):
    serve(server, endless)
    with pytest.raises(DownloadError, match="took more than"):
        fetch(server, tmp_path, total_seconds=0.2)


# Cut off, cancelled, resumed


def cut_off_after(count: int, **headers: str) -> Page:
    def page(request: Request) -> None:
        request.begin(200, Content_Length=str(len(CONTENT)), **headers)
        request.raw(CONTENT[:count])

    return page


def closed_without_goodbye(request: Request) -> None:
    request.begin(200)
    request.raw(CONTENT[:100_000])
    request.drop_connection()


@pytest.mark.parametrize("page", [cut_off_after(100_000), chunked(CONTENT[:100_000], end=b""), closed_without_goodbye])
def test_a_film_that_is_cut_off_never_takes_its_place(server, tmp_path, page):
    serve(server, page)
    with pytest.raises(DownloadError, match=r"cut off after 0\.1 MB"):
        fetch(server, tmp_path)
    assert left_behind(tmp_path) == ["*.part", "*.part.json"]


@pytest.mark.parametrize(("etag", "modified"), [('"v1"', ""), ("", MONDAY), ('"v1"', MONDAY)])
def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path, etag, modified):
    serve(server, file_page(CONTENT, etag, modified))
    kept = interrupted(server, tmp_path)
    assert 100_000 <= kept < len(CONTENT)
    told = []
    file = fetch(server, tmp_path, lambda *done: told.append(done))
    assert requests(server)[1:] == [{"range": f"bytes={kept}-", "if-range": etag or modified}]
    assert (file.outcome, file.sha256) == (Outcome.RESUMED, SHA256)
    assert file.path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert left_behind(tmp_path) == ["*.json", "*.mp4"]


def test_a_stalled_download_can_be_cancelled_and_goes_on_later(server, tmp_path):
    serve(server, stalled)
    interrupted(server, tmp_path)
    serve(server, file_page(CONTENT, '"v1"'))
    assert fetch(server, tmp_path).outcome is Outcome.RESUMED


@pytest.mark.parametrize(
    ("etag", "modified"), [('"v2"', MONDAY), ('"v2"', ""), ("", TUESDAY), ('W/"v2"', ""), ("", "")]
)
def test_a_film_that_changed_meanwhile_starts_over(server, tmp_path, etag, modified):
    interrupted(server, tmp_path)
    serve(server, file_page(OTHER, etag, modified))
    file = fetch(server, tmp_path)
    assert file.outcome is Outcome.DOWNLOADED
    assert file.path.read_bytes() == OTHER


@pytest.mark.parametrize("etag", ['W/"v1"', "", "v1", '"a\r\n X-Header: b"'])
def test_without_a_strong_validator_nothing_is_resumed(server, tmp_path, etag):
    serve(server, file_page(CONTENT, etag))
    interrupted(server, tmp_path)
    file = fetch(server, tmp_path)
    assert requests(server) == [{}, {}]
    assert (file.outcome, file.sha256) == (Outcome.DOWNLOADED, SHA256)


def rest_of(content: bytes, place: str, etag: str = '"v1"') -> Page:
    """A server that answers every range with the same."""

    def page(request: Request) -> None:
        if "Range" in request.headers:
            request.answer(206, content, Content_Range=place, ETag=etag)
        else:
            request.answer(200, OTHER, ETag='"v2"')

    return page


@pytest.mark.parametrize(
    "page",
    [
        rest_of(OTHER, f"bytes 0-{len(OTHER) - 1}/{len(OTHER)}"),
        rest_of(OTHER, "bytes 100000-199999/*"),
        rest_of(OTHER, "multipart"),
        rest_of(CONTENT[100_000:], f"bytes 100000-{len(CONTENT) - 1}/{len(CONTENT)}", '"v2"'),
        rest_of(CONTENT[100_000:], f"bytes 100000-200000/{len(CONTENT)}"),
        rest_of(CONTENT[100_000:] + OTHER, f"bytes 100000-{len(CONTENT + OTHER) - 1}/{len(CONTENT + OTHER)}"),
        lambda request: request.answer(416) if "Range" in request.headers else request.answer(200, OTHER),
    ],
)
def test_a_rest_that_does_not_fit_is_not_joined_on(server, tmp_path, page):
    serve(server, cut_off_after(100_000, ETag='"v1"'))
    with pytest.raises(DownloadError, match="cut off"):
        fetch(server, tmp_path)
    serve(server, page)
    file = fetch(server, tmp_path)
    assert file.outcome is Outcome.DOWNLOADED
    assert file.path.read_bytes() == OTHER


def test_a_rest_that_is_longer_than_announced_is_not_kept(server, tmp_path):
    serve(server, cut_off_after(100_000, ETag='"v1"'))
    with pytest.raises(DownloadError, match="cut off"):
        fetch(server, tmp_path)
    serve(server, rest_of(CONTENT[100_000:] + OTHER, f"bytes 100000-{len(CONTENT) - 1}/{len(CONTENT)}"))
    file = fetch(server, tmp_path)
    assert (file.outcome, file.sha256) == (Outcome.RESUMED, SHA256)


@pytest.mark.parametrize("beginning", [CONTENT, CONTENT + b"more"])
def test_what_had_come_whole_or_too_long_is_completed(server, tmp_path, beginning):
    interrupted(server, tmp_path)
    (tmp_path / f"{FILM.digest}.part").write_bytes(beginning)
    file = fetch(server, tmp_path)
    assert requests(server)[-1]["range"] == f"bytes={len(CONTENT) - 1}-"
    assert (file.outcome, file.sha256) == (Outcome.RESUMED, SHA256)


@pytest.mark.parametrize("how", ["symlink_to", "hardlink_to"])
def test_a_link_in_the_part_file_s_place_is_replaced_and_not_written_through(server, tmp_path, how):
    interrupted(server, tmp_path)
    precious, part = tmp_path / "precious.mov", tmp_path / f"{FILM.digest}.part"
    precious.write_bytes(b"the only copy")
    part.unlink()
    getattr(part, how)(precious)
    if how == "hardlink_to":
        part.with_suffix(".part.json").unlink()
    assert fetch(server, tmp_path).sha256 == SHA256
    assert precious.read_bytes() == b"the only copy"


# Not fetched again


@pytest.mark.parametrize(("etag", "modified"), [('"v1"', MONDAY), ('W/"v1"', ""), ("", MONDAY)])
def test_an_unchanged_film_is_not_fetched_again(server, tmp_path, etag, modified):
    serve(server, file_page(CONTENT, etag, modified))
    first = fetch(server, tmp_path)
    before = first.path.stat()
    assert fetch(server, tmp_path) == replace(first, outcome=Outcome.UNCHANGED)
    assert requests(server)[1:] == [{"if-none-match": etag} if etag else {"if-modified-since": modified}]
    assert first.path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("etag", ['"v2"', ""])
def test_the_same_film_under_another_tag_or_none_stays_the_same_file(server, tmp_path, etag):
    first = fetch(server, tmp_path)
    before = first.path.stat()
    serve(server, file_page(CONTENT, etag))
    assert fetch(server, tmp_path) == replace(first, outcome=Outcome.UNCHANGED)
    assert first.path.stat().st_mtime_ns == before.st_mtime_ns
    assert left_behind(tmp_path) == ["*.json", "*.mp4"]
    fetch(server, tmp_path)
    assert requests(server)[-1] == ({"if-none-match": etag} if etag else {})


def test_another_film_at_the_same_url_takes_its_place(server, tmp_path):
    fetch(server, tmp_path)
    serve(server, file_page(OTHER, '"v2"', TUESDAY))
    file = fetch(server, tmp_path)
    assert file.outcome is Outcome.DOWNLOADED
    assert file.path.read_bytes() == OTHER
    assert left_behind(tmp_path) == ["*.json", "*.mp4"]


def test_a_kept_film_that_somebody_changed_is_fetched_again(server, tmp_path):
    file = fetch(server, tmp_path)
    file.path.write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path).sha256 == SHA256
    assert requests(server) == [{}, {}]
    assert file.path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_kept_film_serves_while_its_link_has_expired(server, tmp_path, status):
    first = fetch(server, tmp_path)
    serve(server, lambda request: request.answer(status))
    again = fetch(server, tmp_path)
    assert (again.outcome, again.path) == (Outcome.CACHED, first.path)
    assert str(status) in again.problem


def test_a_kept_film_serves_while_there_is_no_network_but_hides_no_refusal(server, tmp_path):
    first = fetch(server, tmp_path)

    def no_network(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    offline = DownloadLimits(network=server.network(resolve=no_network))
    assert download_url(FILM, tmp_path, offline).outcome is Outcome.CACHED
    serve(server, redirect("http://films.example/scene.mp4"))
    with pytest.raises(DownloadError, match="http: URL is not fetched"):
        fetch(server, tmp_path)
    assert first.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "note",
    [
        "", "[]", "null", "{", "[" * 100_000, '{"suffix": "/../../../etc/passwd"}', '{"suffix": []}', '{"etag": 5}',
        '{"etag": "\\"a\\"\\r\\nX-Header: b"}', '{"size": "9"}', '{"last_modified": null}', '{"other": 1}',
    ],
)  # fmt: skip
def test_a_note_that_is_not_ours_counts_for_nothing(server, tmp_path, note):
    fetch(server, tmp_path)
    interrupted_part = tmp_path / f"{FILM.digest}.part"
    for name in (f"{FILM.digest}.json", f"{FILM.digest}.part.json"):
        (tmp_path / name).write_text(note, "utf-8")
    interrupted_part.write_bytes(CONTENT[:1000])
    assert fetch(server, tmp_path).sha256 == SHA256
    assert requests(server) == [{}, {}]


# Two runs at once

FETCH_AND_TELL = """
import sys
from pathlib import Path
from latentsync_core.remote.fetch import DownloadLimits, download_url
from tests.https_server import HttpsServer
from tests.remote.test_fetch import FILM

server, folder = HttpsServer(int(sys.argv[1])), Path(sys.argv[2])
tell = lambda done, total: print("waiting", flush=True)
print(download_url(FILM, folder, DownloadLimits(network=server.network()), tell).outcome.value, flush=True)
"""


def test_a_second_process_waits_for_the_first_and_then_has_nothing_to_fetch(server, tmp_path):
    second: list[subprocess.Popen] = []

    def let_the_second_wait(done: int, total: int) -> None:
        if done and not second:
            command = [sys.executable, "-c", FETCH_AND_TELL, str(server.port), str(tmp_path)]
            root = Path(module.__file__).parents[2]
            second.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}))
            assert [second[0].stdout.readline() for _ in range(3)] == ["waiting\n"] * 3

    first = fetch(server, tmp_path, let_the_second_wait)
    assert first.outcome is Outcome.DOWNLOADED
    output, _ = second[0].communicate()
    assert second[0].returncode == 0
    assert output.splitlines()[-1] == "unchanged"
    assert requests(server) == [{}, {"if-none-match": '"v1"'}], "the film itself was sent once"
    assert json.loads((tmp_path / f"{FILM.digest}.json").read_text("utf-8"))["sha256"] == SHA256

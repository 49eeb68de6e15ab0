"""Downloads resume, are checked before they take their place, and fail with a sentence; served from this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request

import psutil
import pytest

from latentsync_core.cli.wording import WORDS
from latentsync_core.errors import ModelError, OutputError
from latentsync_core.messages import Remedy
from latentsync_core.models.loading import download as module
from latentsync_core.models.loading import hub_http, registry, release_files
from latentsync_core.models.loading.digests import stored_sha256
from latentsync_core.models.loading.download import DownloadOptions, download, download_missing, fetch
from latentsync_core.models.loading.registry import KnownFile
from tests.shared_reference import ROOT

CONTENT = hashlib.shake_256(b"weights").digest(300_000)
FILE = KnownFile("someone/model", "abc123", "parts/weights.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Hub:
    """A model hub of one's own: what it serves, what it was asked, and how it is to fail."""

    files: dict[str, bytes] = field(default_factory=dict)  # by path of the address
    ranges: list[str | None] = field(default_factory=list)
    honour_ranges: bool = True
    address: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)  # of each request
    redirects: dict[str, str] = field(default_factory=dict)  # address by path of another
    more: bytes = b""  # sent behind every file, without a length
    break_off: int = 0  # after so many bytes, this many times more
    breaks: int = 0
    held: threading.Event | None = None  # until it is set, files whose path ends with ...
    held_path: str = ""  # ... this are sent up to their middle


@pytest.fixture
def hub(monkeypatch) -> Hub:
    served = Hub({f"/{FILE.repository}/resolve/{FILE.revision}/{FILE.path}": CONTENT})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked = self.headers.get("Range")
            served.headers.append(dict(self.headers))
            if self.path in served.redirects:
                self.send_response(302)
                self.send_header("Location", served.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            served.ranges.append(asked)
            body = served.files.get(self.path)
            if body is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and served.honour_ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if served.more:
                self.send_header("Connection", "close")
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if served.breaks:
                served.breaks -= 1
                self.close_connection = True
                self.wfile.write(body[start : start + served.break_off])
                return
            if served.held and self.path.endswith(served.held_path):
                middle = len(body) // 2
                self.wfile.write(body[start:middle])
                served.held.wait()
                start = max(start, middle)
            try:
                self.wfile.write(body[start:] + served.more)
            except ConnectionError:  # the other side had enough
                self.close_connection = True

        def log_message(self, *_):
            pass

    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield served
        if served.held:
            served.held.set()  # a test that failed lets its answers end too
        server.shutdown()
        thread.join()


def left_behind(folder: Path) -> list[str]:
    """The files in a folder, but for the empty one that is locked while somebody downloads into it."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != module.LOCK_FILE)


def test_a_file_arrives_checked_and_noted_with_progress(hub, tmp_path):
    told = []
    target = tmp_path / "deep/weights.bin"
    fetch(FILE, target, hub.address, lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert stored_sha256(target) == FILE.sha256
    assert told == sorted(told)
    assert told[-1] == (2 * FILE.size, 2 * FILE.size)
    assert left_behind(tmp_path) == ["weights.bin", "weights.bin.checked.json"]


def test_an_interrupted_download_goes_on_where_it_stopped(hub, tmp_path):
    target = tmp_path / "weights.bin"

    def cancel(done, _total):
        if done >= 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(FILE, target, hub.address, cancel)
    assert left_behind(tmp_path) == ["weights.bin.part"]
    kept = (tmp_path / "weights.bin.part").stat().st_size
    assert 100_000 <= kept < FILE.size
    fetch(FILE, target, hub.address)
    assert hub.ranges == [None, f"bytes={kept}-"]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("beginning", [CONTENT[:1000], CONTENT + b"more"])
def test_a_beginning_that_cannot_be_gone_on_with_is_fetched_anew(hub, tmp_path, beginning):
    hub.honour_ranges = False
    (tmp_path / "weights.bin.part").write_bytes(beginning)
    fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_what_had_come_whole_is_only_checked(hub, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT)
    fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert hub.ranges == []
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_a_file_with_another_hash_leaves_nothing(hub, tmp_path):
    wrong = replace(FILE, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"another hash than the published one, 00000000"):
        fetch(wrong, tmp_path / "weights.bin", hub.address)
    assert left_behind(tmp_path) == []


def test_a_file_of_another_length_never_takes_its_place(hub, tmp_path):
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch(replace(FILE, size=FILE.size + 5), tmp_path / "weights.bin", hub.address)
    assert not (tmp_path / "weights.bin").exists()


def test_an_intact_file_is_not_fetched_again_and_a_damaged_one_is(hub, tmp_path):
    target = tmp_path / "weights.bin"
    target.write_bytes(CONTENT)  # put there by hand: no note yet
    fetch(FILE, target, hub.address)
    assert hub.ranges == []
    target.write_bytes(CONTENT[:-1] + b"?")
    fetch(FILE, target, hub.address)
    assert target.read_bytes() == CONTENT


def test_a_mirror_that_is_not_there_or_lacks_the_file_is_a_sentence(hub, tmp_path):
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch(replace(FILE, path="other.bin"), tmp_path / "other.bin", hub.address)


def test_offline_mode_is_respected(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert hub.ranges == left_behind(tmp_path) == []


def test_a_full_disk_is_noticed_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="MiB free"):
        fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert hub.ranges == []


def test_a_folder_that_cannot_be_made_is_a_sentence(hub, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="can't be written") as error:
        fetch(FILE, tmp_path / "file/weights.bin", hub.address)
    assert error.value.ways_out == (Remedy.MOVE_MODELS_FOLDER,)


PLACES = (
    "latentsync-1.5/latentsync_unet.pt",
    "latentsync-1.5/whisper/tiny.pt",
    "sd-vae-ft-mse/config.json",
    "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
)


@pytest.fixture
def release_of_kilobytes(hub, monkeypatch) -> str:
    """The name of a released model whose files, of 1000 bytes each, the hub serves."""

    def served(file: KnownFile) -> KnownFile:
        content = hashlib.shake_256(file.path.encode()).digest(1000)
        hub.files[f"/{file.repository}/resolve/{file.revision}/{file.path}"] = content
        return replace(file, size=1000, sha256=hashlib.sha256(content).hexdigest())

    real = registry.KNOWN_MODELS["latentsync-1.5"]
    small = replace(real, unet=served(real.unet), whisper=served(real.whisper))
    monkeypatch.setitem(registry.KNOWN_MODELS, "latentsync-1.5", small)
    monkeypatch.setattr(release_files, "VAE_CONFIG", served(registry.VAE_CONFIG))
    monkeypatch.setattr(release_files, "VAE_WEIGHTS", served(registry.VAE_WEIGHTS))
    return real.name


def test_a_released_model_comes_with_its_whisper_and_vae(hub, release_of_kilobytes, tmp_path):
    told = []
    options = DownloadOptions(tmp_path, hub.address)
    folder = download(release_of_kilobytes, options, lambda *done: told.append(done))
    assert folder == tmp_path / "latentsync-1.5"
    assert all((tmp_path / place).is_file() for place in PLACES)
    assert told == sorted(told)
    assert told[-1] == (8000, 8000)
    asked = len(hub.ranges)
    download(release_of_kilobytes, options)
    assert len(hub.ranges) == asked


@pytest.mark.parametrize("missing", [PLACES, *((place,) for place in PLACES[:2]), PLACES[2:]])
def test_only_what_is_missing_is_fetched(hub, release_of_kilobytes, tmp_path, missing):
    options = DownloadOptions(tmp_path, hub.address)
    download(release_of_kilobytes, options)
    for place in missing:
        (tmp_path / place).unlink()
    before, told = len(hub.ranges), []
    download_missing(release_of_kilobytes, options, lambda *done: told.append(done))
    assert all((tmp_path / place).is_file() for place in PLACES)
    assert len(hub.ranges) - before == len(missing)
    assert told[-1] == (2000 * len(missing), 2000 * len(missing))


def test_nothing_is_fetched_for_a_model_in_upstreams_layout(hub, release_of_kilobytes, tmp_path):
    download(release_of_kilobytes, DownloadOptions(tmp_path / "ours", hub.address))
    for ours, upstreams in zip(PLACES, ("latentsync_unet.pt", "whisper/tiny.pt"), strict=False):
        target = tmp_path / "theirs/checkpoints" / upstreams
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "ours" / ours, target)
    shutil.copytree(tmp_path / "ours/sd-vae-ft-mse", tmp_path / "theirs/sd-vae-ft-mse")
    asked, told = len(hub.ranges), []
    download_missing(release_of_kilobytes, DownloadOptions(tmp_path / "theirs", hub.address), told.append)
    assert (len(hub.ranges), told) == (asked, [])


@pytest.mark.parametrize("installed", [(), PLACES[:1], PLACES[2:]])
@pytest.mark.parametrize("reason", ["HF_HUB_OFFLINE", "nobody answers"])
def test_without_a_network_every_missing_file_is_named_with_its_folder(
    release_of_kilobytes, tmp_path, monkeypatch, installed, reason
):
    for place in installed:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(hashlib.shake_256(place.partition("/")[2].encode()).digest(1000))
    if reason == "HF_HUB_OFFLINE":
        monkeypatch.setenv(reason, "1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but listening to nobody
        options = DownloadOptions(tmp_path, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(ModelError) as error:
            download_missing(release_of_kilobytes, options)
    sentence = error.value.worded(WORDS)
    for place in PLACES:
        folder, name = (tmp_path / place).parent, Path(place).name
        named = re.search(rf"{re.escape(name)}[^,]* into {re.escape(str(folder))}(,|\.|$)", sentence)
        assert bool(named) == (place not in installed), place
    assert ("unset it" if reason == "HF_HUB_OFFLINE" else "try again") in sentence


def test_an_unknown_name_lists_the_choices(tmp_path):
    with pytest.raises(ModelError, match=r"latentsync-1\.5 or latentsync-1\.6"):
        download("latentsync-2", DownloadOptions(tmp_path))


# --- what is sent, and where to


@pytest.mark.parametrize("redirected", [False, True])
def test_no_token_and_no_password_is_ever_sent(hub, tmp_path, monkeypatch, redirected):
    """Neither the environment's token, nor the hub library's own, nor a .netrc file's password for this very host."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login me password secret-netrc\n")
    (home / ".netrc").chmod(0o600)
    (home / "token").write_text("secret-file")
    for name, value in {
        "HOME": home, "USERPROFILE": home, "NETRC": home / ".netrc", "HF_HOME": home, "HF_TOKEN_PATH": home / "token",
        "HF_TOKEN": "secret-environment", "HUGGING_FACE_HUB_TOKEN": "secret-old",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    if redirected:
        path = next(iter(hub.files))
        hub.files["/elsewhere"] = hub.files.pop(path)
        hub.redirects[path] = hub.address.replace("127.0.0.1", "localhost") + "/elsewhere"
    fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert len(hub.headers) == 1 + redirected
    for sent in hub.headers:
        assert "secret" not in repr(sent)
        assert {name.lower() for name in sent} <= {"host", "user-agent", "accept-encoding", "connection", "range"}


@pytest.mark.parametrize(
    ("endpoint", "word"),
    [
        ("http://example.com", "https"),
        ("http://hub.example/", "https"),
        ("http://127.0.0.1.example.com", "https"),
        ("http://169.254.169.254", "https"),
        ("ftp://127.0.0.1", "https"),
        ("file:///etc", "no address"),
        ("/etc/passwd", "no address"),
        ("", "no address"),
        ("https://", "no address"),
        ("https://exa mple.com", "no address"),
        ("https://example.com\r\nX: y", "no address"),
        ("https://example.com:99999999", "no address"),
        ("https://[::1", "no address"),
        ("https://me:secret@example.com", "password"),
        ("https://example.com/?token=secret", "query"),
    ],
)
def test_an_endpoint_that_is_not_https_is_refused_before_anything_is_sent(endpoint, word, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", endpoint) if endpoint else monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(ModelError, match=word) as error:
        fetch(FILE, tmp_path / "weights.bin", endpoint or " ")
    assert "secret" not in str(error.value)
    assert str(error.value).isprintable()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "target",
    [
        "http://192.0.2.1/weights",
        "http://example.invalid/weights",
        "file:///etc/passwd",
        "ftp://127.0.0.1/weights",
        "https://user:password@127.0.0.1/weights",
        "https:///weights",
        "https://[::1",
    ],
)
def test_a_redirect_to_anything_but_https_is_not_followed(hub, tmp_path, target):
    hub.redirects[next(iter(hub.files))] = target
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert (tmp_path / "weights.bin.part").stat().st_size == 0


def test_a_redirect_from_a_public_address_into_a_private_network_is_not_followed():
    """The public side can't be played on this machine, so the rule is asked by itself, as the opener asks it."""
    rule = hub_http._SafeRedirectHandler().redirect_request
    public = Request("https://93.184.215.14/weights")
    for private in ("http://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/", "https://[::ffff:10.0.0.1]/"):
        with pytest.raises(hub_http.UnexpectedResponse, match="private network"):
            rule(public, None, 302, "Found", {}, private)
    assert rule(public, None, 302, "Found", {}, "https://93.184.215.15/x").full_url == "https://93.184.215.15/x"


def test_redirects_in_a_circle_end(hub, tmp_path):
    path = next(iter(hub.files))
    hub.redirects |= {path: f"{hub.address}/round", "/round": hub.address + path}
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch(FILE, tmp_path / "weights.bin", hub.address)


# --- how much comes


@pytest.mark.parametrize("beginning", [b"", CONTENT[:1000]])
@pytest.mark.parametrize("honoured", [True, False])
def test_a_part_file_never_grows_beyond_the_known_size(hub, tmp_path, beginning, honoured):
    hub.more, hub.honour_ranges = b"x" * 5_000_000, honoured
    largest = 0

    def look(_done, _total):
        nonlocal largest
        largest = max([largest, *(path.stat().st_size for path in tmp_path.glob("*.part"))])

    if beginning:
        (tmp_path / "weights.bin.part").write_bytes(beginning)
    fetch(FILE, tmp_path / "weights.bin", hub.address, look)
    assert largest <= FILE.size
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_a_server_whose_file_is_longer_than_published_is_refused(hub, tmp_path):
    hub.files[next(iter(hub.files))] = CONTENT + b"more"
    with pytest.raises(ModelError, match=r"300004 bytes where 300000 were published.*nothing of it is kept"):
        fetch(FILE, tmp_path / "weights.bin", hub.address)


def test_a_connection_that_breaks_off_is_taken_up_again(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_DELAY_SECONDS", 0.01)
    hub.break_off, hub.breaks = 70_000, 3
    fetch(FILE, tmp_path / "weights.bin", hub.address)
    assert hub.ranges == [None, "bytes=70000-", "bytes=140000-", "bytes=210000-"]
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_a_connection_that_stays_broken_says_how_much_is_kept(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_DELAY_SECONDS", 0.01)
    hub.break_off, hub.breaks = 70_000, 100

    def bring_no_more(done, _total):
        hub.break_off = 0 if done >= 70_000 else hub.break_off

    with pytest.raises(ModelError, match="70 KB of it are kept"):
        fetch(FILE, tmp_path / "weights.bin", hub.address, bring_no_more)
    assert len(hub.ranges) == 1 + module.MAX_RETRIES + 1


# --- two at once


def test_two_threads_fetch_a_file_once(hub, tmp_path):
    hub.held = threading.Event()
    target, waited, failures = tmp_path / "weights.bin", [], []

    def run(on_progress=None):
        try:
            fetch(FILE, target, hub.address, on_progress)
        except BaseException as problem:
            failures.append(problem)

    first = threading.Thread(target=run)
    first.start()
    wait_until(lambda: len(hub.ranges) == 1, first)
    second = threading.Thread(target=run, args=[lambda done, total: waited.append(done)])
    second.start()
    wait_until(lambda: len(waited) >= 2, second)  # the one that waits shows progress, so that it can be cancelled
    hub.held.set()
    first.join()
    second.join()
    assert failures == []
    assert hub.ranges == [None]
    assert target.read_bytes() == CONTENT


def test_one_that_waits_can_be_cancelled(hub, tmp_path):
    hub.held = threading.Event()
    first = threading.Thread(target=fetch, args=(FILE, tmp_path / "weights.bin", hub.address))
    first.start()
    wait_until(lambda: len(hub.ranges) == 1, first)

    def cancel(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(FILE, tmp_path / "weights.bin", hub.address, cancel)
    hub.held.set()
    first.join()
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


FETCH = """
import sys
from pathlib import Path
from latentsync_core.models.loading.download import fetch
from latentsync_core.models.loading.registry import KnownFile
fetch(KnownFile(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5]), Path(sys.argv[6]), sys.argv[7])
"""


def test_two_processes_fetch_a_file_once_and_a_killed_one_holds_up_nobody(hub, tmp_path):
    hub.held = threading.Event()
    target = tmp_path / "weights.bin"
    facts = [FILE.repository, FILE.revision, FILE.path, str(FILE.size), FILE.sha256, str(target), hub.address]
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    processes = [subprocess.Popen([sys.executable, "-c", FETCH, *facts], cwd=ROOT, env=environment) for _ in range(3)]
    wait_until(lambda: len(hub.ranges) == 1, *processes)
    wait_until(lambda: target.with_name("weights.bin.part").exists(), *processes)
    holder = lock_holder(processes, tmp_path / module.LOCK_FILE)
    holder.kill()
    wait_until(lambda: len(hub.ranges) == 2, *(one for one in processes if one is not holder))  # the next one goes on
    hub.held.set()
    ended = [process.wait() for process in processes]
    assert sorted(code == 0 for code in ended) == [False, True, True]
    assert len(hub.ranges) == 2
    assert target.read_bytes() == CONTENT


def lock_holder(processes: list[subprocess.Popen], path: Path) -> subprocess.Popen:
    """The process that has the part file open: only the one that has the lock opens it."""
    part = path.with_name("weights.bin.part")
    found = [
        process
        for process in processes
        if any(opened.path == str(part) for opened in psutil.Process(process.pid).open_files())
    ]
    assert len(found) == 1
    return found[0]


def wait_until(happened: Callable[[], bool], *workers: threading.Thread | subprocess.Popen) -> None:
    """Waits for what the workers are to bring about, for as long as all of them are at work."""
    while not happened():
        for worker in workers:
            at_work = worker.is_alive() if isinstance(worker, threading.Thread) else worker.poll() is None
            assert at_work or happened(), "it ended without that"
        time.sleep(0.01)


# --- on the command line


@pytest.fixture
def small_release(hub, tmp_path):
    """A folder from which a child takes a small model for the released one: `run(*arguments)` starts the command."""
    hub.files.clear()
    real = registry.KNOWN_MODELS["latentsync-1.5"]
    lines = [
        "import sys",
        "from dataclasses import replace",
        "from latentsync_core.models.loading import registry, release_files",
    ]
    sizes = {registry.VAE_CONFIG: 1000, registry.VAE_WEIGHTS: 200_000, real.whisper: 1000, real.unet: 2_000_000}
    for file, size in sizes.items():
        content = hashlib.shake_256(file.path.encode()).digest(size)
        hub.files[f"/{file.repository}/resolve/{file.revision}/{file.path}"] = content
        lines.append(f"sizes = globals().setdefault('sizes', {{}}); sizes[{file.path!r}] = ({size}, "
                     f"{hashlib.sha256(content).hexdigest()!r})")  # fmt: skip
    lines += [
        "small = lambda file: replace(file, size=sizes[file.path][0], sha256=sizes[file.path][1])",
        "release_files.VAE_CONFIG, release_files.VAE_WEIGHTS = map(small, (registry.VAE_CONFIG, registry.VAE_WEIGHTS))",
        "model = registry.KNOWN_MODELS['latentsync-1.5']",
        "small_model = replace(model, unet=small(model.unet), whisper=small(model.whisper))",
        "registry.KNOWN_MODELS['latentsync-1.5'] = small_model",
        "from latentsync_core.cli.commands import main",
        "sys.exit(main(sys.argv[1:]))",
    ]
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}

    def run(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", "\n".join(lines), *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return run


def test_a_cancelled_download_says_what_is_kept_and_the_next_one_continues(hub, small_release, tmp_path):
    hub.held, hub.held_path = threading.Event(), "latentsync_unet.pt"
    arguments = ["download", "latentsync-1.5", "--models-folder", str(tmp_path / "m"), "--endpoint", hub.address]
    part = tmp_path / "m/latentsync-1.5/latentsync_unet.pt.part"
    running = small_release(*arguments)
    wait_until(lambda: part.exists() and part.stat().st_size >= 900_000, running)
    running.send_signal(signal.SIGINT)
    hub.held.set()
    _, told = running.communicate()
    assert running.returncode == 130
    assert re.search(r"\d [KM]B of latentsync_unet\.pt are kept; run it again to continue", told)
    assert "whisper/tiny.pt are installed" in told
    again = small_release(*arguments)
    assert again.wait() == 0
    assert any(asked for asked in hub.ranges), "it went on from what was kept"
    again.communicate()


def test_a_download_cancelled_at_once_says_that_nothing_is_there(hub, small_release, tmp_path):
    hub.held = threading.Event()
    folder = str(tmp_path / "m")
    running = small_release("download", "latentsync-1.5", "--models-folder", folder, "--endpoint", hub.address)
    wait_until(lambda: len(hub.ranges) == 1, running)
    running.send_signal(signal.SIGINT)
    hub.held.set()
    _, told = running.communicate()
    assert running.returncode == 130
    assert "cancelled; nothing was written" in told or "bytes of config.json are kept" in told

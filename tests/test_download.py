"""Downloads resume, are checked before they take their place, and fail with a sentence; served from this machine."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from latentsync_core.errors import ModelError, OutputError
from latentsync_core.models import download as module
from latentsync_core.models import known
from latentsync_core.models.download import DownloadOptions, download, fetch
from latentsync_core.models.identity import checked_sha256
from latentsync_core.models.known import KnownFile

CONTENT = hashlib.shake_256(b"weights").digest(300_000)
FILE = KnownFile("someone/model", "abc123", "parts/weights.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Hub:
    """A model hub of one's own: what it serves, what it was asked, and how it is to fail."""

    files: dict[str, bytes] = field(default_factory=dict)  # by path of the address
    ranges: list[str | None] = field(default_factory=list)
    honour_ranges: bool = True
    address: str = ""


@pytest.fixture
def hub(monkeypatch) -> Hub:
    served = Hub({f"/{FILE.repository}/resolve/{FILE.revision}/{FILE.path}": CONTENT})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked = self.headers.get("Range")
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
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:])

        def log_message(self, *_):
            pass

    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_checked_and_noted_with_progress(hub, tmp_path):
    told = []
    target = tmp_path / "deep/weights.bin"
    fetch(FILE, target, hub.address, lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert checked_sha256(target) == FILE.sha256
    assert told == sorted(told)
    assert told[-1] == (2 * FILE.size, 2 * FILE.size)
    assert left_behind(tmp_path) == ["weights.bin", "weights.bin.checked.json"]


def test_an_interrupted_download_goes_on_where_it_stopped(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
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
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
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
    with pytest.raises(OutputError, match="another models folder"):
        fetch(FILE, tmp_path / "file/weights.bin", hub.address)


def test_a_released_model_comes_with_its_whisper_and_vae(hub, tmp_path, monkeypatch):
    def served(file: KnownFile) -> KnownFile:
        content = hashlib.shake_256(file.path.encode()).digest(1000)
        hub.files[f"/{file.repository}/resolve/{file.revision}/{file.path}"] = content
        return replace(file, size=1000, sha256=hashlib.sha256(content).hexdigest())

    real = known.KNOWN_MODELS["latentsync-1.5"]
    small = replace(real, unet=served(real.unet), whisper=served(real.whisper))
    monkeypatch.setitem(known.KNOWN_MODELS, "latentsync-1.5", small)
    monkeypatch.setattr(module, "VAE_CONFIG", served(known.VAE_CONFIG))
    monkeypatch.setattr(module, "VAE_WEIGHTS", served(known.VAE_WEIGHTS))
    told = []
    options = DownloadOptions(tmp_path, hub.address)
    folder = download("latentsync-1.5", options, lambda *done: told.append(done))
    assert folder == tmp_path / "latentsync-1.5"
    for place in (
        "latentsync-1.5/latentsync_unet.pt",
        "latentsync-1.5/whisper/tiny.pt",
        "sd-vae-ft-mse/config.json",
        "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
    ):
        assert (tmp_path / place).is_file()
    assert told == sorted(told)
    assert told[-1] == (8000, 8000)
    asked = len(hub.ranges)
    download("latentsync-1.5", options)
    assert len(hub.ranges) == asked


def test_an_unknown_name_lists_the_choices(tmp_path):
    with pytest.raises(ModelError, match=r"latentsync-1\.5 or latentsync-1\.6"):
        download("latentsync-2", DownloadOptions(tmp_path))

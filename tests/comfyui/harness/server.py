"""Runs a real ComfyUI server for tests, in a temporary base directory with this pack linked in, and talks to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.comfyui.harness.find import PACK, ComfyInstall, ComfyMissing, find_comfy
from tests.comfyui.harness.listener import Listener, Message

PACK_FOLDER = "ComfyUI-LatentSync-Dub"  # as a user's custom_nodes would name it
START_SECONDS = 180  # 20 to 35 s on two busy cores
STOP_SECONDS = 10
POLL_SECONDS = 0.05
NOTHING = {  # the smallest prompt of core's nodes
    "text": {"class_type": "PrimitiveString", "inputs": {"value": ""}},
    "shown": {"class_type": "PreviewAny", "inputs": {"source": ["text", 0]}},
}
# What the page would ask a first-time user, answered.
PAGE_SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False}


class ServerFailed(Exception):
    """The server didn't start, ended early, or couldn't import this pack; the message ends with its log's tail."""


class PromptRefused(Exception):
    """The server refused a prompt; the message has a line for each node's error, `node_errors` the whole answer."""

    def __init__(self, answer: dict) -> None:
        self.node_errors: dict = answer.get("node_errors") or {}
        error = answer.get("error") or {}
        lines = [" ".join(filter(None, (error.get("message"), error.get("details"))))] if error else []
        for node_id, node in self.node_errors.items():
            lines += [f"node {node_id} ({node['class_type']}): {e['message']}: {e['details']}" for e in node["errors"]]
        super().__init__("\n".join(lines))


class RunFailed(Exception):
    """A queued prompt ended in an error or was interrupted; `run` has the details."""

    def __init__(self, run: Run) -> None:
        self.run = run
        where = f" in node {run.failed_node}" if run.failed_node else ""
        super().__init__(f"{run.status}{where}: {run.error}")


@dataclass(frozen=True)
class Run:
    """How a prompt ended: `status` is "success", "error" or "interrupted"."""

    prompt_id: str
    status: str
    history: dict
    messages: list[Message] = field(repr=False)

    @property
    def outputs(self) -> dict[str, dict]:
        """What each output node showed: {node id: {"images": [...], ...}}."""
        return self.history["outputs"]

    @property
    def nodes_run(self) -> list[str]:
        """The ids of the nodes that ran, in their order; those answered from the cache aren't among them."""
        ids = [m.data.get("node") for m in self.messages if m.type == "executing"]
        return list(dict.fromkeys(node for node in ids if node is not None))

    @property
    def cached(self) -> list[str]:
        """The ids of the nodes that the cache answered for."""
        return [node for m in self.messages if m.type == "execution_cached" for node in m.data["nodes"]]

    @property
    def previews(self) -> list[Message]:
        """The preview pictures that nodes sent while they ran: JPEG or PNG bytes in `.picture`."""
        return [m for m in self.messages if m.type == "preview"]

    def progress(self, node_id: str) -> list[tuple[float, float]]:
        """The (value, maximum) pairs that a node's progress bar showed, without repeats."""
        nodes = [m.data["nodes"].get(node_id) for m in self.messages if m.type == "progress_state"]
        return list(dict.fromkeys((node["value"], node["max"]) for node in nodes if node))

    @property
    def error(self) -> str:
        """The sentence that the page shows on the failed node; empty after a success."""
        return self._ending().get("exception_message", "").strip()

    @property
    def error_type(self) -> str:
        """The failed node's exception class, e.g. "LatentSync.VideoError"."""
        return self._ending().get("exception_type", "")

    @property
    def failed_node(self) -> str:
        """The id of the node that raised or was interrupted."""
        return self._ending().get("node_id", "")

    @property
    def traceback(self) -> str:
        """The failed node's traceback."""
        return "".join(self._ending().get("traceback", []))

    def _ending(self) -> dict:
        endings = ("execution_error", "execution_interrupted")
        return next((data for kind, data in self.history["status"]["messages"] if kind in endings), {})


class ComfyServer:
    """A ComfyUI server of our own, with folders of its own; `with ComfyServer() as server: server.run(prompt)`.

    `flags` are further command-line flags (e.g. "--cache-classic"). `inputs` and `models` put files into those folders
    before the start: {"clip.mp4": path or bytes, "latentsync/x.safetensors": ...}; a path is linked, not copied.
    `pack=None` starts without this pack; `packs` are the folders of further ones, beside it. `partners` also loads
    core's nodes that ask a paid service.

    Raises ComfyMissing where no ComfyUI can run, ServerFailed where it fails.
    """

    def __init__(
        self,
        comfy: ComfyInstall | None = None,
        *,
        flags: Sequence[str] = (),
        pack: Path | None = PACK,
        packs: Sequence[Path] = (),
        inputs: Mapping[str, Path | bytes] | None = None,
        models: Mapping[str, Path | bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        partners: bool = False,
    ) -> None:
        self.comfy = comfy or find_comfy()
        self.flags = tuple(flags)
        self.pack = pack
        self.packs = tuple(packs)
        self.partners = partners
        self.start_seconds = 0.0
        self._inputs, self._models, self._environment = inputs or {}, models or {}, environment or {}
        self._process: subprocess.Popen | None = None
        self._listener: Listener | None = None
        self._client_id = str(uuid.uuid4())
        self._object_info: dict | None = None

    def __enter__(self) -> ComfyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Start and end

    def start(self) -> None:
        """Makes the base directory, starts the server and waits until it answers."""
        self.base = Path(tempfile.mkdtemp(prefix="latentsync_comfyui_")).resolve()
        self.input, self.output, self.temp = self.base / "input", self.base / "output", self.base / "temp"
        self.models, self.user, self.custom_nodes = self.base / "models", self.base / "user", self.base / "custom_nodes"
        for folder in (self.input, self.output, self.models, self.user / "default", self.custom_nodes):
            folder.mkdir(parents=True)
        (self.user / "default" / "comfy.settings.json").write_text(json.dumps(PAGE_SETTINGS), encoding="utf-8")
        if self.pack is not None:
            (self.custom_nodes / PACK_FOLDER).symlink_to(self.pack, target_is_directory=True)
        for folder in self.packs:
            (self.custom_nodes / folder.name).symlink_to(folder, target_is_directory=True)
        self.put_files(self.input, self._inputs)
        self.put_files(self.models, self._models)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        before = time.monotonic()
        try:
            self._spawn()
            self._wait_until_ready()
            self.start_seconds = time.monotonic() - before
            self._listener = Listener(f"127.0.0.1:{self.port}", self._client_id)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Asks the server to end, ends it by force after 10 s, and deletes its folders."""
        if self._listener is not None:
            self._listener.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            _kill_group(self._process)
        shutil.rmtree(self.base, ignore_errors=True)

    def _spawn(self) -> None:
        command = [str(self.comfy.python), "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--disable-auto-launch"]
        command += [] if self.partners else ["--disable-api-nodes"]
        command += ["--database-url", "sqlite:///:memory:", *self.flags]
        stripped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST"}
        environment = {name: value for name, value in os.environ.items() if name not in stripped}
        environment |= {
            "LATENTSYNC_TEST_PYTHON": sys.executable,
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
        }
        environment |= self._environment
        with open(self.base / "log", "wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.comfy.root, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None:
                missing = re.findall(r"^(?:ModuleNotFoundError|ImportError): .*", self.log(), re.MULTILINE)
                if missing:
                    raise ComfyMissing(f"the ComfyUI at {self.comfy.root} doesn't start: {missing[-1]}")
                raise ServerFailed(f"ComfyUI ended while starting, with {self._process.returncode}{self._log_tail()}")
            try:
                self._get("/system_stats")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(POLL_SECONDS)
            if time.monotonic() > deadline:
                raise ServerFailed(f"ComfyUI wasn't ready within {START_SECONDS} s{self._log_tail()}")
        for folder in (PACK_FOLDER, *(pack.name for pack in self.packs)):
            if re.search(rf"IMPORT FAILED.*{re.escape(folder)}", self.log()):
                raise ServerFailed(f"ComfyUI could not import {folder}{self._log_tail()}")

    # Prompts

    def object_info(self) -> dict[str, dict]:
        """Every node's inputs and outputs, as the page gets them; fetched once."""
        if self._object_info is None:
            self._object_info = self._get("/object_info")
        return self._object_info

    def node_info(self, node: str) -> dict:
        """One node's inputs and outputs as they are now: lists of files are read afresh."""
        return self._get(f"/object_info/{node}")[node]

    def queue(self, prompt: Mapping[str, dict], workflow: dict | None = None) -> str:
        """Queues an API prompt and gives its id; raises PromptRefused if any of its nodes is invalid.

        `workflow` goes along as the page sends its own, for the metadata of files.
        """
        self._raise_if_ended()
        extra = {} if workflow is None else {"extra_data": {"extra_pnginfo": {"workflow": workflow}}}
        answer = self._post("/prompt", {"prompt": prompt, "client_id": self._client_id, **extra})
        if "prompt_id" not in answer:
            raise PromptRefused(answer)
        if answer.get("node_errors"):  # other outputs of the prompt are fine and would run without the invalid ones
            self._post("/queue", {"delete": [answer["prompt_id"]]})
            self.interrupt(answer["prompt_id"])
            raise PromptRefused(answer)
        return answer["prompt_id"]

    def wait(self, prompt_id: str, timeout: float = 600) -> Run:
        """Waits for a queued prompt to end, in success or not. Raises TimeoutError, having interrupted it."""
        deadline = time.monotonic() + timeout
        while not (history := self._get(f"/history/{prompt_id}").get(prompt_id)):
            self._raise_if_ended()
            if time.monotonic() > deadline:
                self.interrupt(prompt_id)
                raise TimeoutError(f"the prompt was not done after {timeout} s{self._log_tail()}")
            time.sleep(POLL_SECONDS)
        self._wait_for_last_message(prompt_id)
        kinds = {kind for kind, _ in history["status"]["messages"]}
        status = "interrupted" if "execution_interrupted" in kinds else history["status"]["status_str"]
        return Run(prompt_id, status, history, self._listener.of(prompt_id))

    def run(self, prompt: Mapping[str, dict], timeout: float = 600, workflow: dict | None = None) -> Run:
        """Queues a prompt and waits; raises PromptRefused, RunFailed or TimeoutError unless it succeeds."""
        run = self.wait(self.queue(prompt, workflow), timeout)
        if run.status != "success":
            raise RunFailed(run)
        return run

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Stops the running prompt, or the one named if it is running."""
        self._post("/interrupt", {"prompt_id": prompt_id} if prompt_id else {})

    def wait_for(self, prompt_id: str, kind: str, timeout: float = 300, *, node: str | None = None) -> Message:
        """The first message of a kind ("executing", "progress", "preview", ...) of a running prompt, as it comes."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._raise_if_ended()
            for message in self._listener.of(prompt_id, kind):
                if node in (None, message.data.get("node"), message.data.get("node_id")):
                    return message
            time.sleep(POLL_SECONDS)
        seen = sorted({message.type for message in self._listener.of(prompt_id)})
        raise TimeoutError(f"no {kind} message within {timeout} s; came: {seen}{self._log_tail()}")

    def free(self, timeout: float = 20) -> None:
        """Has models unloaded and caches dropped, and waits until the server's memory has settled.

        Asks again and again: a request that comes while the server still collects the garbage of a prompt wakes nobody,
        and lies there until the next prompt or request.
        """
        deadline = time.monotonic() + timeout
        settled, before = 0, self.rss()
        while settled < 3 and time.monotonic() < deadline:
            self._post("/free", {"unload_models": True, "free_memory": True})
            time.sleep(0.3)
            now = self.rss()
            settled = settled + 1 if abs(now - before) < 1 << 20 else 0
            before = now
        # Should the last request lie there still, this prompt's end answers it, not that of one whose cache is wanted.
        self.run(NOTHING)

    # What it made and used

    def files(self, run: Run, node_id: str) -> list[Path]:
        """The files that an output node showed or saved, in whatever list of its output they are."""
        entries = [entry for shown in run.outputs[node_id].values() if isinstance(shown, list) for entry in shown]
        entries = [entry for entry in entries if isinstance(entry, dict) and "filename" in entry]
        return [getattr(self, e["type"]) / e.get("subfolder", "") / e["filename"] for e in entries]

    def put_files(self, folder: Path, files: Mapping[str, Path | bytes]) -> None:
        """Puts files under input/, models/ or another folder: paths as links, bytes as files."""
        for name, content in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.symlink_to(Path(content).resolve())

    def rss(self) -> int:
        """Resident bytes of the server and its children (ffmpeg)."""
        server = psutil.Process(self._process.pid)
        total = server.memory_info().rss
        for child in server.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.NoSuchProcess:  # ended meanwhile
                continue
        return total

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def messages(self) -> list[Message]:
        """Every websocket message so far."""
        return self._listener.messages

    def log(self) -> str:
        """All that the server printed, without colours."""
        return re.sub(r"\x1b\[\d*m", "", (self.base / "log").read_text(encoding="utf-8", errors="replace"))

    def pack_import_seconds(self) -> float:
        """How long ComfyUI says that importing the pack took, in steps of 0.1 s."""
        found = re.search(rf"^.*?([\d.]+) seconds.*{re.escape(PACK_FOLDER)}", self.log(), re.MULTILINE)
        if not found:
            raise ServerFailed(f"the log has no import time of the pack{self._log_tail()}")
        return float(found.group(1))

    def _wait_for_last_message(self, prompt_id: str) -> None:
        """Messages come by another way than the history: wait for the one that ends a prompt (2 s at most)."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if any(m.data.get("node", "") is None for m in self._listener.of(prompt_id, "executing")):
                return
            time.sleep(0.01)

    def _raise_if_ended(self) -> None:
        if self._process.poll() is not None:
            raise ServerFailed(f"ComfyUI ended with {self._process.returncode}{self._log_tail()}")

    def _log_tail(self, lines: int = 30) -> str:
        log_lines = [
            line[:400] for line in self.log().splitlines() if line.strip() and "comfy_kitchen backend" not in line
        ]
        return "; its log ends:\n" + "\n".join(log_lines[-lines:])

    def _get(self, path: str) -> dict:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def _post(self, path: str, content: dict) -> dict:
        request = urllib.request.Request(
            self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
            if error.code != 400:
                raise ServerFailed(f"{path} answered {error.code}: {body[:500]!r}{self._log_tail()}") from error
        return json.loads(body) if body else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _kill_group(process: subprocess.Popen) -> None:
    """Ends what is left of the process group that `start_new_session` gave the server."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()

"""ComfyUI's runtime as the nodes use it: schemas, progress and cancel, folders, the running prompt."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..latentsync_core.audio.source import AudioSource
from ..latentsync_core.errors import OutputError
from ..latentsync_core.files.prefix import file_prefix
from ..latentsync_core.files.scratch import atomic_write, remove_stale_scratch
from ..latentsync_core.models.vae import LatentCodec
from ..latentsync_core.phases import Phase, PhaseText
from ..latentsync_core.progress import SPAN_TOTAL, span
from ..latentsync_core.progress import Progress as EngineProgress

BLOCKED = ExecutionBlocker(None)  # as an output: nodes that need it don't run, and no error is shown
TEMP_SUBFOLDER = "latentsync_dub"  # below ComfyUI's temp folder: the one place there that is ours
MODELS_FOLDER = "latentsync"
PREVIEW_INTERVAL_SECONDS = 0.5  # between two previews; drawing one must not slow the work
PREVIEW_SIZE = 512  # pixels
TEXT_INTERVAL_SECONDS = 1.0  # between two lines of text that say how far the node is


# ---- schemas


def schema(**arguments: Any) -> io.Schema:
    """A Schema of what this ComfyUI knows: newer facts (search_aliases since 0.10) are left out where it is older."""
    supported = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(
        category="LatentSync Dub", **{name: argument for name, argument in arguments.items() if name in supported}
    )


def input_names(node: type[io.ComfyNode]) -> list[str]:
    """The names of a node's inputs, sockets and widgets."""
    return [declared.id for declared in node.define_schema().inputs]


# ---- progress and cancel


class Progress:
    """The engine's progress on the running node's bar; raises ComfyUI's interrupt, which cancels the stage.

    `phases` are shares of the bar, for a node that does one thing after another: `progress.phase("voice")` returns the
    callback of one of them. A page that is connected also shows in words what is done, and how long the rest takes.
    """

    def __init__(self, **phases: float) -> None:
        self._bar = comfy.utils.ProgressBar(SPAN_TOTAL)
        self._phases = phases or {"all": 1.0}
        self._expected: dict[str, float] = {}  # seconds of each phase, in order, by the name of its words
        self._plan = ""
        self._value = 0
        self._previewed_at = -math.inf

    def expect(self, seconds: Mapping[str, float | None], plan: str = "") -> None:
        """Takes what phases that begin from here on are expected to take, in order, by the names of a PhaseProgress.

        `plan` says in a line what is to be done: it is shown at once, and stays above the progress in words.
        """
        self._expected = {name: one for name, one in seconds.items() if one is not None}
        self._plan = plan
        if plan and (show := text_display()):
            show(plan)

    def phase(self, name: str = "all", words: Phase | None = None, frames: int = 0) -> EngineProgress:
        """The callback `on_progress(done, total)` of a phase; `words` and `frames` as PhaseText takes them."""
        names = list(self._phases)
        whole = sum(self._phases.values())
        start = sum(self._phases[earlier] for earlier in names[: names.index(name)]) / whole
        return self._in_words(span(self._update, start, start + self._phases[name] / whole), words, frames)

    def whole_bar(self, words: Phase) -> EngineProgress:
        """The callback of a phase that has the whole bar to itself, before the others begin at 0 again.

        For what is seldom done and takes longer than all the rest, such as a download. Nothing is shown until it is
        called.
        """
        return self._in_words(span(self._update, 0, 1), words, 0)

    def _in_words(self, report: EngineProgress, words: Phase | None, frames: int) -> EngineProgress:
        """`report`, with a line of text beside the bar, now and then."""
        if words is None:
            return report
        names = list(self._expected)
        place = names.index(words.name.lower()) if words.name.lower() in names else None
        expected = None if place is None else self._expected[names[place]]
        after = 0.0 if place is None else sum(self._expected[name] for name in names[place + 1 :])
        text, shown_at = PhaseText(words, frames, expected=expected, after=after), -math.inf
        plan = [self._plan] if self._plan else []

        def report_in_words(done: int, total: int) -> None:
            nonlocal shown_at
            report(done, total)
            if time.monotonic() - shown_at >= TEXT_INTERVAL_SECONDS and (show := text_display()):
                shown_at = time.monotonic()
                show("\n".join([*plan, text.line(done, total)]))

        return report_in_words

    def _update(self, done: int, _total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if done < self._value:  # begins again after a download: one of ComfyUI's bars never shows less than before
            self._bar = comfy.utils.ProgressBar(SPAN_TOTAL)
        self._value = done
        self._bar.update_absolute(done)

    def preview(self, codec: LatentCodec):
        """The callback `on_preview(latents)`: shows the middle face of the window, now and then, while it is drawn."""

        def show(latents: torch.Tensor) -> None:
            if time.monotonic() - self._previewed_at < PREVIEW_INTERVAL_SECONDS:
                return
            face = codec.decode(latents[len(latents) // 2][None])[0] / 2 + 0.5  # (3, R, R)
            self._bar.update_absolute(self._value, preview=("JPEG", to_pil_image(face), PREVIEW_SIZE))
            self._previewed_at = time.monotonic()

        return show


def text_display() -> Callable[[str], None] | None:
    """Shows a line of text on the running node, in the page that queued it; None where no page is connected to see it.

    web/js takes the line away when the node has ended. ComfyUIs that can't show any give None, too.
    """
    from server import PromptServer

    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:
        return None
    server, context = getattr(PromptServer, "instance", None), get_executing_context()
    send, page = getattr(server, "send_progress_text", None), getattr(server, "client_id", None)
    if send is None or context is None or page is None or page not in getattr(server, "sockets", ()):
        return None
    return lambda text: send(text, context.node_id, page)


def raise_if_interrupted(_done: int, _total: int) -> None:
    """A progress callback that shows nothing, for a step too short for the bar; raises ComfyUI's interrupt."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def to_pil_image(rgb: torch.Tensor):
    """A PIL image of (3, h, w) in [0, 1]."""
    from PIL import Image

    levels = (rgb.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


# ---- folders


def register_models_folder() -> None:
    """Makes models/latentsync a model folder, beside those that extra_model_paths.yaml names."""
    folder_paths.add_model_folder_path(MODELS_FOLDER, str(Path(folder_paths.models_dir) / MODELS_FOLDER))


def input_files(suffixes: Collection[str]) -> list[str]:
    """The names of the files in the input folder, not below it, that end in one of the suffixes."""
    folder = Path(folder_paths.get_input_directory())
    return sorted(path.name for path in folder.glob("*") if path.suffix.lower() in suffixes and path.is_file())


def input_file(name: str) -> Path | None:
    """A file of the input folder by its name; None for a name that leads elsewhere."""
    folder = Path(folder_paths.get_input_directory()).resolve()
    path = (folder / name).resolve()
    return path if path.parent == folder else None


def file_below_input(name: str) -> Path | None:
    """A file of the input folder or of a folder in it; None where there is none, or the name leads elsewhere."""
    folder = Path(folder_paths.get_input_directory()).resolve()
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):  # no name of a file: too long, or with a null character
        return None


def place_below_input(name: str) -> Path | None:
    """A file or folder below the input folder, by its name there; None where there is none, or it leads elsewhere."""
    folder = Path(folder_paths.get_input_directory()).resolve()
    try:
        path = (folder / name).resolve()
        return path if path != folder and is_below_input(path) and path.exists() else None
    except (OSError, ValueError):  # no name of a file: too long, or with a null character
        return None


def is_below_input(path: Path) -> bool:
    """Whether a path, links followed, lies below the input folder."""
    return path.resolve().is_relative_to(Path(folder_paths.get_input_directory()).resolve())


def output_subfolder(name: str) -> Path:
    """A folder below the output folder, made where it is missing.

    Raises OptionError for a name that leads elsewhere, OutputError where it can't be made.
    """
    folder = Path(folder_paths.get_output_directory(), file_prefix(name, name="output_folder"))
    make_folder(folder)
    return folder


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it. OutputError: it can't be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"Can't make the folder {folder} ({problem.strerror}); give another name.") from None


def models_folders() -> list[Path]:
    """Where models may lie, the first being where a download goes."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(MODELS_FOLDER)]


def pack_temp_folder(*parts: str) -> Path:
    """A folder of ours below ComfyUI's temp folder, made where it is missing; ComfyUI empties it when it starts."""
    folder = Path(folder_paths.get_temp_directory(), TEMP_SUBFOLDER, *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def numbered_output(prefix: str, size: tuple[int, int]) -> str:
    """The beginning of the paths of one run's files in the output folder, with the next free number: ".../dub_00003_".

    ComfyUI counts whatever begins so, so all files of a run share a number that no file had before. `prefix` may name
    sub-folders, but none outside of the output folder. What a killed ComfyUI left there is swept; in its temp folder it
    isn't, since ComfyUI empties that by itself.

    Raises OptionError for another prefix, OutputError where its folder can't be made.
    """
    prefix, output = file_prefix(prefix), folder_paths.get_output_directory()
    try:
        folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, output, *size)
    except OSError as problem:
        raise OutputError(
            f"There can't be a folder for {prefix!r} below the output folder ({problem.strerror}); give another "
            "filename_prefix."
        ) from None
    remove_stale_scratch(Path(folder))
    return str(Path(folder) / f"{name}_{counter:05}_")


def temporary_output(prefix: str) -> str:
    """The beginning of a new path in our folder below the temp folder, called as the last part of `prefix`."""
    return str(pack_temp_folder("results") / f"{Path(file_prefix(prefix)).name or 'dub'}-{uuid.uuid4().hex[:12]}")


def saved_result(path: Path) -> dict[str, str]:
    """How the page asks for a file in the output or temp folder."""
    roots = {"output": folder_paths.get_output_directory(), "temp": folder_paths.get_temp_directory()}
    for kind, root in roots.items():
        if path.is_relative_to(root):
            inside = path.relative_to(root)
            return {"filename": inside.name, "subfolder": inside.parent.as_posix().removeprefix("."), "type": kind}
    raise ValueError(f"{path} is in neither of ComfyUI's output and temp folders")


# ---- what the page shows, and what other nodes take


def preview_image(rgb: torch.Tensor) -> dict[str, list[dict[str, str]]]:
    """(3, h, w) in [0, 1] as a picture on the node."""
    path = pack_temp_folder("previews") / f"{uuid.uuid4().hex}.jpg"
    to_pil_image(rgb).save(path, quality=90)
    return {"images": [saved_result(path)]}


def save_workflow_picture(path: Path, rgb: torch.Tensor, texts: Mapping[str, str]) -> None:
    """(3, h, w) in [0, 1] as a PNG with `workflow_texts` in it, for a result in a container that the page can't read.

    Raises OutputError where it can't be written.
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    try:
        with atomic_write(path) as partial:
            to_pil_image(rgb).save(partial, format="PNG", pnginfo=info)
    except OSError as problem:
        raise OutputError(f"Can't write {path}: {problem.strerror or problem}.") from None


def audio_value(sound: AudioSource) -> dict[str, Any]:
    """A sound as AUDIO: (1, channels, samples) float32 at its own rate."""
    return {"waveform": sound.whole()[None].contiguous(), "sample_rate": sound.sample_rate}


# ---- the prompt at hand


def connected_outputs(prompt: Mapping[str, Any], node_id: str) -> frozenset[int]:
    """Which outputs of a node some other node of the prompt takes."""
    links = (value for node in prompt.values() for value in node.get("inputs", {}).values())
    return frozenset(int(link[1]) for link in links if _is_link(link) and str(link[0]) == str(node_id))


def running_prompt(node_id: str | None) -> Mapping[str, Any]:
    """The prompt being executed that has this node (None: whichever is); empty where ComfyUI doesn't tell.

    `fingerprint_inputs` is not given the prompt, but only through it can a node run again because an output was
    connected that it had no reason to make before.
    """
    from server import PromptServer

    queue = PromptServer.instance.prompt_queue
    current = getattr(queue, "get_current_queue_volatile", queue.get_current_queue)
    running, _ = current()
    return next((item[2] for item in running if node_id is None or str(node_id) in item[2]), {})


def workflow_texts(hidden: Any) -> dict[str, str]:
    """What makes the page open a saved file's graph: the running prompt and its workflow as JSON, as far as known.

    Empty where ComfyUI was started with --disable-metadata.
    """
    from comfy.cli_args import args

    if args.disable_metadata:
        return {}
    extra = hidden.extra_pnginfo if isinstance(hidden.extra_pnginfo, Mapping) else {}
    values = {"prompt": hidden.prompt, "workflow": extra.get("workflow")}
    return {name: json.dumps(value) for name, value in values.items() if value}


def upstream_nodes(prompt: Mapping[str, Any], node_id: str, only: str | None = None) -> Iterator[Mapping[str, Any]]:
    """Every node that feeds this one, directly or through others; `only` names the one of its inputs that counts."""
    inputs = prompt.get(str(node_id), {}).get("inputs", {})
    links, seen = [value for name, value in inputs.items() if only in (None, name)], set()
    while links:
        link = links.pop()
        if _is_link(link) and str(link[0]) not in seen:
            seen.add(str(link[0]))
            node = prompt.get(str(link[0]), {})
            links += node.get("inputs", {}).values()
            yield node


def _is_link(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[1], int)

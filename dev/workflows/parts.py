"""What the shipped workflows are made of: nodes by group, links by name, widgets beside the defaults, notes."""

from __future__ import annotations

from dataclasses import dataclass, field

BYPASSED, MUTED = 4, 2  # values of a node's mode
MODEL = "nano (demonstration)"  # carried with the pack, so that a fresh ComfyUI runs 01 to 05
GREEN, BLUE, VIOLET, ORANGE, RED = "#3f7f5f", "#3f5f8f", "#6f4f8f", "#9f6f2f", "#8f3f4f"
WIDTH = 320  # pixels on the canvas, of a node


@dataclass(frozen=True)
class Node:
    """One node; `inputs` are {input: "key of another node.output"}.

    Its room is measured (dev.measure_nodes); `display_height` is more of it, in pixels, for text. `square` nodes show
    square pictures, which need more room than a film's.
    """

    key: str
    kind: str
    inputs: dict[str, str] = field(default_factory=dict)
    widgets: dict[str, object] = field(default_factory=dict)
    title: str = ""
    mode: int = 0
    display_height: int = 0
    width: int = WIDTH
    square: bool = False

    @property
    def height_key(self) -> str:
        """Its name in the table of measured heights."""
        return f"{self.kind} (square)" if self.square else self.kind


@dataclass(frozen=True)
class Group:
    """A coloured frame around columns of nodes."""

    title: str
    color: str
    columns: list[list[Node]]


@dataclass(frozen=True)
class Workflow:
    """Rows of groups, beside a note."""

    name: str
    text: str
    rows: list[list[Group]]
    note_size: tuple[int, int] = (440, 620)
    needs_other_packs: bool = False
    first: tuple[str, ...] = ()  # keys of nodes whose ids come before the others', as in the file's first release

    @property
    def note(self) -> Node:
        """The MarkdownNote, whose room is all of its height."""
        width, height = self.note_size
        return Node(
            "note", "MarkdownNote", widgets={"text": self.text}, title="Read me", width=width, display_height=height
        )

    @property
    def nodes(self) -> list[Node]:
        """All of them, in the order of their ids: `first`, then as the graph goes on."""
        placed = [n for row in self.rows for group in row for column in group.columns for n in column]
        place = {key: number for number, key in enumerate(self.first)}
        return [self.note, *sorted(placed, key=lambda node: place.get(node.key, len(place)))]


def scene(key: str = "scene") -> Node:
    return Node(key, "LatentSyncDubSampleScene", width=300)


def load_model() -> Node:
    return Node("model", "LatentSyncDubLoadModel", widgets={"model": MODEL})


def prepare_faces(
    clip: str, key: str = "faces", title: str = "", width: int = 440, square: bool = False, **widgets: object
) -> Node:
    return Node(key, "LatentSyncDubPrepareFaces", {"clip": clip}, widgets, title, width=width, square=square)


def select_faces(key: str, title: str, faces: str = "faces", **widgets: object) -> Node:
    inputs = {"faces": f"{faces}.faces"}
    return Node(key, "LatentSyncDubSelectFaces", inputs, widgets, title)


def embed_audio(voice: str, key: str = "voice", title: str = "") -> Node:
    return Node(key, "LatentSyncDubEmbedAudio", {"model": "model.model", "audio": voice}, title=title)


def sampler(
    trepa: bool = True,
    key: str = "sampler",
    faces: str = "faces",
    voice: str = "voice",
    title: str = "",
    lines: str = "",
    **widgets: object,
) -> Node:
    inputs = {"model": "model.model", "faces": f"{faces}.faces", "audio": f"{voice}.audio"}
    if lines:
        inputs["lines"] = f"{lines}.lines"
    if trepa:
        inputs["trepa"] = "trepa.trepa"
    return Node(key, "LatentSyncDubSampler", inputs, {**FIXED, **widgets}, title)


def composite(
    synced: str = "sampler.synced",
    mix: str = "",
    square: bool = False,
    second_synced: str = "",
    foreground: str = "",
    **widgets: object,
) -> Node:
    inputs = (
        {"synced": synced}
        | ({"mux_audio": mix} if mix else {})
        | ({"synced_2": second_synced} if second_synced else {})
        | ({"foreground": foreground} if foreground else {})
    )
    return Node("composite", "LatentSyncDubComposite", inputs, widgets, square=square)


def save(name: str, source: str = "composite.video", square: bool = False) -> Node:
    return Node("save", "SaveVideo", {"video": source}, {"filename_prefix": f"LatentSync/{name}"}, square=square)


FIXED = {"seed": 1, "control_after_generate": "fixed"}
TREPA = Node("trepa", "LatentSyncDubTrepaSettings")

SOURCES = """
**With your own film:** replace *LatentSync Sample Scene* with *Load Video* and *Load Audio*. Any length, size and
frame rate works; the audio must be the voice alone, without music.
"""
REAL_RESULTS = """
**For film** choose *latentsync-1.6* as the model (512 px crops; 5 GB, downloaded once). *nano*, which is selected here,
is a bundled demonstration model: its mouths follow the voice, but it was trained on rendered people and its mouths are
soft.
"""
HELP = "Every node has a help page: select it and press the **i** above it."


def text(title: str, *parts: str) -> str:
    """A note: its lines unwrapped within paragraphs, so that it fits a note of any width."""
    paragraphs = []
    for part in parts:
        for block in part.strip().split("\n\n"):
            lines = block.strip().splitlines()
            as_list = lines[0][0].isdigit() or lines[0].startswith("- ")
            paragraphs.append(_unwrapped_list(lines) if as_list else " ".join(lines))
    return "\n\n".join([f"## {title}", *paragraphs])


def _unwrapped_list(lines: list[str]) -> str:
    joined: list[str] = []
    for line in lines:
        if line.startswith("   "):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    return "\n".join(joined)

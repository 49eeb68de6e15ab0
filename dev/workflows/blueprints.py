"""The blueprints of subgraphs/: parts of a dub that the page's node library offers as one node each."""

from __future__ import annotations

from dataclasses import dataclass

from dev.workflows.parts import (
    BLUE,
    GREEN,
    RED,
    VIOLET,
    Group,
    Node,
    Workflow,
    composite,
    embed_audio,
    load_model,
    sampler,
    select_faces,
)


@dataclass(frozen=True)
class Port:
    """An input or output of a blueprint: its name, and the slots inside, "key.name", that it stands for."""

    name: str
    slots: tuple[str, ...]


@dataclass(frozen=True)
class Blueprint:
    """Nodes that become one; inputs that are widgets inside are widgets of the one node."""

    name: str
    description: str
    groups: list[Group]
    inputs: list[Port]
    outputs: list[Port]

    @property
    def graph(self) -> Workflow:
        """The nodes, laid out as a workflow's."""
        return Workflow(self.name, self.description, [self.groups])

    @property
    def nodes(self) -> list[Node]:
        return [node for group in self.groups for column in group.columns for node in column]


def _open(node: Node, *names: str) -> Node:
    """The node without links to these inputs, which the blueprint's own inputs feed."""
    return Node(
        node.key, node.kind, {name: link for name, link in node.inputs.items() if name not in names}, node.widgets,
        node.title, node.mode, node.display_height, node.width, node.square,
    )  # fmt: skip


FACES = Node("faces", "LatentSyncDubPrepareFaces", width=440)

DUB_A_CLIP = Blueprint(
    "Dub a clip",
    "A clip and a dubbed voice in, the clip out with its mouth following the voice; the film gets mux_audio, or else "
    "the voice.",
    [
        Group("1  Model, faces and voice", GREEN, [[load_model(), _open(embed_audio(""), "audio")], [FACES]]),
        Group("2  New mouths", VIOLET, [[sampler(trepa=False, quality="recommended")]]),
        Group("3  Into the clip", RED, [[composite()]]),
    ],
    [
        Port("clip", ("faces.clip",)),
        Port("voice", ("voice.audio",)),
        Port("mux_audio", ("composite.mux_audio",)),
        Port("model", ("model.model",)),
        Port("quality", ("sampler.quality",)),
        Port("length", ("sampler.length",)),
        Port("codec", ("composite.codec",)),
    ],
    [Port("video", ("composite.video",))],
)

DUB_TWO_SPEAKERS = Blueprint(
    "Dub two speakers",
    "A clip with two people and a voice for each. Person 0 is A on the sheet, who is seen most, 1 is B: run Prepare "
    "Faces alone to see them.",
    [
        Group("1  Model and faces", GREEN, [[load_model(), FACES]]),
        Group(
            "2  First speaker",
            BLUE,
            [[
                select_faces("first", "Select Faces: first", by="person", person=0),
                _open(embed_audio("", "first_voice", "Embed Audio: first"), "audio"),
                sampler(False, "first_mouths", "first", "first_voice", "Sampler: first", quality="recommended"),
            ]],
        ),
        Group(
            "3  Second speaker",
            VIOLET,
            [[
                select_faces("second", "Select Faces: second", by="person", person=1),
                _open(embed_audio("", "second_voice", "Embed Audio: second"), "audio"),
                sampler(False, "second_mouths", "second", "second_voice", "Sampler: second", quality="recommended"),
            ]],
        ),
        Group(
            "4  Into the clip", RED, [[composite("first_mouths.synced", second_synced="second_mouths.synced")]]
        ),
    ],
    [
        Port("clip", ("faces.clip",)),
        Port("first_voice", ("first_voice.audio",)),
        Port("second_voice", ("second_voice.audio",)),
        Port("mux_audio", ("composite.mux_audio",)),
        Port("first_person", ("first.person",)),
        Port("second_person", ("second.person",)),
        Port("model", ("model.model",)),
        Port("quality", ("first_mouths.quality", "second_mouths.quality")),
        Port("codec", ("composite.codec",)),
    ],
    [Port("video", ("composite.video",))],
)  # fmt: skip

RESTORE_AND_COMPOSITE = Blueprint(
    "Restore faces and composite",
    "The sampler's faces leave as images, pass a restorer, and are pasted into the clip. Upscale Image By stands for "
    "the restorer: open the blueprint and put your own in its place.",
    [
        Group(
            "1  Restore",
            BLUE,
            [[
                Node("decode", "LatentSyncDubDecodeFaces"),
                Node(
                    "restore", "ImageScaleBy", {"image": "decode.crops"},
                    {"upscale_method": "lanczos", "scale_by": 1.5}, title="Upscale Image By (your restorer here)",
                ),
                Node("replace", "LatentSyncDubReplaceFaces", {"crops": "restore.IMAGE"}),
            ]],
        ),
        Group("2  Into the clip", RED, [[composite("replace.synced", region="face")]]),
    ],
    [
        Port("synced", ("decode.synced", "replace.synced")),
        Port("mux_audio", ("composite.mux_audio",)),
        Port("scale_by", ("restore.scale_by",)),
        Port("region", ("composite.region",)),
        Port("codec", ("composite.codec",)),
    ],
    [Port("video", ("composite.video",))],
)  # fmt: skip

BLUEPRINTS = [DUB_A_CLIP, DUB_TWO_SPEAKERS, RESTORE_AND_COMPOSITE]

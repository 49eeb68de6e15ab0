"""Dialogue Lines node: lines of subtitles or a speech recogniser, from a text or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..latentsync_core.dubbing.lines.dialogue import time_text
from ..latentsync_core.dubbing.lines.line_formats import LINE_SUFFIXES, load_lines, parse_lines, write_lines
from ..latentsync_core.errors import DialogueError
from ._checks import check_inputs
from ._clips import clip_from_input
from ._comfy import input_file, input_files, input_names, schema
from ._sockets import Lines
from ._wording import note_lines

NO_FILE = "none"


class DialogueLines(io.ComfyNode):
    """Connects `parse_lines` and `load_lines` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubDialogueLines",
            display_name="LatentSync Dialogue Lines",
            description="Who says what from when to when: subtitles (SRT, WebVTT, TTML) or what a speech recogniser "
            "wrote, checked. Its texts go to a speech synthesis one by one, its lines to Place Lines.",
            search_aliases=["subtitles", "srt", "vtt", "dialogue", "script", "dubbing"],
            is_output_node=True,  # so that lines can be checked by themselves
            inputs=[
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    tooltip="The lines, to be written or edited here, or from a node that recognises speech. "
                    "[Anna]: before the words names a speaker. Where it is empty, `file` is read.",
                ),
                io.Combo.Input(
                    "file",
                    options=[NO_FILE, *input_files(LINE_SUFFIXES)],
                    default=NO_FILE,
                    optional=True,
                    tooltip="A file in ComfyUI's input folder; none takes `text` alone.",
                ),
                io.Video.Input("video", optional=True, tooltip="The clip: no line may end after it."),
            ],
            outputs=[
                Lines.Output(display_name="lines", tooltip="For LatentSync Place Lines."),
                io.String.Output(
                    display_name="texts",
                    is_output_list=True,
                    tooltip="The words of each line, one after another: a speech synthesis that takes one text runs "
                    "once for each.",
                ),
                io.String.Output(
                    display_name="speakers", is_output_list=True, tooltip="The speaker of each line, empty for none."
                ),
                io.String.Output(display_name="srt", tooltip="All lines as SRT."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, text: str = "", file: str = NO_FILE, **_others: Any) -> Any:
        if not isinstance(file, str) or file == NO_FILE or (isinstance(text, str) and text.strip()):
            return text
        path = input_file(file)
        facts = path.stat() if path is not None and path.is_file() else None
        return (file, facts.st_mtime_ns, facts.st_size) if facts else file

    @classmethod
    @check_inputs
    def execute(cls, text: str, file: str = NO_FILE, video: Any = None) -> io.NodeOutput:
        seconds = None if video is None else clip_from_input(video, fps=1.0).exact_duration
        written = bool(text.strip())
        dialogue = parse_lines(text, "the text", seconds) if written else load_lines(_chosen(file), seconds)
        srt = write_lines(dialogue.lines)
        shown = [
            f"{time_text(line.start)} {line.speaker + ': ' if line.speaker else ''}{line.spoken_text}"
            for line in dialogue.lines
        ]
        ui = {"text": [*note_lines(dialogue.notes, input_names(cls)), *shown]}
        texts, speakers = [line.spoken_text for line in dialogue.lines], [line.speaker for line in dialogue.lines]
        return io.NodeOutput(dialogue, texts, speakers, srt, ui=ui)


def _chosen(file: str) -> Path:
    path = None if file == NO_FILE else input_file(file)
    if path is None:
        raise DialogueError("No lines were given: write them into text, or choose a file in ComfyUI's input folder.")
    return path

"""The commands of dubbing by lines: `lines`; each a thin layer over `latentsync_core/dubbing`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..dubbing.line_formats import WRITABLE, Dialogue, LineFormat, load_lines, write_lines
from ..errors import OptionError, OutputError
from ..files.output_checks import check_no_overwrite, check_target
from ..files.scratch import atomic_write
from ..messages import NoteLevel
from .wording import WORDS


def run_lines(options: argparse.Namespace) -> None:
    """Checks a file of lines, lists them, and converts them with --out."""
    out: Path | None = options.out
    target = None if out is None else _written_format(out)
    if out is not None:
        check_target(out)
        check_no_overwrite((out,), (("the clip", options.video),))
    dialogue = load_lines(options.file, clip_seconds(options.video))
    if out is not None and target is not None:
        write_text(out, write_lines(dialogue.lines, target))
    if options.json:
        print(json.dumps(dialogue_data(dialogue, options.out), ensure_ascii=False))
        return
    speakers = f", speakers: {', '.join(dialogue.speakers)}" if dialogue.speakers else ""
    last = max(line.end for line in dialogue.lines)
    print(f"{options.file}: {len(dialogue.lines)} lines ({dialogue.format.value}), the last ends at {float(last):.3f} s"
          f"{speakers}")  # fmt: skip
    for note in dialogue.notes:
        print(f"  {'warning' if note.level is NoteLevel.WARNING else 'note'}: {note.worded(WORDS)}")
    if target is not None:
        print(f"written: {options.out}")


def _written_format(out: Path) -> LineFormat:
    found = next((kind for kind in WRITABLE if out.suffix.lower() == f".{kind.value}"), None)
    if found is None:
        raise OptionError(f"{out.name} names no format to write; end it in .srt, .vtt or .json")
    return found


def dialogue_data(dialogue: Dialogue, out: Path | None) -> dict:
    """The lines for machines, as whisperX's segments, with what was read."""
    segments = json.loads(write_lines(dialogue.lines, LineFormat.JSON))
    notes = [note.worded(WORDS) for note in dialogue.notes]
    return {"format": dialogue.format.value, **segments, "notes": notes, "written": str(out) if out else None}


def clip_seconds(video: Path | None):
    """A clip's exact length in seconds; None for none."""
    if video is None:
        return None
    from ..video.reading.probing import probe

    return probe(video).exact_duration


def write_text(path: Path, text: str) -> None:
    """Raises OutputError where it can't be written."""
    try:
        with atomic_write(path) as partial:
            partial.write_text(text, "utf-8", newline="\n")
    except OSError as problem:
        raise OutputError(f"Can't write {path}: {problem.strerror or problem}.") from None

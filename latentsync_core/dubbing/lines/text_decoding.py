"""Decodes the bytes of subtitle files: by their byte order mark, as UTF-8, as UTF-16 without a mark, or as Latin-1."""

from __future__ import annotations

import codecs
from pathlib import Path

from ...errors import DialogueError
from ...media.opening import check_file
from ...messages import Note, NoteLevel

MAX_BYTES = 32 << 20  # of a file of lines; a film's subtitles take some hundred kilobytes
BYTE_ORDER_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> tuple[str, tuple[Note, ...]]:
    """A text file's content with line feeds at the ends of its lines, and a note where the encoding was a guess.

    Raises:
        DialogueError: there is no such file, it is empty or too large, or it is no text.
    """
    check_file(path, DialogueError)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise DialogueError(f"{path} can't be read ({problem.strerror}): check its permissions.") from None
    if len(data) > MAX_BYTES:
        raise DialogueError(f"{path} is larger than {MAX_BYTES >> 20} MB, so no list of lines: name the subtitle file.")
    return decode_text(data, path.name)


def decode_text(data: bytes, name: str) -> tuple[str, tuple[Note, ...]]:
    """As `read_text`, of bytes; `name` is what messages call them."""
    marked = next((encoding for mark, encoding in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    encoding = marked or _encoding_without_mark(data)
    try:
        text, notes = data.decode(encoding), ()
    except UnicodeDecodeError:
        if marked:
            raise DialogueError(f"{name} is damaged: it is marked as {marked}, and isn't: export it again.") from None
        # Windows' Latin-1 has typographic quotes where the standard one has control characters.
        try:
            text, used = data.decode("cp1252"), "Windows-1252 (Latin-1)"
        except UnicodeDecodeError:
            text, used = data.decode("latin-1"), "ISO 8859-1 (Latin-1)"
        notes = (
            Note(
                f"{name} is no UTF-8 and was read as {used}: if accented letters look wrong, save it as UTF-8.",
                NoteLevel.WARNING,
            ),
        )
    if "\0" in text:
        raise DialogueError(f"{name} is no text file: give subtitles in SRT, VTT, TTML, JSON or RTTM.")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _encoding_without_mark(data: bytes) -> str:
    """UTF-16 where every other byte of the beginning is zero, as in its Western letters; else UTF-8."""
    head = data[:200]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > len(head) // 4 and not even:
        return "utf-16-le"
    if even > len(head) // 4 and not odd:
        return "utf-16-be"
    return "utf-8"

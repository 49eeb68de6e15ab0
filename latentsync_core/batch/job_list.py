"""Reads a list of jobs: a CSV or JSON file with a row for each, or a folder of clips with a voice beside each."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from ..files.media_suffixes import SOUND_SUFFIXES, VIDEO_SUFFIXES

ENCODINGS = ("utf-8-sig", "utf-16")  # as spreadsheets save CSV
DELIMITERS = ",;\t"  # a comma in English spreadsheets, a semicolon in most others
MAX_LIST_BYTES = 256 << 20


@dataclass(frozen=True)
class JobPart:
    """Some of the work on a long job, which a worker does by itself."""

    stage: str  # what is done
    first: int  # of which frames: first..stop-1
    stop: int

    @property
    def name(self) -> str:
        """A name for its files."""
        return f"{self.stage}-{self.first}-{self.stop}"


@dataclass(frozen=True)
class Job:
    """A row of the list: the settings that it gives, as text."""

    number: int  # its place in the list, from 1
    settings: tuple[tuple[str, str], ...]  # name and value; a name may come several times
    part: JobPart | None = None  # of the row's work; None: the row itself

    @property
    def name(self) -> str:
        """What people know it by: its result or else its clip, or at least its number."""
        given = dict(self.settings)
        return Path(given.get("out") or given.get("video") or f"row {self.number}").name


def read_job_list(path: Path) -> list[Job]:
    """The jobs of a .csv or .json file, or of a folder. Empty cells, rows and JSON's nulls are left out.

    A CSV file begins with the names of its columns; a column may come several times. JSON is a list of objects, whose
    values are text, numbers, true, false, or lists of these. A folder's jobs are its clips, in the order of their
    names, each with the sound of the same name as its voice.

    Raises:
        OptionError: the list can't be read or is empty.
    """
    try:
        if not path.exists():
            raise OptionError(f"There is no {path}: give a .csv or .json file, or a folder of clips.")
        if path.is_dir():
            rows = _folder_rows(path)
        elif path.suffix.lower() == ".json":
            rows = _json_rows(path)
        elif path.suffix.lower() == ".csv":
            rows = _csv_rows(path)
        else:
            raise OptionError(f"{path.name} is no list of jobs: give a .csv or .json file, or a folder of clips.")
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise OptionError(f"{str(path)!r} can't be read: {reason}.") from None
    jobs = [Job(number, tuple(row)) for number, row in rows if row]
    if not jobs:
        raise OptionError(f"{path} holds no job.")
    return jobs


def _csv_rows(path: Path) -> list[tuple[int, list[tuple[str, str]]]]:
    text = _text(path)
    if not text.strip():
        return []
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as problem:
        raise OptionError(f"{path.name} is no CSV file: {problem}.") from None
    names = [_name(name) for name in lines[0]]
    rows = []
    for number, line in enumerate(lines[1:], 1):
        if len(line) > len(names) and any(cell.strip() for cell in line[len(names) :]):
            raise OptionError(
                f"Row {number} of {path.name} has {len(line)} values, but there are {len(names)} columns: put a value "
                f"that holds {delimiter!r} into double quotes."
            )
        cells = [(name, cell.strip()) for name, cell in zip(names, line, strict=False) if cell.strip()]
        if unnamed := [cell for name, cell in cells if not name]:
            raise OptionError(f"{unnamed[0]!r} in row {number} of {path.name} stands in a column without a name.")
        rows.append((number, cells))
    return rows


def _json_rows(path: Path) -> list[tuple[int, list[tuple[str, str]]]]:
    try:
        data = json.loads(_text(path) or "[]")
    except (json.JSONDecodeError, RecursionError) as problem:
        raise OptionError(f"{path.name} is no JSON file: {problem}.") from None
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise OptionError(f'{path.name} has to be a list of objects: [{{"video": "a.mp4", "audio": "a.wav"}}].')
    return [
        (number, [(_name(name), text) for name, value in row.items() for text in _json_texts(value, name, number)])
        for number, row in enumerate(data, 1)
    ]


def _json_texts(value: object, name: str, number: int) -> list[str]:
    if isinstance(value, list):
        return [text for one in value for text in _json_texts(one, name, number)]
    if value is None or value == "":
        return []
    if isinstance(value, (bool, int, float, str)):
        return [str(value).lower() if isinstance(value, bool) else str(value)]
    raise OptionError(f"{name!r} of row {number} is an object: write text, a number, true, false, or a list of these.")


def _folder_rows(path: Path) -> list[tuple[int, list[tuple[str, str]]]]:
    clips, voices = [], defaultdict(list)
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix.lower() in VIDEO_SUFFIXES:
            clips.append(file)
        elif file.suffix.lower() in SOUND_SUFFIXES:
            voices[file.stem].append(file)
    return [
        (number, [("video", str(clip)), *(("audio", str(voice)) for voice in voices[clip.stem])])
        for number, clip in enumerate(clips, 1)
    ]


def _name(text: str) -> str:
    """The name of a setting: "Mux audio", "mux_audio" and "--mux-audio" are one."""
    return text.strip().lower().lstrip("-").replace("_", "-").replace(" ", "-")


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise OptionError(f"{path.name} is larger than {MAX_LIST_BYTES >> 20} MiB: that is no list of jobs.")
    content = path.read_bytes()
    encoding = ENCODINGS[content[:2] in (b"\xff\xfe", b"\xfe\xff")]
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as problem:
        raise OptionError(f"{path.name} is not UTF-8 at byte {problem.start}: save it as UTF-8.") from None

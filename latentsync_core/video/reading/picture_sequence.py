"""Sequences of numbered pictures as clips: finds their files, and decodes them one by one."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import VideoError
from ...media.opening import MAX_FRAME_PIXELS, open_sequence_picture, unreadable_message
from ..clip import FileIdentity
from ..pixel_format import has_alpha, is_supported, nearest_supported, planar_name, with_alpha

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SEQUENCE_SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dpx"}
PLACEHOLDER = re.compile(r"%(?:0(\d+))?d|#+")  # for the number: "%04d", "%d" or "####"
NUMBERED = re.compile(r"(.*?)(\d+)$", re.DOTALL)  # of a name without its suffix: the last digits


def sequence_files(path: Path) -> tuple[Path, ...]:
    """The pictures of the sequence that `path` names, in order; none where it names a file.

    Args:
        path: names with a placeholder for the number, such as ``shot_%04d.png`` or ``shot.####.dpx``, or a folder that
            holds one sequence.

    Raises:
        VideoError: there is no such sequence, or several, or a picture of it is missing.
    """
    if os.path.isdir(path):
        return _only_sequence(path)
    if (
        os.path.lexists(path)
        or len(PLACEHOLDER.findall(path.name)) != 1
        or path.suffix.lower() not in SEQUENCE_SUFFIXES
    ):
        return ()
    (place,) = PLACEHOLDER.finditer(path.name)
    pattern = re.compile(f"{re.escape(path.name[: place.start()])}(\\d+){re.escape(path.name[place.end() :])}")
    found = {match[1]: file for file in _files(path.parent) if (match := pattern.fullmatch(file.name))}
    if not found:
        raise VideoError(f"There are no pictures {path}: check their names and folder.")
    return _in_order(found, str(path))


def sequence_identity(path: Path, files: tuple[Path, ...]) -> FileIdentity:
    """Tells a sequence from what it was before: by every picture's name, size and time.

    Raises:
        VideoError: a picture is gone.
    """
    digest, size, newest = hashlib.sha256(), 0, 0
    for file in files:
        try:
            facts = file.stat()
        except OSError as problem:
            raise VideoError(f"Can't read {file}: {problem.strerror or problem}.") from None
        digest.update(f"{file.name}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode(errors="surrogateescape"))
        size, newest = size + facts.st_size, max(newest, facts.st_mtime_ns)
    return FileIdentity(path, size, newest, digest.hexdigest())


def read_picture(path: Path) -> VideoFrame:
    """`decoded_picture` in a format that is supported, with alpha or without, and holds all of its samples.

    Raises:
        VideoError: see there.
    """
    frame = decoded_picture(path)
    name = frame.format.name
    if is_supported(planar_name(name)):
        return frame
    wanted = nearest_supported(name)
    return frame.reformat(format=with_alpha(wanted) if has_alpha(name) else wanted)


def decoded_picture(path: Path) -> VideoFrame:
    """A picture as it is stored, with its colour tags.

    Raises:
        VideoError: it can't be read, or has too many pixels.
    """
    from av.error import FFmpegError

    try:
        with open_sequence_picture(path) as container:
            stream = container.streams.video[0]
            size = (stream.codec_context.width, stream.codec_context.height)
            if size[0] * size[1] > MAX_FRAME_PIXELS:
                raise VideoError(f"The picture {path} is {size[0]}×{size[1]}: scale it down first.")
            frame = next(container.decode(stream), None)
    except FFmpegError as problem:
        raise VideoError(unreadable_message(path, problem, VideoError)) from None
    if frame is None:
        raise VideoError(f"The picture {path} is damaged: export it again.")
    return frame


def _only_sequence(folder: Path) -> tuple[Path, ...]:
    sequences: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for file in _files(folder):
        numbered = NUMBERED.match(file.stem)
        if numbered and file.suffix.lower() in SEQUENCE_SUFFIXES and not file.name.startswith("."):
            sequences[numbered[1], file.suffix][numbered[2]] = file
    named = [str(folder / f"{prefix}%0{len(min(found))}d{suffix}") for (prefix, suffix), found in sequences.items()]
    if not named:
        raise VideoError(f"{folder} is a folder without numbered pictures: name a file in it.")
    if named[1:]:
        raise VideoError(f"{folder} holds {len(named)} sequences of pictures: name one of them, such as {named[0]}.")
    return _in_order(next(iter(sequences.values())), named[0])


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as problem:
        raise VideoError(f"Can't read the folder {folder} ({problem.strerror}): check its name.") from None


def _in_order(found: dict[str, Path], name: str) -> tuple[Path, ...]:
    by_number = {int(number): path for number, path in found.items()}
    if len(by_number) < len(found):
        raise VideoError(f"{name} has two pictures of one number, with more zeros and with fewer: remove one of them.")
    numbers = sorted(by_number)
    missing = next((before + 1 for before, after in pairwise(numbers) if after != before + 1), None)
    if missing is not None:
        raise VideoError(f"Picture {missing} of {name} is missing, {numbers[0]} to {numbers[-1]} are there: add it.")
    return tuple(by_number[number] for number in numbers)

"""Lines of dialogue: who says what from when to when, and the checks that every reader's result has to pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...audio.pause_options import PauseBehaviour
from ...errors import DialogueError

MAX_LISTED_PROBLEMS = 3  # lines that one message names
MAX_LINES = 100_000  # of a film of ten hours there are some 10 000
MAX_TIME = Fraction(100 * 3600)  # seconds; SRT has two digits for the hours
TIME_TOLERANCE = Fraction(1, 1000)  # seconds: SRT and VTT round to milliseconds
MAX_SHOWN_TEXT = 30  # characters of a line that a message repeats


@dataclass(frozen=True)
class LineSettings:
    """How the mouth is generated while a line is spoken; None: as the job has it."""

    seed: int | None = None  # of the initial noise
    expression: float | None = None  # how far the mouth moves; see SamplerOptions.expression
    pauses: PauseBehaviour | None = None  # what the mouth does where the voice pauses within the line
    enabled: bool = True  # False: the line's frames are left unchanged


@dataclass(frozen=True)
class DialogueLine:
    """One line of dialogue; times in exact seconds after the clip's first frame."""

    start: Fraction
    end: Fraction
    text: str = ""  # as written, rows parted by line feeds; "" where only the times are known
    speaker: str = ""  # "" where no name is given
    settings: LineSettings = LineSettings()

    @property
    def spoken_text(self) -> str:
        """The text in one row, as speech synthesis takes it."""
        return " ".join(self.text.split())

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.end - self.start


def in_order(lines: Iterable[DialogueLine]) -> tuple[DialogueLine, ...]:
    """The lines by their start, those that start together by their end."""
    return tuple(sorted(lines, key=lambda line: (line.start, line.end)))


def check_lines(lines: Sequence[DialogueLine], name: str, clip_seconds: Fraction | float | None = None) -> None:
    """Raises unless the lines, in order, can be spoken one after another by each of their speakers.

    Args:
        name: what to call the lines in messages, such as their file's name.
        clip_seconds: how long the clip lasts; None leaves out the check against it.

    Raises:
        DialogueError: there is no line or too many, a time is negative or too large, a line ends before it starts, two
            lines of one speaker overlap, or a line ends after the clip.
    """
    if not lines:
        raise DialogueError(f"{name} holds no line of dialogue: give subtitles with at least one line and its times.")
    if len(lines) > MAX_LINES:
        raise DialogueError(f"{name} holds {len(lines)} lines, more than {MAX_LINES}: split it.")
    _raise_for(
        name,
        [f"{_named(number, line)} starts at {time_text(line.start)}" for number, line in _numbered(lines)
         if line.start < 0],
        "times count from the clip's first frame and can't be negative: shift the lines",
    )  # fmt: skip
    _raise_for(
        name,
        [f"{_named(number, line)} ends at {time_text(line.end)}, and starts at {time_text(line.start)}"
         for number, line in _numbered(lines) if line.end <= line.start],
        "a line has to end after it starts: correct its times",
    )  # fmt: skip
    _raise_for(
        name,
        [f"{_named(number, line)} ends at {time_text(line.end)}" for number, line in _numbered(lines)
         if line.end > MAX_TIME],
        "no clip lasts 100 hours: check whether the times are in another unit",
    )  # fmt: skip
    _raise_for(name, _overlaps(lines), "one person can't speak two lines at once: correct the times or the speakers")
    if clip_seconds is not None:
        _raise_for(
            name,
            [f"{_named(number, line)} ends at {time_text(line.end)}" for number, line in _numbered(lines)
             if line.end > clip_seconds + TIME_TOLERANCE],
            f"the clip ends at {time_text(clip_seconds)}: give the subtitles of this clip, or correct the times",
        )  # fmt: skip


def time_text(seconds: Fraction | float) -> str:
    """A time as messages show it: "00:01:02.500", to the millisecond."""
    milliseconds = round(abs(seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{'-' if seconds < 0 else ''}{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def exact_seconds(value: float) -> Fraction:
    """A float's seconds to the microsecond, so that 0.1 is a tenth."""
    return Fraction(round(value * 1_000_000), 1_000_000)


def _numbered(lines: Sequence[DialogueLine]) -> Iterable[tuple[int, DialogueLine]]:
    return enumerate(lines, 1)


def _named(number: int, line: DialogueLine) -> str:
    text = line.spoken_text
    shown = text if len(text) <= MAX_SHOWN_TEXT else f"{text[: MAX_SHOWN_TEXT - 3]}..."
    return f"line {number}" + (f" ({shown!r})" if shown else "")


def _overlaps(lines: Sequence[DialogueLine]) -> list[str]:
    last: dict[str, tuple[int, DialogueLine]] = {}
    found = []
    for number, line in _numbered(lines):
        earlier = last.get(line.speaker)
        if earlier is not None and line.start < earlier[1].end:
            who = f" of {line.speaker}" if line.speaker else ""
            found.append(
                f"{_named(number, line)}{who} starts at {time_text(line.start)}, before line {earlier[0]} ends at "
                f"{time_text(earlier[1].end)}"
            )
        if earlier is None or line.end > earlier[1].end:
            last[line.speaker] = number, line
    return found


def _raise_for(name: str, problems: Sequence[str], way_out: str) -> None:
    if problems:
        more = f", and {len(problems) - MAX_LISTED_PROBLEMS} more" if len(problems) > MAX_LISTED_PROBLEMS else ""
        raise DialogueError(f"In {name} {'; '.join(problems[:MAX_LISTED_PROBLEMS])}{more}: {way_out}.")

"""Lays spoken lines on a clip's times, to the sample, and reports which don't fit and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from ..audio.source import AudioSource
from ..errors import AudioError, DialogueError
from ..media.downmix import to_mono
from ..messages import Note, NoteLevel
from ..progress import Progress
from .fit_options import FitOptions
from .fitting import fit_speech, stretch_method
from .lines.dialogue import DialogueLine, check_lines
from .sound_filter import resampled

FIT_TOLERANCE = 0.01  # seconds past a line's end that still count as fitting
LOOSE_SECONDS = Fraction(1, 4)  # that are listened to before and after a line of a long dub, whose times are rough
FADE_SECONDS = 0.02  # of speech that is cut off


@dataclass(frozen=True)
class PlacedLine:
    """What became of one line; seconds on the clip's clock."""

    number: int  # from 1
    start: float
    end: float  # as the line has it
    speech_end: float  # where the speech ends
    natural_seconds: float  # of the speech, before it was stretched
    tempo: float  # 1 where it wasn't
    cut_seconds: float  # of speech that was cut off: the same speaker's next line, or the clip's end, comes before

    @property
    def over_seconds(self) -> float:
        """By how much the speech would have to be shorter to end with its line; 0 where it fits."""
        over = self.speech_end + self.cut_seconds - self.end
        return over if over > FIT_TOLERANCE else 0.0

    @property
    def fits(self) -> bool:
        """Whether the speech ends with its line or before."""
        return not self.over_seconds and not self.cut_seconds


@dataclass(frozen=True, eq=False)
class PlacedDub:
    """The voice of a whole clip."""

    waveform: torch.Tensor  # (1, round(clip seconds * rate)) float32
    rate: int  # Hz
    lines: tuple[PlacedLine, ...]
    method: str  # what stretched the speech: "rubberband" or "atempo"

    @property
    def notes(self) -> tuple[Note, ...]:
        """Which lines don't fit, and what stretched them."""
        misfits = [line for line in self.lines if not line.fits]
        notes = [Note(misfit_text(line), NoteLevel.WARNING) for line in misfits]
        if self.method == "atempo" and any(line.tempo != 1 for line in self.lines):
            notes.append(
                Note("This ffmpeg has no rubberband: lines were stretched with its atempo, which sounds rougher.")
            )
        return tuple(notes)


def misfit_text(line: PlacedLine) -> str:
    """What doesn't fit of a line, as a sentence."""
    text = f"Line {line.number} is {line.over_seconds:.2f} s too long at {line.tempo:.2f} times its speed"
    if line.cut_seconds:
        return f"{text}; its last {line.cut_seconds:.2f} s were cut off: shorten its text, or move its neighbour."
    return f"{text}: it goes on into the pause after it. Shorten its text for an exact end."


def place_lines(
    lines: Sequence[DialogueLine],
    sounds: Sequence[AudioSource],
    clip_seconds: Fraction,
    options: FitOptions | None = None,
    rate: int | None = None,
    on_progress: Progress | None = None,
) -> PlacedDub:
    """Each line's sound, trimmed and fitted, begins with its line; where two speak at once their sounds are added.

    Args:
        lines: in order.
        sounds: one for each line, of any rate and channels; they are mixed to mono.
        clip_seconds: the clip's exact length, and the result's.
        rate: of the result in Hz; None takes the highest of the sounds.

    Raises:
        DialogueError: the lines don't pass `check_lines`, or there aren't as many sounds.
        AudioError: a sound can't be read, or is silent.
    """
    check_lines(lines, "the lines", clip_seconds)
    if len(sounds) != len(lines):
        raise DialogueError(
            f"There are {len(lines)} lines and {len(sounds)} sounds: give one sound for each line, in the lines' order."
        )
    rate = rate or max(sound.sample_rate for sound in sounds)
    return _place(lines, _mono_sounds(sounds, rate), clip_seconds, rate, options or FitOptions(), on_progress)


def place_long_dub(
    lines: Sequence[DialogueLine],
    dub: AudioSource,
    dub_lines: Sequence[DialogueLine],
    clip_seconds: Fraction,
    options: FitOptions | None = None,
    rate: int | None = None,
    on_progress: Progress | None = None,
) -> PlacedDub:
    """As `place_lines`, of one long sound.

    Args:
        dub_lines: when each line is spoken in the dub; as many as `lines`, in the same order.
    """
    check_lines(lines, "the lines", clip_seconds)
    if len(dub_lines) != len(lines):
        raise DialogueError(
            f"There are {len(lines)} lines, but the dub's timing has {len(dub_lines)}: both need the same lines in the "
            "same order."
        )
    check_lines(dub_lines, "the dub's timing", dub.duration + float(LOOSE_SECONDS))
    rate = rate or dub.sample_rate
    return _place(lines, _parts(dub, dub_lines, rate), clip_seconds, rate, options or FitOptions(), on_progress)


def _place(
    lines: Sequence[DialogueLine],
    sounds: Iterator[torch.Tensor],
    clip_seconds: Fraction,
    rate: int,
    options: FitOptions,
    on_progress: Progress | None,
) -> PlacedDub:
    length = round(clip_seconds * rate)
    waveform = torch.zeros(1, length)
    limits = _limits(lines, rate, length)
    placed = []
    for number, (line, samples, limit) in enumerate(zip(lines, sounds, limits, strict=True), 1):
        try:
            fitted = fit_speech(samples, rate, float(line.duration), options)
        except AudioError as problem:
            raise AudioError(f"The sound of line {number} can't be fitted: {problem}.") from None
        start = round(line.start * rate)
        kept, cut = _cut_at(fitted.samples, fitted.lead + limit - start, rate)
        first = max(0, start - fitted.lead)
        kept = kept[first - (start - fitted.lead) :]
        waveform[0, first : first + len(kept)] += kept[: length - first]
        speech_end = start + fitted.speech_samples
        cut_seconds = max(0, speech_end - limit) / rate if cut else 0.0
        placed.append(
            PlacedLine(
                number, start / rate, float(line.end), min(speech_end, limit) / rate, fitted.natural_seconds,
                fitted.tempo, cut_seconds,
            )
        )  # fmt: skip
        if on_progress:
            on_progress(number, len(lines))
    return PlacedDub(waveform, rate, tuple(placed), stretch_method())


def _limits(lines: Sequence[DialogueLine], rate: int, length: int) -> list[int]:
    """The sample at which each line has to be over: where its speaker's next one starts, or the clip ends."""
    limits, following = [length] * len(lines), {}
    for place in reversed(range(len(lines))):
        line = lines[place]
        limits[place] = min(length, following.get(line.speaker, length))
        following[line.speaker] = round(line.start * rate)
    return limits


def _cut_at(samples: torch.Tensor, room: int, rate: int) -> tuple[torch.Tensor, bool]:
    """What fits into `room` samples, faded out where something is cut off, and whether it is."""
    if len(samples) <= room:
        return samples, False
    kept = samples[: max(0, room)].clone()
    fade = min(len(kept), round(FADE_SECONDS * rate))
    kept[len(kept) - fade :] *= torch.linspace(1, 0, fade)
    return kept, True


def _mono_sounds(sounds: Sequence[AudioSource], rate: int) -> Iterator[torch.Tensor]:
    for sound in sounds:
        yield resampled(to_mono(sound.whole(), sound.mono_channel)[None], sound.sample_rate, rate)[0]


def _parts(dub: AudioSource, dub_lines: Sequence[DialogueLine], rate: int) -> Iterator[torch.Tensor]:
    """Each line of a long dub: from its start to its end, and up to halfway into the pauses around it."""
    mono = resampled(to_mono(dub.whole(), dub.mono_channel)[None], dub.sample_rate, rate)[0]
    for place, line in enumerate(dub_lines):
        before = dub_lines[place - 1].end if place else Fraction(0)
        after = dub_lines[place + 1].start if place + 1 < len(dub_lines) else Fraction(len(mono), rate)
        start = line.start - min(LOOSE_SECONDS, max(Fraction(0), (line.start - before) / 2))
        end = line.end + min(LOOSE_SECONDS, max(Fraction(0), (after - line.end) / 2))
        yield mono[max(0, round(start * rate)) : round(end * rate)]

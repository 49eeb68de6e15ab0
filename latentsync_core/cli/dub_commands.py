"""The commands of dubbing by lines, `lines`, `place`, `mix`, `voice-check`, `enhance`: thin layers over the engine."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..dubbing.enhance_options import EnhanceOptions
from ..dubbing.fit_options import FitOptions
from ..dubbing.lines.dialogue import LineSettings
from ..dubbing.lines.line_formats import WRITABLE, Dialogue, LineFormat, load_lines, write_lines
from ..dubbing.mix_options import Loudness, MixOptions, Reverb
from ..errors import OptionError, OutputError
from ..files.media_suffixes import SOUND_SUFFIXES
from ..files.output_checks import check_no_overwrite, check_target
from ..files.scratch import atomic_write
from ..messages import Note, NoteLevel
from .console import ProgressBars
from .wording import WORDS

if TYPE_CHECKING:
    import torch

DIGITS = re.compile(r"(\d+)")


def run_lines(options: argparse.Namespace) -> None:
    """Checks a file of lines, lists them, and converts them with --out."""
    out: Path | None = options.out
    target = None if out is None else _written_format(out)
    if out is not None:
        check_target(out)
        check_no_overwrite((out,), (("the clip", options.video),))
    dialogue = load_lines(options.file, None if options.video is None else clip_seconds(options.video))
    if target not in (None, LineFormat.JSON) and any(line.settings != LineSettings() for line in dialogue.lines):
        lost = Note("settings of lines (seed, expression, pauses, enabled) are kept in .json alone", NoteLevel.WARNING)
        dialogue = dataclasses.replace(dialogue, notes=(*dialogue.notes, lost))
    if out is not None and target is not None:
        write_text(out, write_lines(dialogue.lines, target))
    if options.json:
        print(json.dumps(dialogue_data(dialogue, options.out), ensure_ascii=False))
        return
    speakers = f", speakers: {', '.join(dialogue.speakers)}" if dialogue.speakers else ""
    last = max(line.end for line in dialogue.lines)
    print(f"{options.file}: {len(dialogue.lines)} lines ({dialogue.format.value}), the last ends at {float(last):.3f} s"
          f"{speakers}")  # fmt: skip
    print_notes(dialogue.notes)
    if target is not None:
        print(f"written: {options.out}")


def run_place(options: argparse.Namespace) -> None:
    """Lays the sounds of lines on a clip's times, and reports which don't fit."""
    from ..audio.source import load_audio
    from ..dubbing.placement import place_lines, place_long_dub

    seconds = clip_seconds(options.video)
    dialogue = load_lines(options.lines, seconds)
    paths = _sound_files(options.sounds)
    sounds_named = [("one of the sounds", path) for path in paths]
    _check_wav(options.out, [("the clip", options.video), *sounds_named, ("the lines", options.lines)])
    fit = FitOptions(options.min_tempo, options.max_tempo)
    sounds = [load_audio(path) for path in paths]
    with ProgressBars(quiet=options.json) as on_progress:
        report = functools.partial(on_progress, "lines")
        if options.dub_lines is None:
            dub = place_lines(dialogue.lines, sounds, seconds, fit, options.rate, report)
        elif len(sounds) == 1:
            timing = load_lines(options.dub_lines).lines
            dub = place_long_dub(dialogue.lines, sounds[0], timing, seconds, fit, options.rate, report)
        else:
            raise OptionError(f"--dub-lines is for one long dub, and there are {len(sounds)} sounds: leave it out")
    _write_wav(options.out, dub.waveform, dub.rate)
    if options.json:
        lines = [
            dataclasses.asdict(line) | {"over_seconds": line.over_seconds, "fits": line.fits} for line in dub.lines
        ]
        notes = [note.worded(WORDS) for note in dub.notes]
        print(json.dumps({"written": str(options.out), "rate": dub.rate, "lines": lines, "notes": notes}))
        return
    fitting = sum(line.fits for line in dub.lines)
    print(f"{options.out}: {len(dub.lines)} lines, {fitting} of them fit, {dub.waveform.shape[1] / dub.rate:.3f} s")
    print_notes(dub.notes)


def run_mix(options: argparse.Namespace) -> None:
    """Mixes a dub with its background."""
    from ..audio.source import load_audio
    from ..dubbing.dub_mix import mix_dub

    inputs = [("the dub", options.dub), ("the background", options.background), ("the original", options.original),
              ("the impulse response", options.impulse)]  # fmt: skip
    _check_wav(options.out, inputs)
    settings = MixOptions(
        dub_gain=options.dub_gain,
        background_gain=options.background_gain,
        duck=options.duck,
        attack=options.attack,
        release=options.release,
        reverb=Reverb(options.reverb),
        reverb_level=options.reverb_level,
        pan=options.pan,
        loudness=Loudness(options.loudness),
        true_peak=None if options.no_limiter else options.true_peak,
    )
    dub, background, original, impulse = (None if path is None else load_audio(path) for _, path in inputs)
    assert dub is not None  # argparse requires it
    mix = mix_dub(dub, background, settings, original, impulse)
    _write_wav(options.out, mix.waveform, mix.rate)
    facts = {"lufs": round(mix.measured.lufs, 2), "true_peak": round(mix.measured.true_peak, 2), "decay": mix.decay}
    if options.json:
        notes = [note.worded(WORDS) for note in mix.notes]
        print(json.dumps({"written": str(options.out), "rate": mix.rate, **facts, "notes": notes}, default=str))
        return
    room = "" if mix.decay is None else f", the room rings for {mix.decay:.2f} s"
    print(
        f"{options.out}: {len(mix.waveform)} channels, {mix.waveform.shape[1] / mix.rate:.3f} s, "
        f"{mix.measured.lufs:.1f} LUFS, true peak {mix.measured.true_peak:.1f} dBTP{room}"
    )
    print_notes(mix.notes)


def run_voice_check(options: argparse.Namespace) -> None:
    """Lists what is wrong with a voice."""
    from ..audio.source import load_audio
    from ..dubbing.voice_check import check_voice

    voice = load_audio(options.voice)
    report = check_voice(voice, None if options.video is None else float(clip_seconds(options.video)))
    if options.json:
        print(json.dumps({**dataclasses.asdict(report), "faults": [fault.name.lower() for fault in report.faults]}))
        return
    print(f"{options.voice}: {report.seconds:.2f} s, {report.speech_seconds:.2f} s of it speech")
    for finding in report.findings or ["no fault was found"]:
        print(f"  {finding}")


def run_enhance(options: argparse.Namespace) -> None:
    """Writes a voice without its noise."""
    from ..audio.source import load_audio
    from ..dubbing.enhance import enhance_voice

    _check_wav(options.out, [("the voice", options.voice)])
    settings = EnhanceOptions(options.reduction)
    with ProgressBars(quiet=options.json) as on_progress:
        made = enhance_voice(load_audio(options.voice), settings, functools.partial(on_progress, "voice"))
    _write_wav(options.out, made.waveform, made.rate)
    if options.json:
        levels = {"bed_before": made.bed_before, "bed_after": made.bed_after}
        print(json.dumps({"written": str(options.out), "rate": made.rate, **levels}))
        return
    print(f"{options.out}: {made.summary}")


def _check_wav(out: Path, inputs: Iterable[tuple[str, Path | None]]) -> None:
    check_target(out)
    if out.suffix.lower() != ".wav":
        raise OptionError(f"{out.name} names no format to write; end it in .wav")
    check_no_overwrite((out,), inputs)


def _write_wav(out: Path, waveform: torch.Tensor, rate: int) -> None:
    from ..audio.wav import write_float_wav

    try:
        with atomic_write(out) as partial:
            write_float_wav(partial, rate, len(waveform), waveform.shape[1], [waveform])
    except OSError as problem:
        raise OutputError(f"Can't write {out}: {problem.strerror or problem}.") from None


def _sound_files(named: list[Path]) -> list[Path]:
    """The sounds as named, a folder's by the numbers in their names."""
    if len(named) != 1 or not named[0].is_dir():
        return named
    found = [path for path in named[0].iterdir() if path.suffix.lower() in SOUND_SUFFIXES]
    if not found:
        raise OptionError(f"There is no sound in the folder {named[0]}; give a sound for each line")
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in DIGITS.split(path.name)])


def print_notes(notes: Iterable[Note]) -> None:
    """Notes as rows of text."""
    for note in notes:
        print(f"  {'warning' if note.level is NoteLevel.WARNING else 'note'}: {note.worded(WORDS)}")


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


def clip_seconds(video: Path) -> Fraction:
    """A clip's exact length in seconds."""
    from ..video.reading.probing import probe

    return probe(video).exact_duration


def write_text(path: Path, text: str) -> None:
    """Raises OutputError where it can't be written."""
    try:
        with atomic_write(path) as partial:
            partial.write_text(text, "utf-8", newline="\n")
    except OSError as problem:
        raise OutputError(f"Can't write {path}: {problem.strerror or problem}.") from None

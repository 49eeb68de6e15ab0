"""Reports tell good dubs from late, silent and swapped ones, on a rendered person whose film and dub are both known."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync_core.audio.wav import write_float_wav
from latentsync_core.cli.commands import main
from latentsync_core.errors import AudioError, VideoError
from latentsync_core.media.sound_window import SoundWindow
from latentsync_core.result_report.findings import Finding, find
from latentsync_core.result_report.paired_crops import match_frames
from latentsync_core.result_report.reporting import report_on
from latentsync_core.video.reading.probing import probe
from tests.clips import make_clip
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import talking_head
from training.synthetic.speech.performance import silent_performance

PERSON, OTHER, SECONDS, SIZE = 5, 6, 4.0, (192, 192)
FRAMES, LATE = 100, 5  # frames at 25 fps
RATE = 16_000


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """source.mp4: a silent person; result.mp4: the same one speaking; and voices, as WAV."""
    folder = tmp_path_factory.mktemp("report")
    dubbed = talking_head(PERSON, "en", SECONDS, size=SIZE, split="test", style="real")
    filmed = talking_head(
        PERSON, "en", SECONDS, size=SIZE, split="test", style="real", performance=silent_performance(SECONDS)
    )
    write_clip(filmed, folder / "source.mp4", sound=False)
    write_clip(dubbed, folder / "result.mp4")
    other = talking_head(OTHER, "en", SECONDS, size=SIZE, split="test", style="real")
    delay = np.zeros(LATE * RATE // 25, np.float32)
    for name, voice in {
        "good": dubbed.waveform,
        "late": np.concatenate([delay, dubbed.waveform])[: len(dubbed.waveform)],
        "early": dubbed.waveform[len(delay) :],
        "silent": np.zeros_like(dubbed.waveform),
        "swapped": other.waveform,
    }.items():
        write_float_wav(folder / f"{name}.wav", RATE, 1, len(voice), [torch.from_numpy(voice)[None]])
    return folder


@pytest.fixture(scope="module")
def report_of(films):
    """The report with one of the voices; the faces are found once."""
    return lambda voice: report_on(
        films / "result.mp4",
        films / "source.mp4",
        None if voice is None else films / f"{voice}.wav",
        work_folder=films / "work",
    )


@pytest.mark.parametrize(
    ("voice", "finding", "offset"),
    [
        pytest.param("good", Finding.IN_SYNC, 0, marks=pytest.mark.slow),
        (None, Finding.IN_SYNC, 0),  # the film's own sound
        pytest.param("late", Finding.LATE, LATE, marks=pytest.mark.slow),
        ("early", Finding.EARLY, -LATE),
        ("silent", Finding.NO_SPEECH, None),
        ("swapped", Finding.ANOTHER_VOICE, None),
    ],
)
def test_the_scores_tell_good_late_silent_and_swapped_dubs_apart(report_of, voice, finding, offset):
    """Quick: test_the_command_writes_a_page_that_loads_nothing, with the late voice; the good one is the film's own."""
    report = report_of(voice)
    (person,) = report.measures.people
    assert find(person, report.measures.speech, report.networks) is finding
    if offset is not None:
        assert abs(person.sync.offset - offset) <= 1
    assert report.data["people"][0]["finding"] == finding.value
    assert finding.value in report.text
    json.dumps(report.data)


def test_a_film_without_a_new_mouth_says_so(films):
    report = report_on(films / "source.mp4", films / "source.mp4", films / "good.wav", work_folder=films / "work")
    assert report.measures.people == ()
    assert "no mouth differs from the source's" in report.text


class Loads(HTMLParser):
    """Collects all that a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object"):
            self.found.append(tag)
        self.found += [f"{name}={value}" for name, value in attributes if name in ("src", "href") or name[:2] == "on"]


def test_the_command_writes_a_page_that_loads_nothing(films, capsys):
    named = films / "<b>dub & co.mp4"
    named.write_bytes((films / "result.mp4").read_bytes())
    page = films / "report.html"
    arguments = ["report", str(named), "--source", str(films / "source.mp4"), "--audio", str(films / "late.wav")]
    assert main([*arguments, "--out", str(page), "--work-folder", str(films / "work"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["people"][0]["finding"] == "the sound is late"
    assert abs(data["people"][0]["offset_frames"] - LATE) <= 1
    assert data["frames"] == FRAMES
    text = page.read_text("utf-8")
    loads = Loads()
    loads.feed(text)
    assert loads.found == []
    assert "http:" not in text
    assert "https:" not in text
    assert "<b>dub" not in text
    assert "&lt;b&gt;dub &amp; co.mp4" in text
    assert "the sound is late" in text


def test_a_page_never_takes_the_place_of_a_film(films, capsys):
    source = films / "source.mp4"
    before = source.read_bytes()
    assert main(["report", str(films / "result.mp4"), "--source", str(source), "--out", str(source)]) == 2
    assert source.read_bytes() == before
    assert "source.mp4" in capsys.readouterr().err


def test_a_result_without_a_sound_asks_for_the_voice_before_the_faces_are_found(tmp_path):
    clip, phases = make_clip(tmp_path / "clip.mp4", frames=4), []
    with pytest.raises(AudioError, match="has no sound to compare its mouths with; give the voice as well"):
        report_on(clip, clip, on_progress=lambda phase, *_: phases.append(phase))
    assert phases == []


def test_another_size_is_no_result_of_this_clip_and_its_faces_are_not_found(films, tmp_path):
    small, phases = make_clip(tmp_path / "small.mp4", frames=4, size=(64, 48)), []
    with pytest.raises(VideoError, match=r"shows 64x48 pixels and .* 192x192"):
        report_on(small, films / "source.mp4", films / "good.wav", on_progress=lambda phase, *_: phases.append(phase))
    assert phases == []


def test_frames_beyond_the_source_are_matched_with_none(tmp_path):
    source = probe(make_clip(tmp_path / "source.mp4", frames=10))
    longer = probe(make_clip(tmp_path / "longer.mp4", frames=14))
    assert match_frames(source, longer).tolist() == [*range(10), -1, -1, -1, -1]


def test_a_sound_is_read_once_and_silent_after_its_end():
    blocks = torch.arange(100, dtype=torch.float32).split(7)
    window = SoundWindow(iter(blocks), kept=20)
    assert window.part(0, 10).tolist() == list(range(10))
    assert window.part(50, 5).tolist() == list(range(50, 55))
    assert window.part(35, 5).tolist() == list(range(35, 40))  # within what is kept
    assert window.part(95, 10).tolist() == [95, 96, 97, 98, 99, 0, 0, 0, 0, 0]
    assert window.part(200, 3).tolist() == [0, 0, 0]

"""Speakers become persons: those found speaking, those of a diarization, and as the user corrects them."""

from __future__ import annotations

import numpy as np
import pytest

from latentsync_core.dubbing.lines.dialogue import DialogueLine, exact_seconds
from latentsync_core.errors import FaceError, OptionError
from latentsync_core.faces.speaking import NOBODY, SpeechSegment
from latentsync_core.speakers.assignment import (
    assign_speakers,
    choose_speaker,
    corrections_text,
    read_corrections,
    with_speech,
)
from tests.made_faces import empty_clip, made_faces, make_track

# Persons 0 and 1 are shown up to frame 99; after a cut person 1 alone, as track 2.
FOUND = (
    SpeechSegment(10, 40, 0, 0.9),
    SpeechSegment(50, 90, 1, 0.8),
    SpeechSegment(100, 120, NOBODY, 0.9),
    SpeechSegment(130, 140, 2, 0.7),
)


def spoken(start: float, end: float, speaker: str) -> DialogueLine:
    return DialogueLine(exact_seconds(start), exact_seconds(end), "", speaker)


LINES = (spoken(0.4, 1.6, "Anna"), spoken(2.0, 3.6, "Bert"), spoken(4.0, 5.6, "Anna"))


@pytest.fixture(scope="module")
def faces():
    tracks = [
        make_track(0, 0, 100),
        make_track(1, 0, 100, (40, 10, 60, 44), person=1),
        make_track(2, 100, 150, person=1),
    ]
    return made_faces(empty_clip(150), tracks, ((0, 100), (100, 150)))


def spans(segments, speaker: str) -> list[tuple[int, int, int]]:
    return [(one.first, one.stop, one.track) for one in segments if one.speaker == speaker]


def test_without_a_diarization_persons_are_the_speakers(faces):
    segments, people = assign_speakers(faces, FOUND)
    assert people == {"person A": 0, "person B": 1}
    assert spans(segments, "person B") == [(50, 90, 1), (130, 140, 2)]
    assert spans(segments, "") == [(100, 120, NOBODY)]


def test_a_diarized_speaker_is_who_speaks_in_the_lines_wherever_they_are_shown(faces):
    segments, people = assign_speakers(faces, FOUND, LINES)
    assert people == {"Anna": 0, "Bert": 1}
    assert spans(segments, "Anna") == [(10, 40, 0), (100, 140, NOBODY)], "after the cut she isn't shown"
    assert spans(segments, "Bert") == [(50, 90, 1)]


def test_a_diarized_speaker_whom_nobody_shown_speaks_for_is_off_screen(faces):
    narrator = spoken(0.0, 0.4, "narrator")
    segments, people = assign_speakers(faces, FOUND, (narrator, *LINES))
    assert people["narrator"] == NOBODY
    assert spans(segments, "narrator") == [(0, 10, NOBODY)]


def test_corrections_decide(faces):
    segments, people = assign_speakers(faces, FOUND, LINES, {"Anna": 1, "Bert": NOBODY})
    assert people == {"Anna": 1, "Bert": NOBODY}
    assert spans(segments, "Anna") == [(10, 40, 1), (100, 140, 2)]
    assert spans(segments, "Bert") == [(50, 90, NOBODY)]
    for name in ("person A", "person 0"):  # as workflows named speakers that were saved before persons had letters
        swapped, people = assign_speakers(faces, FOUND, corrections={name: 1})
        assert people == {"person A": 1, "person B": 1}
        assert spans(swapped, "person A") == [(10, 40, 1)]


def test_of_overlapping_lines_the_later_one_counts_and_the_earlier_resumes(faces):
    segments, _ = assign_speakers(faces, FOUND, (spoken(0.0, 3.6, "Anna"), spoken(2.0, 2.8, "Bert")))
    assert [(one.first, one.stop, one.speaker) for one in segments] == [
        (0, 50, "Anna"), (50, 70, "Bert"), (70, 90, "Anna"),
    ]  # fmt: skip


def test_one_speaker_alone_is_synced_only_in_their_turns(faces):
    segments, _ = assign_speakers(faces, FOUND)
    path = choose_speaker(faces, segments, "person B").path
    assert choose_speaker(faces, segments, "person 1").chosen == (1, 2), "by number, as in earlier workflows"
    assert np.unique(path.track).tolist() == [NOBODY, 1, 2]
    assert (path.blend[50:90] == 1).all()
    assert (path.blend[10:40] == 0).all()
    both = choose_speaker(faces, segments)
    assert both.chosen == (0, 1, 2)
    assert choose_speaker(faces, segments, off=(1,)).chosen == (0, 2)


def test_nobody_to_sync_is_said(faces):
    silent = [SpeechSegment(0, 50, NOBODY, 0.9, speaker="Carl")]
    with pytest.raises(FaceError, match=r"no one is shown speaking in .*, whose sound has 2\.0 s of speech"):
        choose_speaker(faces, silent)
    with pytest.raises(FaceError, match="the speaker 'Carl' is never shown speaking"):
        choose_speaker(faces, silent, "Carl")
    assert with_speech(faces, silent).chosen == ()


@pytest.mark.parametrize(
    ("corrections", "message"),
    [
        ({"Carl": 0}, "there is no speaker 'Carl'; the clip has person A, person B"),
        ({"person A": 7}, r"no person H \(7\)"),
    ],
)
def test_corrections_of_what_there_is_not_are_refused(faces, corrections, message):
    with pytest.raises(OptionError, match=message):
        assign_speakers(faces, FOUND, corrections=corrections)


def test_a_name_that_is_no_speaker_is_refused(faces):
    with pytest.raises(OptionError, match="there is no speaker 'Carl'; the clip has Anna, Bert"):
        choose_speaker(faces, assign_speakers(faces, FOUND, LINES)[0], "Carl")


def test_lists_of_corrections_are_read_as_they_are_written():
    people = {"Anna": 1, "person A": 0, "der Erzähler": NOBODY}
    assert read_corrections(corrections_text(people)) == people
    assert read_corrections("\n  Anna=1 \n Bert = c") == {"Anna": 1, "Bert": 2}
    assert corrections_text({"Anna": 1}) == "Anna = B"


@pytest.mark.parametrize("text", ["Anna", "Anna = ", "= 1", "Anna = x1", "Anna = -1", "Anna = 1.5", "x" * 10_001])
def test_other_lists_are_refused(text):
    with pytest.raises(OptionError):
        read_corrections(text)

"""Diarizations as programs write them are read, and anything else is refused with what is wrong."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.dubbing.lines.dialogue import DialogueLine, exact_seconds
from latentsync_core.errors import DialogueError, OptionError
from latentsync_core.speakers.diarization import read_diarization


def spoken(start: float, end: float, speaker: str, text: str = "") -> DialogueLine:
    return DialogueLine(exact_seconds(start), exact_seconds(end), text, speaker)


EXPECTED = (spoken(0.5, 2.0, "Anna"), spoken(2.5, 3.0, "Bert"))


def test_rttm_is_read_in_order_of_time():
    text = (
        ";; a comment\nSPKR-INFO clip 1 <NA> <NA> <NA> unknown Anna <NA> <NA>\n"
        "SPEAKER clip 1 2.5 0.5 <NA> <NA> Bert <NA> <NA>\n\nSPEAKER clip 1 0.5 1.5 <NA> <NA> Anna <NA> <NA>\n"
    )
    assert read_diarization(text) == EXPECTED


def test_json_is_read_as_a_list_or_as_segments_and_lines_without_a_speaker_are_left_out():
    rows = [
        {"start": 0.5, "end": 2, "speaker": "Anna"},
        {"start": 2.5, "end": 3.0, "speaker": " Bert "},
        {"start": 3.5, "end": 4.0},
    ]
    assert read_diarization(json.dumps(rows)) == EXPECTED
    assert read_diarization(json.dumps({"segments": rows})) == EXPECTED


def test_no_text_is_no_diarization():
    assert read_diarization(" \n") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Anna speaks first", "the diarization begins with 'Anna speaks first', which is no format of lines"),
        ("SPEAKER clip 1 x 0.5 <NA> <NA> Bert <NA> <NA>", "A time of row 1 of the diarization is 'x'"),
        ("SPEAKER clip 1 2 -1 <NA> <NA> Bert <NA> <NA>", "ends"),
        ("SPEAKER clip 1 nan 1 <NA> <NA> Bert <NA> <NA>", "is 'nan', no number of seconds"),
        ("SPEAKER clip 1 2 1 <NA> <NA> A=B <NA> <NA>", "names the speaker 'A=B'"),
        (f"SPEAKER clip 1 2 1 <NA> <NA> {'A' * 101} <NA> <NA>", "at most 100 characters"),
        ('[{"start": 0, "end": 1e999, "speaker": "A"}]', "is 'inf', no number of seconds"),
        ("[{", "is no JSON that can be read"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(text, message):
    with pytest.raises((DialogueError, OptionError), match=message):
        read_diarization(text)


@given(st.text(max_size=80) | st.recursive(st.none() | st.floats() | st.text(max_size=4), st.lists).map(json.dumps))
@settings(max_examples=60)
def test_any_text_gives_lines_or_is_refused(text):
    with suppress(DialogueError, OptionError):
        assert all(0 <= line.start < line.end and line.speaker for line in read_diarization(text))

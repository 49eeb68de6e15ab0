"""Diarizations as programs write them are read, and anything else is refused with what is wrong."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.errors import OptionError
from latentsync_core.speakers.diarization import DiarizedLine, read_diarization

EXPECTED = (DiarizedLine(0.5, 2.0, "Anna"), DiarizedLine(2.5, 3.0, "Bert"))


def test_rttm_is_read_in_order_of_time():
    text = (
        ";; a comment\nSPKR-INFO clip 1 <NA> <NA> <NA> unknown Anna <NA> <NA>\n"
        "SPEAKER clip 1 2.5 0.5 <NA> <NA> Bert <NA> <NA>\n\nSPEAKER clip 1 0.5 1.5 <NA> <NA> Anna <NA> <NA>\n"
    )
    assert read_diarization(text) == EXPECTED


def test_json_is_read_as_a_list_or_as_segments():
    rows = [
        {"start": 0.5, "end": 2, "speaker": "Anna", "text": "so"},
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
        ("Anna speaks first", "line 1 of the diarization, 'Anna speaks first', is no RTTM"),
        ("SPEAKER clip 1 x 0.5 <NA> <NA> Bert", "is no RTTM"),
        ("SPEAKER clip 1 2 -1 <NA> <NA> Bert <NA> <NA>", "lasts from 2 to 1 s"),
        ("SPEAKER clip 1 nan 1 <NA> <NA> Bert <NA> <NA>", "lasts from nan to nan s"),
        ("SPEAKER clip 1 2 1 <NA> <NA> A=B <NA> <NA>", "names the speaker 'A=B'"),
        ("[", "no valid JSON"),
        ("{}", "holds no list of segments"),
        ("[3]", "segment 0 of the diarization is no object"),
        ('[{"start": "0", "end": 1, "speaker": "A"}]', "has no start and end in seconds"),
        ('[{"start": 0, "end": 1e999, "speaker": "A"}]', "lasts from 0 to inf s"),
        (f'[{{"start": 0, "end": 1{"0" * 400}, "speaker": "A"}}]', "lasts from inf to inf s"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(text, message):
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        read_diarization(text)


@given(st.text(max_size=80) | st.recursive(st.none() | st.floats() | st.text(max_size=4), st.lists).map(json.dumps))
@settings(max_examples=60)
def test_any_text_gives_lines_or_is_refused(text):
    with suppress(OptionError):
        assert all(0 <= line.start < line.end and line.speaker for line in read_diarization(text))

"""A choice of faces and marks as one text: what it means, and what is refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentsync_core.errors import LatentSyncError, OptionError
from latentsync_core.faces.keyframes.marks import read_marks
from latentsync_core.faces.picking.face_pick import FacePick, read_pick
from latentsync_core.faces.selection import ChooseBy, FaceChoice
from tests.made_faces import empty_clip

MARK = {"frame": 2, "box": [10, 5, 40, 40]}


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_an_empty_text_chooses_nothing(text):
    assert read_pick(text) == FacePick()


def test_a_person_tracks_and_marks_are_read():
    text = json.dumps({"person": 1, "tracks_on": "3, 5-6", "tracks_off": "2", "marks": [MARK]})
    pick = read_pick(text)
    assert pick.choice == FaceChoice(by=ChooseBy.INDEX, person=1, on=(3, 5, 6), off=(2,))
    (mark,) = read_marks(pick.marks, empty_clip(5))
    assert (mark.frame, mark.box) == (2, (10.0, 5.0, 40.0, 40.0))


def test_without_a_person_the_most_prominent_one_is_meant():
    assert read_pick('{"tracks_off": "2"}').choice == FaceChoice(by=ChooseBy.LARGEST, off=(2,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{broken", "isn't JSON"),
        ("[" * 100_000, "isn't JSON"),
        ("[]", "is no JSON object"),
        ('{"person": "1"}', "a wrong 'person'"),
        ('{"person": true}', "a wrong 'person'"),
        ('{"marks": "none"}', "a wrong 'marks'"),
        ('{"file": "/etc/passwd"}', "a wrong 'file'"),
        ('{"tracks_on": "all"}', "is not a track number"),
        ('{"tracks_on": "1", "tracks_off": "1"}', "both on and off"),
        (" " * 5 + "1" * 1_000_001, "use at most"),
    ],
)
def test_any_other_text_is_refused(text, said):
    with pytest.raises(OptionError, match=said):
        read_pick(text)


@given(st.text() | st.dictionaries(st.sampled_from(["person", "tracks_on", "marks"]), st.integers()).map(json.dumps))
def test_any_text_is_a_choice_or_refused(text):
    with contextlib.suppress(LatentSyncError):
        assert isinstance(read_pick(text), FacePick)

"""Faces that are synced only while they speak: margins, fades, the report and the timeline."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from latentsync_core.faces.limits import Outcome, TouchLimits
from latentsync_core.faces.report import NOBODY_COLOUR, PERSON_COLOURS, report_data, report_text, timeline_picture
from latentsync_core.faces.speaking import NOBODY, SpeakerScore, SpeechSegment, speaking_track
from tests.made_faces import empty_clip, made_faces, make_track

SCORES = (SpeakerScore(0, 0.93, 0.61, 0.42), SpeakerScore(1, 0.04, None, -0.1))


def segment(first: int, stop: int, track: int, **more) -> SpeechSegment:
    return SpeechSegment(first, stop, track, **{"confidence": 0.9, **more})


@pytest.fixture(scope="module")
def faces():
    """Two people side by side for 100 frames: one speaks in 20 to 39, the other in 50 to 69, somebody else from 80."""
    tracks = [make_track(0, 0, 100), make_track(1, 0, 100, box=(40, 10, 60, 44), person=1)]
    found = made_faces(empty_clip(100), tracks, limits=TouchLimits(min_size=0, fade_frames=2), chosen=(0, 1))
    speech = (segment(20, 40, 0, scores=SCORES), segment(50, 70, 1), segment(80, 100, NOBODY, confidence=0.8))
    return dataclasses.replace(found, speech=speech)


def test_each_is_synced_while_they_speak_and_fades_in_and_out(faces):
    path = faces.path
    assert (path.track[20:40] == 0).all()
    assert (path.blend[20:40] == 1).all()
    assert (path.track[50:70] == 1).all()
    assert (path.blend[50:70] == 1).all()
    first, stop = np.flatnonzero(path.track == 0)[[0, -1]] + (0, 1)
    assert first == 20 - 10  # 0.3 s and the frames of the fade
    np.testing.assert_allclose(path.blend[first : first + 3], [1 / 3, 2 / 3, 1])
    assert stop == 45, "no further than half way to the next turn"
    np.testing.assert_allclose(path.blend[stop - 3 : stop], [1, 2 / 3, 1 / 3])
    assert (path.outcome[80:] == Outcome.NOT_SPEAKING).all()
    assert (path.blend[76:] == 0).all()


def test_only_the_chosen_one_of_them_is_synced(faces):
    path = dataclasses.replace(faces, chosen=(1,)).path
    assert set(path.track.tolist()) == {NOBODY, 1}
    assert (path.outcome[20:40] == Outcome.NOT_SPEAKING).all()


def test_without_segments_a_chosen_face_is_synced_everywhere(faces):
    assert (dataclasses.replace(faces, speech=None, chosen=(0,)).path.blend[3:-3] == 1).all()


def test_margins_bridge_a_pause_of_one_speaker_and_stop_half_way_to_another():
    turns = [segment(10, 20, 0), segment(26, 30, 0), segment(33, 40, 1), segment(41, 50, NOBODY)]
    speaking = speaking_track(turns, 60, margin=4)
    assert (speaking[6:31] == 0).all()
    assert (speaking[:6] == NOBODY).all()
    assert (speaking[32:41] == 1).all()
    assert (speaking[41:] == NOBODY).all()
    assert (speaking_track(turns, 60)[20:26] == NOBODY).all()


def test_the_report_says_who_speaks_when_and_why(faces):
    lines = report_text(faces).splitlines()
    assert "speech: 2.4 s, of which 1.6 s by somebody shown" in lines
    assert (
        "0.80 to 1.60 s: person A (track 0), confidence 0.90 (person A 0.93, sync +0.42, motion +0.61; "
        "person B 0.04, sync -0.10)"
    ) in lines
    assert "3.20 to 4.00 s: nobody shown, confidence 0.80" in lines
    data = report_data(faces)["speech"]
    assert [(one["frames"], one["track"], one["person"]) for one in data] == [
        ([20, 40], 0, 0), ([50, 70], 1, 1), ([80, 100], -1, None),
    ]  # fmt: skip
    assert data[0]["scores"][1] == {"track": 1, "person": 1, "probability": 0.04, "motion": None, "sync": -0.1}
    assert "speech" not in report_data(dataclasses.replace(faces, speech=None))


def test_the_timeline_has_a_row_of_who_speaks(faces):
    plain, found = timeline_picture(dataclasses.replace(faces, speech=None)), timeline_picture(faces)
    assert found.shape[1] > plain.shape[1]
    row = (found[:, -45] * 255).round().int().T.tolist()
    for colour in (PERSON_COLOURS[0], PERSON_COLOURS[1], NOBODY_COLOUR):
        assert list(colour) in row

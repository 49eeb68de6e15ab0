"""The mesh's reading of the mouth's opening follows the rendered truth, in the clip itself and in a dub of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from latentsync_core.faces.find import find_faces
from latentsync_core.faces.mouth_opening import filmed_openings, mesh_opening, mouth_openings
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.one_thread import one_thread  # noqa: F401
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import talking_head

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes


def test_it_is_the_inner_lips_distance_over_the_faces_height():
    mesh = np.zeros((468, 3))
    mesh[13, :2], mesh[14, :2] = (10, 60), (10, 70)
    mesh[10, :2], mesh[152, :2] = (10, 0), (10, 100)
    assert mesh_opening(mesh) == pytest.approx(0.1)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Faces of a rendered clip of 1.2 s, and the true openings."""
    path = tmp_path_factory.mktemp("rendered") / "speaking.mp4"
    truths = write_clip(talking_head(3, "en", 1.2, size=(256, 256), split="test"), path)
    return find_faces(probe(path)), np.array([truth.faces[0].opening for truth in truths])


def test_readings_follow_the_truth(spoken):
    faces, truth = spoken
    read = mouth_openings(faces)
    known = np.isfinite(read)
    assert known.mean() > 0.9
    assert np.corrcoef(read[known], truth[known])[0, 1] > 0.8


def test_tracking_reads_the_same_openings_on_its_way(spoken):
    faces, truth = spoken
    (track,) = faces.tracks
    read = mouth_openings(faces)[track.start : track.stop]
    known = np.isfinite(read)
    assert np.abs(track.opening - read)[known].mean() < 0.02
    assert np.corrcoef(track.opening, truth[track.start : track.stop])[0, 1] > 0.8


def test_a_clip_is_read_again_only_for_faces_without_openings_and_where_they_are_needed(spoken):
    faces, _ = spoken
    calls, needed = [], np.zeros(faces.clip.frame_count, bool)
    needed[5:8] = True
    (track,) = faces.tracks
    tracked = filmed_openings(faces, needed, lambda: calls.append(None))
    assert np.array_equal(tracked[track.start : track.stop], track.opening, equal_nan=True)
    assert not calls
    marked = dataclasses.replace(
        faces, tracks=(dataclasses.replace(track, opening=np.full_like(track.opening, np.nan)),)
    )
    read = filmed_openings(marked, needed, lambda: calls.append(None))
    assert len(calls) == 3
    np.testing.assert_array_equal(np.isfinite(read), needed)
    np.testing.assert_allclose(read[5:8], mouth_openings(faces, span=range(5, 8))[5:8])


def test_other_frames_are_read_at_the_same_faces_and_missing_ones_are_unknown(spoken):
    faces, _ = spoken
    calls = []
    with FrameReader(faces.clip.subclip(0, 4)) as frames:
        read = mouth_openings(faces, frames, lambda: calls.append(None))
    np.testing.assert_allclose(read[:4], mouth_openings(faces)[:4])
    assert np.isnan(read[4:]).all()
    assert len(read) == faces.clip.frame_count
    assert len(calls) == 4

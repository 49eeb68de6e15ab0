"""A clip that is tracked in parts comes to the tracks of one pass, in every number; parts end at shots only."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.tracking.find_tracks import TrackedClip, frames_ahead, track_faces, track_range
from latentsync_core.faces.tracking.shot_log import ShotLog, log_shots, tracked_ranges
from latentsync_core.faces.tracking.tracked_files import read_shots, read_tracked, write_shots, write_tracked
from latentsync_core.faces.tracks import PER_FRAME
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import clip_from_images
from training.synthetic.scenes.scene import cuts, render

OPTIONS = FaceOptions()


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Two people cut against each other, and in the end a dissolve from one to the other."""
    frames = np.stack([frame for frame, _ in render(cuts(5, (6, 6, 6, 24, 15), size=(160, 120)))])
    shown = frames.astype(np.float32) / 255
    shares = (np.arange(17) + np.float32(0.5))[:, None, None, None] / 17
    shown[34:51] = (1 - shares) * frames[33] / np.float32(255) + shares * frames[51] / np.float32(255)
    return clip_from_images(torch.from_numpy(shown), Fraction(25))


def assert_same_tracks(one, other):
    assert one.shots == other.shots
    assert [(track.start, track.stop, track.person) for track in one.tracks] == [
        (track.start, track.stop, track.person) for track in other.tracks
    ]
    for track, same in zip(one.tracks, other.tracks, strict=True):
        for name in (*PER_FRAME, "portrait", "embedding"):
            np.testing.assert_array_equal(getattr(track, name), getattr(same, name), err_msg=name)


def test_parts_give_the_tracks_of_one_pass_through_files_too(clip, tmp_path):
    write_shots(log_shots(clip), tmp_path / "shots.npz")
    log = read_shots(tmp_path / "shots.npz", clip.frame_count)
    assert log is not None
    ahead = frames_ahead(clip)
    (dissolve,) = set(log.starts) - set(log.cuts(ahead))  # known only once tracks led through it
    assert 34 < dissolve < 51
    ranges = tracked_ranges(log, clip.frame_count, ahead, 5)
    assert ranges == [(0, 6), (6, 12), (12, 18), (18, clip.frame_count)]
    faces = []
    for first, stop in reversed(ranges):  # in any order
        path = tmp_path / f"{first}.npz"
        write_tracked(track_range(clip, log, first, stop, OPTIONS), path)
        read = read_tracked(path, first, stop)
        assert read is not None
        faces = [*read, *faces]
    parts, whole = track_faces(clip, tracked=TrackedClip(faces, log.starts)), track_faces(clip)
    assert len(parts.shots) == 5
    assert_same_tracks(parts, whole)


def test_ranges_are_of_whole_shots_and_a_short_rest_is_no_range_of_its_own():
    log = ShotLog((40, 90, 100, 290), (43, 93, 103, 293))
    assert tracked_ranges(log, 300, 10, 50) == [(0, 90), (90, 300)]
    assert tracked_ranges(log, 300, 10, 1000) == [(0, 300)]
    assert tracked_ranges(ShotLog((), ()), 300, 10, 50) == [(0, 300)]


def test_progress_of_a_range_counts_its_own_frames(clip):
    seen = []
    track_range(clip, log_shots(clip), 6, 12, OPTIONS, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]


def test_files_that_are_damaged_or_of_other_frames_are_made_again(clip, tmp_path):
    log = log_shots(clip)
    faces = track_range(clip, log, 0, 6, OPTIONS)
    path = tmp_path / "part.npz"
    write_tracked(faces, path)
    assert read_tracked(path, 0, 5) is None
    assert read_tracked(path, 1, 6) is None
    write_tracked([dataclasses.replace(faces[0], frames=faces[0].frames[::-1].copy())], path)
    assert read_tracked(path, 0, 6) is None
    path.write_bytes(path.read_bytes()[:200])
    assert read_tracked(path, 0, 6) is None
    assert read_tracked(tmp_path / "none.npz", 0, 6) is None
    write_shots(dataclasses.replace(log, starts=(1000,), known_after=(1003,)), path)
    assert read_shots(path, clip.frame_count) is None

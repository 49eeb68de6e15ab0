"""Who speaks in a rendered scene of two, one after the other, is found from the file alone; and kept."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError
from latentsync_core.evaluation.syncnet import load_syncnet
from latentsync_core.faces.find import find_faces
from latentsync_core.speakers.active_speaker import find_speech, original_sound
from latentsync_core.speakers.signals import measure_signals, shown_frames, sound_levels
from latentsync_core.video.reading.probing import clip_from_images, probe
from tests.one_thread import one_thread  # noqa: F401
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import side_by_side

SECONDS = 3.6

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The left one speaks for half of the time, then the right one: the faces, and who is on the left."""
    path = tmp_path_factory.mktemp("rendered") / "two.mp4"
    write_clip(side_by_side(5, SECONDS, size=(320, 180)), path)
    faces = find_faces(probe(path))
    left = min(faces.tracks, key=lambda track: float(np.nanmean(track.boxes[:, 0]))).track_id
    assert len(faces.tracks) == 2
    return faces, left


def check_turns(segments, left: int) -> None:
    for segment in segments:
        if segment.stop - segment.first > 10:
            half = left if segment.stop < 50 else 1 - left
            assert segment.track == half
            assert segment.confidence > 0.6
    spoken = sum(segment.stop - segment.first for segment in segments if segment.track >= 0)
    assert spoken > 45


def test_each_is_found_speaking_in_their_half_and_a_second_run_measures_nothing(scene, tmp_path):
    faces, left = scene
    calls = []
    first = find_speech(faces, original_sound(faces.clip), tmp_path, lambda *done: calls.append(done))
    check_turns(first, left)
    assert calls[-1][0] == calls[-1][1] > 40
    calls.clear()
    assert find_speech(faces, original_sound(faces.clip), tmp_path, lambda *done: calls.append(done)) == first
    assert not calls


def test_with_a_sound_that_none_of_the_mouths_made_nobody_speaks(scene):
    faces, _ = scene
    sound = original_sound(faces.clip).mono16k()
    other = torch.cat([sound[20800:], sound[:20800]]).flip(0)
    segments = find_speech(faces, load_audio({"waveform": other[None], "sample_rate": 16000}))
    called = sum(segment.stop - segment.first for segment in segments if segment.track >= 0)
    assert called < 0.35 * sum(segment.stop - segment.first for segment in segments)


def test_openings_that_tracking_did_not_read_are_measured(scene):
    faces, left = scene
    unread = [dataclasses.replace(track, opening=np.full_like(track.opening, np.nan)) for track in faces.tracks]
    net, sound = load_syncnet(), original_sound(faces.clip)
    read = measure_signals(faces, sound, net).tracks[left].opening
    measured = measure_signals(dataclasses.replace(faces, tracks=tuple(unread)), sound, net).tracks[left].opening
    known = np.isfinite(measured)
    assert known.sum() > 30
    assert np.abs(measured - read)[known].mean() < 0.02


def test_it_can_be_cancelled(scene):
    faces, _ = scene

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_speech(faces, original_sound(faces.clip), on_progress=cancel)


def test_a_clip_without_sound_is_refused():
    with pytest.raises(AudioError, match="has no sound of its own"):
        original_sound(clip_from_images(torch.zeros(5, 8, 8, 3), Fraction(25)))


def test_the_grid_shows_every_frame_at_its_time():
    clip = clip_from_images(torch.zeros(12, 8, 8, 3), Fraction(50))
    assert shown_frames(clip).tolist() == [0, 2, 4, 6, 8, 10]
    slow = clip_from_images(torch.zeros(3, 8, 8, 3), Fraction(10))
    assert shown_frames(slow).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_levels_are_of_each_step_whatever_the_blocks():
    sound = torch.cat([torch.zeros(640), torch.ones(640), torch.full((700,), 0.1)])
    for size in (100, 640, 5000):
        levels = sound_levels(sound.split(size), 5)
        np.testing.assert_allclose(levels, [-80, 0, -20, -80, -80], atol=0.01)

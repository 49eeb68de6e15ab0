"""A face is followed through a clip: moving, growing, leaving and coming back, one of two, or never there."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.errors import FaceError, OptionError
from latentsync_core.faces.align import align_track, crop_face
from latentsync_core.faces.track import FaceOptions, prepare_faces
from tests import astronaut

WIDTH, HEIGHT = 480, 360
FACE = astronaut.picture()[40:200, 140:310]  # 170x160
NOSE = astronaut.NOSE - (140, 40)


def _frames(places, scale=1.0):
    """Frames of the face with its top left corner at each of `places`, x y; None shows none."""
    face = astronaut.resized(FACE, round(170 * scale), round(160 * scale))
    grey = torch.full((HEIGHT, WIDTH, 3), 0.5)
    return [grey if place is None else astronaut.on_canvas(face, WIDTH, HEIGHT, *place) for place in places]


def _track(frames, **clip):
    return prepare_faces(astronaut.clip_of(torch.stack(frames), **clip)).track


def test_a_moving_face_is_found_in_every_frame_where_it_is():
    places = [(40 + 12 * step, 60 + 4 * step) for step in range(12)]
    track = _track(_frames(places))
    assert track.visible.all()
    noses = track.landmarks[:, 2] - np.array(places)
    assert np.ptp(noses, axis=0).max() < 2.5  # the same point of the face all along
    np.testing.assert_allclose(noses.mean(0), NOSE, atol=8)
    assert (track.boxes[:, :2] < track.landmarks[:, 2]).all()
    assert (track.landmarks[:, 2] < track.boxes[:, 2:]).all()


def test_a_growing_face_gives_the_same_crop_at_every_size():
    frames = [_frames([(60, 30)], scale)[0] for scale in np.linspace(0.8, 1.8, 6)]
    track = _track(frames)
    assert track.visible.all()
    transforms = align_track(track.landmarks, track.visible, 256)
    crops = [
        crop_face(astronaut.frame_of(frame), transform, 256)[:, 64:224, 48:208]
        for frame, transform in zip(frames, transforms, strict=True)
    ]
    for crop in crops[:-1]:
        assert (crop - crops[-1]).abs().mean() < 0.03


def test_frames_without_a_face_are_left_out_and_the_face_is_found_again():
    places = [(60, 80), (64, 80), None, None, (250, 90), (254, 90)]
    track = _track(_frames(places))
    assert track.visible.tolist() == [True, True, False, False, True, True]
    assert np.isnan(track.landmarks[2:4]).all()
    assert np.isnan(track.boxes[2:4]).all()
    assert track.landmarks[4, 2, 0] - track.landmarks[1, 2, 0] == pytest.approx(250 - 64, abs=4)


def test_a_face_that_leaves_the_frame_is_let_go():
    track = _track(_frames([(x, 90) for x in range(240, 520, 40)]))
    assert track.visible[:3].all()
    assert not track.visible[-1]


def test_of_two_faces_the_larger_is_followed_even_while_it_is_the_smaller_one():
    frames = []
    for grown in (96, 96, 140, 200, 240):  # the left one grows past the right one
        frame = _frames([(290, 100)])[0]
        face = astronaut.resized(FACE, round(grown * 17 / 16), grown)
        frame[20 : 20 + grown, 20 : 20 + face.shape[1]] = face
        frames.append(frame)
    track = _track(frames)
    assert track.visible.all()
    assert (track.landmarks[:, 2, 0] > 290).all()


def test_wide_samples_make_no_difference_to_where_the_face_is():
    square = _frames([(120, 100)])[0]
    wide = astronaut.resized(square, WIDTH // 2, HEIGHT)
    expected = _track([square]).landmarks[0]
    found = _track([wide], sample_aspect=Fraction(2)).landmarks[0]
    np.testing.assert_allclose(found * [2, 1] + [0.5, 0], expected, atol=2)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (HEIGHT, WIDTH)])
def test_a_clip_without_any_face_is_refused_with_its_name_and_length(size):
    with pytest.raises(FaceError, match=r"any of the 3 frames of in-memory clip.*use a part that shows"):
        prepare_faces(astronaut.clip_of(torch.zeros(3, *size, 3)))


def test_the_picture_without_its_face_has_none():
    with pytest.raises(FaceError):
        prepare_faces(astronaut.clip_of(astronaut.picture()[None, 200:].contiguous()))


def test_progress_counts_every_frame_and_can_stop_the_search():
    class Stop(Exception):
        pass

    seen = []

    def on_progress(done, total):
        seen.append((done, total))
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        prepare_faces(astronaut.clip_of(torch.stack(_frames([(60, 80)] * 4))), on_progress=on_progress)
    assert seen == [(1, 4), (2, 4)]


@pytest.mark.parametrize("wrong", [{"presence": 1.5}, {"detector_score": 0.0}])
def test_certainties_beyond_0_to_1_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        FaceOptions(**wrong)

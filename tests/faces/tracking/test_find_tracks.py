"""Every face of every frame becomes a track: moving, growing, hidden, leaving, lying; none where there is none."""

import dataclasses
import weakref
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.errors import FaceError, OptionError
from latentsync_core.faces.alignment.align import align_track, crop_face
from latentsync_core.faces.detection.blazeface import detect_faces
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.keyframes.marks import POINTS_IN_DETECTED_BOX, points_of_box, read_marks
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.faces.tracking.redetect import SingleFaceTracker
from latentsync_core.faces.tracking.shots import ShotDetector
from latentsync_core.messages import Remedy
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.read_ahead import prefetch_frames
from tests import astronaut
from training.synthetic.head.motion import Path as HeadPath
from training.synthetic.scenes.scene import cuts, render, side_by_side

WIDTH, HEIGHT = 320, 240
FACE = astronaut.resized(astronaut.picture()[40:200, 140:310], 102, 96)  # the face is some 60 wide
NOSE = (astronaut.NOSE - (140, 40) + 0.5) * 0.6 - 0.5


ONE_SHOT = FaceOptions(shot_threshold=10)  # a face that is there or isn't from one frame to the next is like a cut
WALL = astronaut.resized(torch.rand(15, 20, 3, generator=torch.Generator().manual_seed(4)), WIDTH, HEIGHT)


def _frames(places, scale=1.0, behind=WALL):
    """Frames of the face with its top left corner at each of `places`, x y; None shows none."""
    face = astronaut.resized(FACE, round(102 * scale), round(96 * scale))
    frames = [torch.full_like(behind, 0.5) if place is None else astronaut.on_canvas(face, WIDTH, HEIGHT, *place)
              for place in places]  # fmt: skip
    return [torch.where(frame == 0.5, behind, frame) for frame in frames]


def _faces(frames, options=None, **clip):
    return track_faces(astronaut.clip_of(torch.stack(frames), **clip), options)


def _only(faces):
    assert len(faces.tracks) == 1
    return faces.tracks[0]


def test_a_moving_face_is_found_in_every_frame_where_it_is():
    places = [(20 + 8 * step, 40 + 3 * step) for step in range(10)]
    track = _only(_faces(_frames(places)))
    assert (track.start, track.stop) == (0, 10)
    assert track.visible.all()
    noses = track.landmarks[:, 2] - np.array(places)
    assert np.ptp(noses, axis=0).max() < 1.5  # the same point of the face all along
    np.testing.assert_allclose(noses.mean(0), NOSE, atol=5)
    assert (track.boxes[:, :2] < track.landmarks[:, 2]).all()
    assert (track.landmarks[:, 2] < track.boxes[:, 2:]).all()
    assert track.portrait.shape == (128, 128, 3)
    assert track.embedding.shape == (128,)


def test_a_growing_face_gives_the_same_crop_at_every_size():
    frames = [_frames([(30, 10)], scale)[0] for scale in np.linspace(0.9, 2.2, 6)]
    track = _only(_faces(frames))
    assert track.stop == 6
    transforms = align_track(track.landmarks, track.visible, 256)
    crops = [
        crop_face(astronaut.frame_of(frame), transform, 256)[:, 64:224, 48:208]
        for frame, transform in zip(frames, transforms, strict=True)
    ]
    for crop in crops[:-1]:
        assert (crop - crops[-1]).abs().mean() < 0.03


def test_a_short_gap_is_bridged_on_a_straight_line():
    places = [(60, 80), (64, 80), None, None, None, (80, 80), (84, 80)]
    track = _only(_faces(_frames(places), ONE_SHOT))
    assert track.stop == 7
    assert track.visible.all()
    np.testing.assert_allclose(np.diff(track.landmarks[:, 2, 0]), 4, atol=1.2)


def test_after_a_longer_gap_it_is_a_new_track_of_the_same_person():
    places = [*((60 + 4 * k, 80) for k in range(5)), None, None, None, *((200 + 4 * k, 90) for k in range(5))]
    first, second = _faces(_frames(places), dataclasses.replace(ONE_SHOT, max_gap=2)).tracks
    assert (first.start, first.stop, second.start, second.stop) == (0, 5, 8, 13)
    assert first.person == second.person == 0
    assert [first.track_id, second.track_id] == [0, 1]


def test_what_is_seen_for_a_moment_of_a_long_shot_is_no_face_but_a_short_shot_keeps_its_own():
    moment = [None] * 5 + [(100, 80)] * 3 + [None] * 5
    with pytest.raises(FaceError):
        _faces(_frames(moment), ONE_SHOT)
    assert _only(_faces(_frames([(100, 80)] * 3), ONE_SHOT)).stop == 3


def test_a_face_that_leaves_the_frame_is_let_go_and_one_that_enters_is_found_from_its_first_whole_frame():
    away = _only(_faces(_frames([(x, 60) for x in range(170, 330, 16)])))
    assert away.start == 0
    assert 3 <= away.stop < 9
    back = _only(_faces(_frames([(x, 60) for x in range(170, 330, 16)][::-1])))
    assert 1 < back.start <= 7
    assert back.stop == 10
    assert abs((10 - away.stop) - back.start) <= 1  # the same frames, run backwards


def test_a_face_that_appears_between_two_searches_is_followed_back_to_where_it_did():
    places = [None] * 3 + [(100 + 3 * k, 60) for k in range(9)]
    track = _only(_faces(_frames(places), ONE_SHOT))
    assert (track.start, track.stop) == (3, 12)


def test_of_very_large_frames_few_are_held_and_read_ahead_and_nothing_else_changes(monkeypatch):
    clip = astronaut.clip_of(torch.stack(_frames([None] * 13 + [(40 + 2 * step, 60) for step in range(17)])))

    def followed():
        read, held = [], []

        def noted(clip):
            for frame in prefetch_frames(clip):
                read.append(weakref.ref(frame))
                yield frame

        monkeypatch.setattr("latentsync_core.faces.tracking.find_tracks.prefetch_frames", noted)
        faces = track_faces(
            clip, ONE_SHOT, on_progress=lambda *_: held.append(sum(frame() is not None for frame in read))
        )
        return _only(faces), max(held)

    usual, most = followed()
    monkeypatch.setattr("latentsync_core.faces.tracking.find_tracks.MAX_BUFFERED_BYTES", 1)
    few, least = followed()
    assert most > 15
    assert least < 12
    assert (few.start, few.stop) == (usual.start, usual.stop) == (13, 30)
    np.testing.assert_allclose(few.landmarks, usual.landmarks, atol=1)


def test_two_faces_are_two_tracks_of_two_people_and_whoever_fills_more_of_the_picture_is_chosen():
    frames = []
    for step in range(4):
        frame = _frames([(10 + step, 60)])[0]
        large = astronaut.resized(FACE, 153, 144)
        frame[40 : 40 + 144, 150 : 150 + 153] = large
        frames.append(frame)
    faces = _faces(frames)
    assert [(track.start, track.stop) for track in faces.tracks] == [(0, 4), (0, 4)]
    large, small = faces.tracks
    assert large.boxes[0, 0] > small.boxes[0, 2]
    assert (large.person, small.person) == (0, 1)
    assert faces.chosen == (0,)
    assert (faces.path.track == 0).all()


def test_tracks_end_at_cuts_though_the_face_stays_where_it_was():
    first, second = _frames([(100, 70)] * 6), _frames([(104, 66)] * 6, behind=WALL.flip(0, 1) ** 2)
    faces = _faces(first + second)
    assert faces.shots == ((0, 6), (6, 12))
    assert [(track.start, track.stop, track.person) for track in faces.tracks] == [(0, 6, 0), (6, 12, 0)]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_lying_faces_are_found_and_their_roll_says_so(turns):
    frames = [torch.rot90(frame, -turns).contiguous() for frame in _frames([(100 + 4 * k, 70) for k in range(3)])]
    track = _only(_faces(frames))
    assert track.visible.all()
    roll = (track.pose[:, 2] - 90 * turns + 180) % 360 - 180
    assert np.abs(roll).max() < 12


def test_wide_samples_make_no_difference_to_where_the_face_is():
    square = _frames([(120, 100)])[0]
    wide = astronaut.resized(square, WIDTH // 2, HEIGHT)
    expected = _only(_faces([square]))
    found = _only(_faces([wide], sample_aspect=Fraction(2)))
    np.testing.assert_allclose(found.landmarks[0] * [2, 1] + [0.5, 0], expected.landmarks[0], atol=2)
    np.testing.assert_allclose(found.pose[0], expected.pose[0], atol=6)


def test_the_follower_of_one_face_finds_it_again_where_it_went():
    follower = SingleFaceTracker(FaceOptions())
    noses = [follower.find(astronaut.frame_of(frame)) for frame in _frames([(60, 80), (66, 80), None, (180, 90)])]
    assert noses[2] is None
    assert noses[0].shape == (468, 2)
    assert noses[3][4, 0] - noses[1][4, 0] == pytest.approx(114, abs=3)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (HEIGHT, WIDTH)])
def test_a_clip_without_any_face_is_refused_with_its_name_and_length_and_the_ways_out(size):
    with pytest.raises(FaceError, match=r"any of the 3 frames of in-memory clip.*front$"):
        track_faces(astronaut.clip_of(torch.zeros(3, *size, 3)))


def test_the_picture_without_its_face_has_none():
    with pytest.raises(FaceError):
        track_faces(astronaut.clip_of(astronaut.picture()[None, 200:].contiguous()))


def test_progress_counts_every_frame_and_can_stop_the_search():
    class Stop(Exception):
        pass

    seen = []

    def on_progress(done, total):
        seen.append((done, total))
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        track_faces(astronaut.clip_of(torch.stack(_frames([(60, 80)] * 4))), on_progress=on_progress)
    assert seen == [(1, 4), (2, 4)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"presence": 1.5},
        {"detector_score": 0.0},
        {"min_size": 1},
        {"max_gap": -1},
        {"search_interval": 0},
        {"shot_threshold": 0.5},
    ],
)
def test_options_beyond_their_ranges_are_refused(wrong):
    with pytest.raises(OptionError, match=f"is {next(iter(wrong.values()))};"):
        FaceOptions(**wrong)


def test_a_clip_without_any_face_may_be_asked_for_all_the_same():
    faces = track_faces(astronaut.clip_of(torch.zeros(2, 20, 30, 3)), required=False)
    assert (faces.tracks, faces.shots, faces.chosen) == ((), ((0, 2),), ())
    assert not faces.path.visible.any()


def _talkers(scene):
    """An in-memory clip of a rendered scene, and the truths of its frames."""
    pictures, truths = zip(*render(scene), strict=True)
    return astronaut.clip_of(torch.from_numpy(np.stack(pictures)).float() / 255), truths


def _on_whom(track, truths):
    """For every visible frame of a track, whose face its points are nearest to."""
    seeds = []
    for frame in track.start + np.flatnonzero(track.visible):
        points = track.landmarks[frame - track.start]
        nearest = min(truths[frame].faces, key=lambda face: np.abs(face.three_points - points).sum())
        assert np.linalg.norm(nearest.three_points - points, axis=1).mean() < 0.3 * _eye_distance(nearest)
        seeds.append(nearest.seed)
    return seeds


def _eye_distance(face):
    return float(np.linalg.norm(face.eyes[1] - face.eyes[0]))


def test_when_two_people_cross_no_track_goes_over_from_one_to_the_other():
    base = side_by_side(3, 0.96, size=(240, 136))
    shot = base.shots[0]
    ways = (HeadPath((0.3, 0.55), (0.8, 0.55), 0.27, 0.27), HeadPath((0.7, 0.57), (0.2, 0.57), 0.29, 0.29))
    actors = tuple(dataclasses.replace(actor, track=way) for actor, way in zip(shot.actors, ways, strict=True))
    clip, truths = _talkers(dataclasses.replace(base, shots=(dataclasses.replace(shot, actors=actors),)))
    faces = track_faces(clip, ONE_SHOT)
    for track in faces.tracks:
        assert len(set(_on_whom(track, truths))) == 1
    front = [track for track in faces.tracks if _on_whom(track, truths)[0] == truths[0].faces[1].seed]
    assert sum(track.visible.sum() for track in front) >= 0.95 * clip.frame_count  # nobody ever hides that one
    for end in (0, clip.frame_count - 1):
        assert sum(track.start <= end < track.stop for track in faces.tracks) == 2


def test_speakers_cut_against_each_other_are_found_in_every_frame_of_their_shots():
    clip, truths = _talkers(cuts(5, (9, 8, 7), size=(240, 180)))
    faces = track_faces(clip)
    assert faces.shots == ((0, 9), (9, 17), (17, 24))
    assert [(track.start, track.stop) for track in faces.tracks] == list(faces.shots)
    assert faces.tracks[0].person == faces.tracks[2].person
    for track in faces.tracks:
        true = np.stack([truth.faces[0].three_points for truth in truths[track.start : track.stop]])
        eyes = np.array([_eye_distance(truth.faces[0]) for truth in truths[track.start : track.stop]])
        away = np.linalg.norm(track.landmarks - true, axis=2).mean(1) / eyes
        assert away.mean() < 0.08


def test_a_boundary_that_is_told_late_splits_what_was_followed_across_it(monkeypatch):
    class Late(ShotDetector):
        """Tells of every boundary only at the end, as it may of a dissolve."""

        def add(self, frame):
            self.late = [*getattr(self, "late", []), *super().add(frame)]
            return []

        def finish(self):
            return [*self.late, *super().finish()]

    monkeypatch.setattr("latentsync_core.faces.tracking.find_tracks.ShotDetector", Late)
    frames = _frames([(100, 70)] * 6) + _frames([(101, 70)] * 5, behind=WALL.flip(0, 1) ** 2)
    faces = _faces(frames)
    first, second = faces.tracks
    assert faces.shots == ((0, 6), (6, 11))
    assert (first.start, first.stop, second.start, second.stop) == (0, 6, 6, 11)
    assert np.linalg.norm(first.embedding - second.embedding) < 0.3  # looked at once more, as nobody did in time
    assert np.abs(first.portrait.astype(int) - second.portrait).mean() < 20


def test_a_face_on_which_the_mesh_does_not_converge_is_reported_with_a_mark_to_start_from():
    """In a portrait of twelve by twelve squares the detector finds a face, but the mesh doesn't converge."""
    levels = (astronaut.resized(astronaut.picture(), 240, 240) * 255).byte().numpy()
    coarse = np.asarray(Image.fromarray(levels).resize((12, 12)).resize((240, 240), Image.Resampling.NEAREST))
    clip = astronaut.clip_of(torch.from_numpy(coarse.astype(np.float32) / 255)[None])
    with pytest.raises(FaceError, match=r"a possible face was detected \(frame 0, score .* its mark is \[") as said:
        track_faces(clip)
    assert said.value.ways_out == (Remedy.MARK_FACE,)
    (mark,) = read_marks(str(said.value).rsplit("its mark is ", 1)[1], clip)
    with FrameSequence(clip) as sequence:
        (frame,) = sequence.frames([0])
        detected = max(detect_faces(frame, 0.5, FaceOptions().min_size), key=lambda face: face.score).box
    # The picture's right border cuts the box off, which shifts its points sideways.
    away = mark.box_and_points()[1] - points_of_box(detected, POINTS_IN_DETECTED_BOX)
    assert np.abs(away[:, 1]).max() < 0.03 * (detected[3] - detected[1]), "as high as the detection has brows and nose"
    assert mark.box[1] < detected[1], "a mark begins at the hairline, a detection below it"

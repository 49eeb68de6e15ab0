"""Drawn films: the same for the same seed, and true to what they say of shots, faces, what hides them, and voices."""

import hashlib
import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from latentsync_core.video.reading.probing import probe
from training.synthetic.head.light import sample_light
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose
from training.synthetic.scenes.film import BLACK_FRAMES, FADE_FRAMES, PEOPLE, choose_cast, film
from training.synthetic.scenes.film_file import film_file
from training.synthetic.scenes.film_frames import render_film
from training.synthetic.scenes.film_staging import MAX_YAW
from training.synthetic.scenes.scene import render, talking_head
from training.synthetic.speech.performance import silent_performance

SIZE = (320, 180)
FPS = Fraction(25)
FEW_FPS = Fraction(11, 2)  # where a shot's course counts and not how smooth it is; of 2 s one frame is the middle


def short(*rows, seed=1, transitions=False, fps=FPS):
    return film(seed, SIZE, fps, rows, rearranged=False, transitions=transitions)


def frames_of(made, indices=None):
    shown = itertools.islice(render_film(made), None if indices is None else max(indices) + 1)
    return [(frame, truth) for frame, truth in shown if indices is None or truth.index in indices]


def test_the_same_seed_is_the_same_film_and_another_one_another():
    rows = ("close", "A", 0.12), ("two", "AB", 0.12)
    first, again, other = (frames_of(short(*rows, seed=seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert np.abs(first[0][0].astype(int) - other[0][0]).mean() > 5


def test_a_whole_film_lasts_a_minute_with_cuts_enough_and_everybody_speaks_in_turn():
    for seed in range(3):
        made = film(seed)
        assert made.frame_count / made.fps >= 60
        assert len(made.shots) - 1 >= 12
        assert [shot.begins for shot in made.shots].count("fade") == 2
        assert {person for *_, person in made.speakers} == set(range(PEOPLE))
        length = round(float(made.frame_count / made.fps) * 16000)
        assert all(len(part.waveform) == length for part in made.performances)
        for start, end, person in made.speakers:
            inside = slice(round(start * 16000), round(end * 16000))
            loud = [float(np.abs(part.waveform[inside]).max()) for part in made.performances]
            assert all(level == 0 for other, level in enumerate(loud) if other != person)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(24000, 1001)])
def test_shots_have_their_frames_and_cuts_lie_between_them(fps):
    made = short(("close", "A", 0.2), ("nobody", "", 0.2), ("wide", "ABC", 0.2), fps=fps)
    shown = frames_of(made)
    assert len(shown) == made.frame_count == sum(round(0.2 * fps) for _ in range(3))
    assert [truth.time for _, truth in shown] == [float(index / fps) for index in range(len(shown))]
    assert [len(shown[start][1].faces) for start, _ in made.ranges] == [1, 0, 3]
    steps = [np.abs(a.astype(int) - b).mean() for (a, _), (b, _) in itertools.pairwise(shown)]
    cuts = [start - 1 for start, _ in made.ranges[1:]]
    assert min(steps[cut] for cut in cuts) > 2 * max(step for k, step in enumerate(steps) if k not in cuts)


def test_a_fade_ends_with_the_shot_and_the_next_one_begins_black():
    made = short(("close", "A", 1.6), ("close", "B", 1.6), transitions=True)
    start = made.ranges[1][0]
    assert made.shots[1].begins == "fade"
    shown = range(start - FADE_FRAMES - 2, start + BLACK_FRAMES + 1)
    around = {truth.index: (frame, truth) for frame, truth in frames_of(made, set(shown))}
    levels = {index: float(frame.mean()) for index, (frame, _) in around.items()}
    assert all(levels[index] > levels[index + 1] for index in range(start - FADE_FRAMES, start - 1))
    assert [levels[start + k] for k in range(BLACK_FRAMES)] == [0.0] * BLACK_FRAMES
    assert levels[start - 1] > 0
    assert levels[start + BLACK_FRAMES] > 0
    assert around[start][1].pure == 0
    assert around[start - FADE_FRAMES - 1][1].pure == 1


def test_a_face_hidden_behind_another_head_is_not_visible_and_one_beyond_the_edge_is_outside():
    made = short(("pass", "AB", 2.0), ("enter", "AB", 2.0), fps=FEW_FPS)
    shares = {0: [], 1: []}
    for _, truth in frames_of(made):
        for face in truth.faces:
            assert face.visible == pytest.approx(1 - face.outside - face.hidden - face.covered, abs=1e-6)
            shares[truth.shot].append((face.person, face.visible, face.hidden, face.outside))
    far = made.shots[0].roles[0].person
    hidden = [hidden for person, _, hidden, _ in shares[0] if person == far]
    assert max(hidden) == 1  # the nearer head covers all of it half way
    assert min(hidden) == 0
    assert all(hidden == 0 for person, _, hidden, _ in shares[0] if person != far)
    outside = [outside for *_, outside in shares[1]]
    assert max(outside) == 1
    assert min(outside) == 0


def test_the_hidden_share_is_what_the_picture_shows_less_of():
    made = short(("pass", "AB", 2.0))
    whole = made.shots[0]
    alone = replace(made, shots=(replace(whole, roles=whole.roles[:1], grain=0.0),))
    both = replace(made, shots=(replace(whole, grain=0.0),))
    indices = set(range(20, 26))  # the nearer head comes before the other one
    hidden = []
    for (one, _), (two, truth) in zip(frames_of(alone, indices), frames_of(both, indices), strict=True):
        face = truth.faces[0]
        hidden.append(face.hidden)
        x0, y0, x1, y1 = face.truth.box.round().astype(int)
        ys, xs = np.mgrid[y0 : y1 + 1, x0 : x1 + 1]
        inside = ((xs - (x0 + x1) / 2) / ((x1 - x0) / 2)) ** 2 + ((ys - (y0 + y1) / 2) / ((y1 - y0) / 2)) ** 2 <= 1
        changed = (one != two).any(2)[y0 : y1 + 1, x0 : x1 + 1]
        assert changed[inside].mean() == pytest.approx(face.hidden, abs=0.05)
    assert min(hidden) == 0
    assert max(hidden) == 1
    assert any(0.1 < share < 0.9 for share in hidden)


def test_a_hands_mask_is_where_the_picture_changes_and_it_covers_the_mouth():
    made = short(("hand", "A", 2.0), fps=FEW_FPS)
    shot = made.shots[0]
    bare = tuple(replace(role, occluder=None) for role in shot.roles)
    without = replace(made, shots=(replace(shot, roles=bare, grain=0.0),))
    made = replace(made, shots=(replace(shot, grain=0.0),))
    covered = []
    for (frame, truth), (plain, _) in zip(frames_of(made), frames_of(without), strict=True):
        solid = truth.occluder_alpha >= 0.5
        changed = (np.abs(frame.astype(int) - plain) > 0).any(2)
        if solid.any():
            assert changed[solid].mean() > 0.97  # skin on skin of the same level stays as it is
            beyond = np.abs(frame.astype(int) - plain)[truth.occluder_alpha == 0]
            assert beyond.size == 0 or np.percentile(beyond, 90) < 40  # only its shadow lies beside it
        covered.append(truth.faces[0].covered)
    assert max(covered) > 0.15
    assert covered[0] < 0.1


def test_a_face_turns_to_profile_and_its_nose_stands_out_where_the_truth_has_it():
    made = short(("profile", "A", 4.0), fps=FEW_FPS)
    yaws = [np.degrees(truth.faces[0].truth.head_state.pose.yaw) for _, truth in frames_of(made)]
    assert max(np.abs(yaws)) > 55
    assert max(np.abs(yaws)) < MAX_YAW + 8
    assert min(np.abs(yaws)) < 12
    person = choose_cast(2)[0]
    for yaw in (-70, 70):
        picture = np.full((240, 240, 3), 128, np.uint8)
        pose = Pose(120, 120, 72, np.radians(yaw))
        truth = Painter(person, sample_light(1)).paint(picture, HeadState(pose))
        way = np.sign(yaw)
        row = round(truth.nose[1] + 0.06 * 72)
        drawn = np.flatnonzero((picture[row] != 128).any(1))
        edge = drawn.max() if way > 0 else drawn.min()
        assert 0 < (edge - truth.nose[0]) * way < 0.25 * 72  # the tip is a little before the nose's mean
        brow = np.flatnonzero((picture[int(truth.brows[0, 1]) + 12] != 128).any(1))
        assert ((drawn.max() - brow.max()) if way > 0 else (brow.min() - drawn.min())) > 0.08 * 72


def test_a_film_is_kept_with_its_voices_and_its_truth_and_drawn_once(tmp_path):
    rows = ("two hands", "AB", 0.4), ("nobody", "", 0.2)
    options = {"script": rows, "rearranged": False, "transitions": False}
    facts = film_file(3, SIZE, FPS, tmp_path, **options)
    clip = probe(facts.video)
    assert (clip.frame_count, clip.width, clip.height, clip.fps) == (15, *SIZE, FPS)
    assert [voice.exists() for voice in facts.voices] == [True] * PEOPLE
    assert facts.shots.tolist() == [[0, 10], [10, 15]]
    assert facts.cast.sum(1).tolist() == [2] * 10 + [0] * 5
    assert np.isnan(facts.points[10:]).all()
    assert np.isfinite(facts.points[:10, :2]).all()
    assert all(facts.occluder_mask(int(frame), *SIZE).any() for frame in facts.covered_frames)
    assert not facts.occluder_mask(12, *SIZE).any()
    written = facts.video.stat().st_mtime_ns
    again = film_file(3, SIZE, FPS, tmp_path, **options)
    assert again.video.stat().st_mtime_ns == written
    assert np.array_equal(again.boxes, facts.boxes, equal_nan=True)


def test_scenes_that_there_were_before_films_are_drawn_as_ever():
    scene = talking_head(7, seconds=0.2, size=(96, 96), performance=silent_performance(0.2), style="real")
    assert max(abs(truth.faces[0].head_state.pose.yaw) for _, truth in render(scene)) <= np.radians(25)
    turned = HeadState(Pose(48, 48, 28, np.radians(25)))
    pictures = []
    for profile in (True, False):
        picture = np.full((96, 96, 3), 128, np.uint8)
        painter = Painter(choose_cast(1)[0], sample_light(1))
        if not profile:
            import training.synthetic.head.painter as painting

            kept, painting.MIN_PROFILE_YAW = painting.MIN_PROFILE_YAW, np.pi
            painter.paint(picture, turned)
            painting.MIN_PROFILE_YAW = kept
        else:
            painter.paint(picture, turned)
        pictures.append(hashlib.sha256(picture.tobytes()).hexdigest())
    assert pictures[0] == pictures[1]  # up to the old limit nothing of the profile is drawn

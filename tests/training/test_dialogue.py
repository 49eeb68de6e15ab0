"""Drawn dialogues: the same for the same seed, and true about who speaks, who is shown and who only moves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from training.synthetic.head.listening import GESTURES, Gesture, ListeningMouth, NoddingMotion, sample_gesture
from training.synthetic.head.motion import HeadMotion
from training.synthetic.scenes.dialogue import dialogue
from training.synthetic.scenes.dialogue_file import dialogue_file
from training.synthetic.scenes.film_frames import render_film
from training.synthetic.speech.performance import silent_performance

SIZE = (160, 90)
TIMES = np.arange(0, 3, 0.04)


@pytest.mark.parametrize("people", [2, 3])
def test_a_dialogue_has_turns_of_everybody_and_shots_of_its_people(people):
    seeds = range(6)
    made = [dialogue(seed, people, 8.0, SIZE) for seed in seeds]
    assert {turn[2] for one in made for turn in one.turns} == {0, 1, 2}, "the third is a voice off screen, or on it"
    shown = {role.person for one in made for shot in one.film.shots for role in shot.roles}
    assert shown == set(range(people))
    for one in made:
        assert one.film.frame_count == 200
        assert one.speaks.shape == (200, 3)
        for turns in ([turn for turn in one.turns if turn[2] == person] for person in range(3)):
            assert all(before[1] <= after[0] for before, after in pairwise(turns)), "nobody talks over themselves"


def test_the_truth_is_in_the_sound_and_listeners_are_silent():
    made = dialogue(3, 2, 8.0, SIZE)
    for person, performance in enumerate(made.film.performances):
        level = np.square(performance.waveform[: 200 * 640]).reshape(200, 640).mean(1)
        assert level[made.speaks[:, person]].mean() > 100 * (level[~made.speaks[:, person]].mean() + 1e-9)
        for gesture in made.gestures[person]:
            inside = [start < gesture.end and gesture.start < end for start, end, who in made.turns if who == person]
            assert not any(inside)


def test_the_same_seed_is_the_same_dialogue():
    first, again = (next(iter(render_film(dialogue(5, 2, 1.0, SIZE).film)))[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert dialogue(5, 2, 8.0, SIZE).turns != dialogue(6, 2, 8.0, SIZE).turns


@pytest.mark.parametrize("kind", [kind for kind in GESTURES if kind != "nod"])
def test_a_gesture_moves_a_silent_mouth_and_only_in_its_time(kind):
    gesture = sample_gesture(np.random.default_rng(1), 1.0, 2.5, kind)
    speech = silent_performance(3.0).mouth
    still, moved = speech(TIMES), ListeningMouth(speech, [gesture])(TIMES)
    inside = (gesture.start < TIMES) & (gesture.end > TIMES)
    for one, other, there in zip(still, moved, inside, strict=True):
        assert there or one == other
    assert sum(one != other for one, other in zip(still, moved, strict=True)) > 0.8 * inside.sum()


def test_a_nod_turns_the_head_and_leaves_the_mouth():
    nod = Gesture("nod", 1.0, 2.5, 1.5, 1.0)
    motion = HeadMotion(1, 3.0)
    pitch = np.array([NoddingMotion(motion, [nod]).angles(time)[1] - motion.angles(time)[1] for time in TIMES])
    assert np.abs(pitch[TIMES < 1]).max() == 0
    assert 0.1 < np.abs(pitch).max() < 0.2
    speech = silent_performance(3.0).mouth
    assert ListeningMouth(speech, [nod])(TIMES) == speech(TIMES)


def test_a_file_is_drawn_once_and_has_its_truth(tmp_path):
    truth = dialogue_file(4, 2, 2.0, SIZE, tmp_path)
    written = truth.video.stat().st_mtime_ns
    again = dialogue_file(4, 2, 2.0, SIZE, tmp_path)
    assert again.video.stat().st_mtime_ns == written
    assert truth.speaks.shape == truth.on_screen.shape == (50, 3)
    assert not truth.on_screen[:, 2].any()
    assert np.isfinite(truth.boxes[truth.on_screen]).all()

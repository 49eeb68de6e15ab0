"""Staged scenes: the same bits every time, truth where the faces are, lamps that bloom, cameras that move."""

import functools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from training.synthetic.film_look import FilmLook, apply_look
from training.synthetic.film_set import FilmSet, Layer, composite_layers, lamp_side, night_window
from training.synthetic.head.costume import Costume
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import sample_light
from training.synthetic.head.motion import HeadMotion
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose
from training.synthetic.scenes.film_staging import Keyframe
from training.synthetic.scenes.scene import FIRST_TEST_SEED
from training.synthetic.scenes.staged import CameraMove, StagedActor, StagedScene, StagedShot, render_staged
from training.synthetic.speech.performance import Performance, Voice
from training.synthetic.speech.visemes import MouthMotion

WIDTH, HEIGHT, FRAMES = 192, 108, 4
COAT = Costume(1, coat=(0.2, 0.3, 0.7), jumper=(0.8, 0.8, 0.8), scarf=(0.7, 0.1, 0.1))
STILL = HeadMotion(3, 1.0, 0.0)
SILENCE = Performance(Voice("fr", "fr", 150, 50, 50), (), (), np.zeros(16000, np.float32), MouthMotion([]))


def actor(x: float, yaw: float = 0.0) -> StagedActor:
    person = sample_identity(FIRST_TEST_SEED + 20, "real")
    return StagedActor(person, COAT, SILENCE, STILL, (Keyframe(0, x, 0.45, 0.25, yaw), Keyframe(1, x, 0.45, 0.25, yaw)))


@functools.cache
def made_set(make: Callable[[int, float], FilmSet], seed: int = 7) -> FilmSet:
    """A set of the frame's shape; painting one takes longer than a scene in it."""
    return make(seed, WIDTH / HEIGHT)


def scene(
    *actors: StagedActor, camera: CameraMove | None = None, grain: float = 1.0, film_set: FilmSet | None = None
) -> StagedScene:
    place = film_set or made_set(night_window)
    shot = StagedShot(FRAMES, actors, place, sample_light(4), camera or CameraMove(), FilmLook(), grain)
    return StagedScene(WIDTH, HEIGHT, Fraction(25), (shot,), np.zeros(16000, np.float32))


def test_the_same_scene_gives_the_same_bits_and_every_frame_is_another():
    sets = (made_set(lamp_side), lamp_side(7, WIDTH / HEIGHT))
    first, second = ([frame for frame, _ in render_staged(scene(actor(0.5), film_set=one))] for one in sets)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert all((a != b).any() for a, b in pairwise(first))


def test_all_actors_are_painted_where_their_truths_are():
    _, truth = next(render_staged(scene(actor(0.25), actor(0.75))))
    centres = [(one.box[0] + one.box[2]) / 2 / WIDTH for one in truth.faces]
    assert centres == pytest.approx([0.25, 0.75], abs=0.03)
    with_him, without = (next(render_staged(scene(*cast)))[0].astype(int) for cast in ((actor(0.75),), ()))
    changed = np.abs(with_him - without).max(2) > 12
    x0, y0, x1, y1 = truth.faces[1].box.astype(int)
    assert changed[y0:y1, x0 + 8 : x1 - 8].mean() > 0.95
    assert not changed[:, : WIDTH // 3].any()


def test_a_camera_that_moves_in_enlarges_the_actor_more_than_the_wall_and_the_city_least():
    truths = [truth for _, truth in render_staged(scene(actor(0.5), camera=CameraMove(1.2), grain=0.0))]
    heights = [truth.faces[0].box[3] - truth.faces[0].box[1] for truth in truths]
    assert heights[-1] / heights[0] == pytest.approx(1.2, abs=0.01)
    assert dot_distance(depth=1.0) / dot_distance(depth=1.0, zoom=1.0) == pytest.approx(1.2, abs=0.02)
    assert dot_distance(depth=5.0) / dot_distance(depth=5.0, zoom=1.0) == pytest.approx(1.04, abs=0.02)


def dot_distance(depth: float, zoom: float = 1.2) -> float:
    """How far from the frame's middle a dot of a layer is seen, in pixels."""
    picture = torch.zeros(4, 132, 264)
    picture[:, 66:68, 200:202] = 1
    seen = composite_layers(torch.zeros(3, 100, 200), (Layer(picture, depth),), zoom, (0.0, 0.0))
    columns = seen[0].sum(0)
    return float((columns * (torch.arange(200) - 99.5)).sum() / columns.sum())


def test_a_near_layer_moves_more_than_the_actors_and_a_far_one_less():
    near, here, far = (shifted_dot(depth) for depth in (0.5, 1.0, 4.0))
    assert here == pytest.approx(10, abs=0.6)
    assert near == pytest.approx(20, abs=1)
    assert far == pytest.approx(2.5, abs=0.6)


def shifted_dot(depth: float) -> float:
    """By how many pixels a dot moves to the right when the actors move by a tenth of the frame's height."""
    places = []
    for shift in (0.0, 0.1):
        picture = torch.zeros(4, 132, 264)
        picture[:, 66:68, 131:133] = 1
        columns = composite_layers(torch.zeros(3, 100, 200), (Layer(picture, depth),), 1.0, (shift, 0.0))[0].sum(0)
        places.append(float((columns * torch.arange(200)).sum() / columns.sum()))
    return places[1] - places[0]


@pytest.mark.parametrize("make", [night_window, lamp_side])
def test_a_set_has_lamps_brighter_than_white_in_a_dark_room_and_is_opaque(make):
    film_set = made_set(make)
    assert film_set.behind[0].picture[3].min() > 0.999
    room = composite_layers(torch.zeros(3, 90, 160), film_set.behind, 1.0, (0.0, 0.0))
    assert room.max() > 1.5
    assert room.median() < 0.1
    different = composite_layers(torch.zeros(3, 90, 160), made_set(make, 8).behind, 1.0, (0.0, 0.0))
    assert (room - different).abs().max() > 0.05, "another seed, another set"


def test_a_lamp_blooms_over_the_dark_beside_it():
    dark = torch.full((3, 96, 96), 0.02)
    lit = dark.clone()
    lit[:, 40:56, 40:56] = 4.0
    look = replace(FilmLook(), vignette=0.0)
    difference = apply_look(lit, look) - apply_look(dark, look)
    assert difference[:, 48, 60].min() > 0.02
    assert difference[:, 4, 4].abs().max() < 0.01
    assert apply_look(lit, look).max() <= 1


def test_a_costume_covers_the_own_clothes_and_spares_the_face():
    person, light = sample_identity(FIRST_TEST_SEED + 20, "real"), sample_light(4)
    pictures = []
    for costume in (None, COAT):
        picture = np.zeros((240, 240, 3), np.uint8)
        truth = Painter(person, light, costume).paint(picture, HeadState(Pose(120, 90, 60)))
        pictures.append(picture.astype(int))
    changed = (pictures[0] != pictures[1]).any(2)
    x0, y0, x1, y1 = truth.box.astype(int)
    assert not changed[y0 : y1 - 6, x0 + 12 : x1 - 12].any()
    assert changed[200:, 60:180].mean() > 0.95
    scarf = pictures[1][165:170, 110:130].mean((0, 1))
    assert scarf.argmax() == 0


def test_an_empty_set_shows_what_it_is_put_over():
    frame = torch.rand(3, 20, 30)
    assert (composite_layers(frame, FilmSet(()).behind, 1.0, (0.0, 0.0)) == frame).all()

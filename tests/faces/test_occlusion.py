"""Occlusion: a hand before the mouth keeps its own pixels, a bare face isn't touched, drawn or real."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.compositing.compositor import mouth_region, paste_face
from latentsync_core.errors import OptionError
from latentsync_core.faces.alignment.align import align_track, crop_face, crop_size
from latentsync_core.faces.occlusion import WEIGHTS, load_occlusion, occlusion_mask
from latentsync_core.imaging import affine
from tests import astronaut
from training.synthetic.crops import aligned_crop, engine_frame
from training.synthetic.occluders.objects import paint_occluder_at, sample_occluder
from training.synthetic.scenes.scene import render, talking_head

RESOLUTION = 256
BROWS_AND_NOSE = np.array([[196.0, 86.0], [252.0, 86.0], [225.0, 115.0]], np.float32)  # what one sees of the astronaut


@functools.cache
def _scene(seed: int):
    """Frames of somebody that no training sees, and their three points."""
    scene = talking_head(seed, seconds=0.6, size=(208, 208), split="test", style="real")
    frames = list(render(scene))
    return [picture for picture, _ in frames], [truth.faces[0].three_points for _, truth in frames], scene


def _transform(points: np.ndarray) -> np.ndarray:
    return align_track(points[None], np.array([True]), RESOLUTION)[0]


def _crop(picture: np.ndarray, points: np.ndarray) -> torch.Tensor:
    return crop_face(engine_frame(picture), _transform(points), RESOLUTION, eight_bit=False)


def _with_hand(picture: np.ndarray, points: np.ndarray, seed: int, **more) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a hand before the mouth, and where that is."""
    covered = picture.copy()
    place = np.array([0.5, 0.61]) * crop_size(RESOLUTION)
    mouth = affine.map_points(affine.invert(_transform(points)), place)
    scale = float(np.linalg.norm(points[1] - points[0])) / 0.8
    alpha = paint_occluder_at(covered, sample_occluder(seed, "hand", **more), tuple(mouth), scale, 0.5)
    return covered, alpha


def _touches(mask: torch.Tensor) -> bool:
    return bool((mask * mouth_region(RESOLUTION) > 1 / 255).any())


def test_the_weights_are_small():
    assert WEIGHTS.stat().st_size < 1_000_000


def test_bare_faces_are_left_alone_whatever_their_mouths_do():
    touched = looked = 0
    for seed in range(6):
        pictures, points, _ = _scene(seed)
        portrait = aligned_crop(pictures[7], points[7])
        for index in range(0, len(pictures), 4):
            looked += 1
            touched += _touches(occlusion_mask(_crop(pictures[index], points[index]), portrait))
    assert looked >= 20
    assert touched == 0


@pytest.mark.parametrize("own_skin", [True, False])
def test_a_palm_before_the_mouth_stays_the_sources_own(own_skin):
    """Composited by the compositor itself, with another frame's mouth as the new one."""
    differences, without = [], []
    for seed in range(4):
        pictures, points, scene = _scene(seed)
        skin = scene.shots[0].actors[0].person.skin if own_skin else None
        picture, alpha = _with_hand(pictures[3], points[3], 900 + seed, gesture="palm", skin=skin)
        new, region = _crop(pictures[12], points[12]), mouth_region(RESOLUTION)
        mask = occlusion_mask(_crop(picture, points[3]), aligned_crop(pictures[9], points[9]))
        for shown, into in ((region * (1 - mask), differences), (region, without)):
            frame = engine_frame(picture)
            before = frame.rgb() * 255
            roi = paste_face(frame, _transform(points[3]), new, RESOLUTION, region=region)
            frame = engine_frame(picture)
            paste_face(frame, _transform(points[3]), new, RESOLUTION, region=shown)
            inside = torch.zeros(alpha.shape, dtype=torch.bool)
            inside[roi.y0 : roi.y1, roi.x0 : roi.x1] = True
            inside &= torch.from_numpy(alpha > 0.5)
            into.append(float((frame.rgb() * 255 - before).abs().mean(0)[inside].mean()))
    assert np.mean(differences) <= 2
    assert np.mean(without) > 5  # there was something to keep


def test_a_real_face_is_left_alone_and_a_hand_before_it_is_seen():
    picture = np.array(Image.open(astronaut.PATH).convert("RGB"))
    portrait = aligned_crop(picture, BROWS_AND_NOSE)
    for shift in ((0, 0), (1.5, -1), (-1, 2)):
        assert not _touches(occlusion_mask(_crop(picture, BROWS_AND_NOSE + np.float32(shift)), portrait))
    kept = []
    for seed in range(4):
        covered, alpha = _with_hand(picture, BROWS_AND_NOSE, 40 + seed, gesture="palm")
        mask = occlusion_mask(_crop(covered, BROWS_AND_NOSE), portrait)
        levels = np.repeat((alpha * 255).astype(np.uint8)[..., None], 3, 2)
        inside = _crop(levels, BROWS_AND_NOSE)[0] * mouth_region(RESOLUTION) > 0.9
        kept.append(float(mask[inside].mean()))
    assert np.mean(kept) > 0.9


def test_the_mask_comes_in_the_crops_size_and_changes_gently_between_sizes():
    pictures, points, _ = _scene(1)
    picture, _ = _with_hand(pictures[3], points[3], 901, gesture="palm")
    portrait = aligned_crop(pictures[9], points[9])
    masks = []
    for resolution in (128, 256, 512):
        transform = align_track(points[3][None], np.array([True]), resolution)[0]
        mask = occlusion_mask(crop_face(engine_frame(picture), transform, resolution), portrait)
        assert mask.shape == (resolution, resolution)
        assert mask.dtype == torch.float32
        assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
        masks.append(torch.nn.functional.adaptive_avg_pool2d(mask[None], 64))
    assert float(masks[0].mean()) > 0.1
    assert float((masks[0] - masks[2]).abs().mean()) < 0.03
    assert float((masks[1] - masks[2]).abs().mean()) < 0.03


def test_nothing_in_a_picture_can_break_it():
    for crop in (torch.zeros(3, 64, 64), torch.ones(3, 64, 64), torch.rand(3, 65, 65)):
        mask = occlusion_mask(crop, torch.zeros(3, 128, 128))
        assert torch.isfinite(mask).all()


def test_wrong_shapes_are_refused():
    square = torch.zeros(3, 64, 64)
    with pytest.raises(OptionError, match="crop"):
        occlusion_mask(torch.zeros(3, 64, 60), square)
    with pytest.raises(OptionError, match="portrait"):
        occlusion_mask(square, torch.zeros(64, 64))


def test_reading_the_network_draws_no_random_numbers():
    """A first run moved torch's global random state, and with it the seeds of whatever ran in the same process."""
    before = torch.get_rng_state()
    load_occlusion.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before)

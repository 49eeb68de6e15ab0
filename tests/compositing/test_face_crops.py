"""Crops go out to a restorer and come back: unchanged they composite as before, restored in their own detail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.compositor import max_useful_patch_size
from latentsync_core.compositing.face_crops import decode_faces, replace_faces
from latentsync_core.compositing.rendering import frames_with_face, render
from latentsync_core.errors import OptionError
from tests import astronaut
from tests.synced_faces import RESOLUTION, synced_faces

CLIP = astronaut.clip_of(astronaut.resized(astronaut.picture(), 160, 120).expand(7, -1, -1, -1))


@pytest.fixture
def synced():
    made = synced_faces(CLIP, without_face=(2, 3))
    with made.patches:
        yield made


def images(synced, options=None):
    return torch.stack([rendered.frame.rgb() for rendered in render(synced, options)])


def batch(synced):
    """The crops as ComfyUI holds them, (n, R, R, 3)."""
    return torch.stack([crop for _, crop in decode_faces(synced)]).permute(0, 2, 3, 1)


def test_only_frames_with_a_face_come_out_and_progress_is_told(synced):
    told = []
    out = list(decode_faces(synced, lambda done, total: told.append((done, total))))
    assert [index for index, _ in out] == [0, 1, 4, 5, 6] == frames_with_face(synced)
    assert told == [(count, 5) for count in range(1, 6)]
    assert all(crop.shape == (3, RESOLUTION, RESOLUTION) and 0 <= crop.min() <= crop.max() <= 1 for _, crop in out)


def test_decoding_is_streamed(synced):
    crops = decode_faces(synced)
    next(crops)
    assert synced.codec.decoded < 5
    crops.close()


@pytest.mark.parametrize("region", Region)
@pytest.mark.parametrize("feather", [0.0, 0.5, 1.0])
def test_crops_given_back_unchanged_composite_as_if_they_had_never_been_out(synced, region, feather):
    options = CompositeOptions(feather=feather, region=region, match_color=0, match_grain=0)
    before = images(synced, options)
    with (again := replace_faces(synced, batch(synced))).patches:
        assert (images(again, options) - before).abs().max() < 1 / 255
        np.testing.assert_allclose(batch(again), batch(synced), atol=1e-3)


@pytest.mark.parametrize("size", [32, 64, 300])
def test_a_restorer_may_give_any_size(synced, size):
    before = images(synced)
    restored = F.interpolate(batch(synced).permute(0, 3, 1, 2), size=(size, size), mode="bilinear", antialias=True)
    with (again := replace_faces(synced, iter(restored))).patches:
        assert (images(again) - before).abs().mean() < 0.003
        assert (images(again)[2:4] == before[2:4]).all(), "frames without a face"


def test_what_no_frame_can_show_is_not_stored_and_what_one_can_is(synced):
    side = max_useful_patch_size(synced.transforms, RESOLUTION)
    assert RESOLUTION < side < 300
    stripes = (torch.arange(600) // 20 % 2).float().expand(5, 3, 600, 600)
    with (again := replace_faces(synced, stripes.permute(0, 2, 3, 1))).patches:
        assert again.patches.shape == (3, side, side)
        layer = next(render(again, CompositeOptions(region=Region.FACE, match_grain=0))).layer
        middle = layer.rgb[0][layer.alpha > 0.99]
        assert middle.std() > 0.25


def test_the_whole_face_is_pasted_where_asked_and_the_mouth_alone_else(synced):
    white = torch.ones(5, 64, 64, 3)
    with (again := replace_faces(synced, white)).patches:
        mouth, face = (images(again, CompositeOptions(region=region))[0] for region in (Region.MOUTH, Region.FACE))
    changed = [
        int((picture - CLIP.images[0].permute(2, 0, 1)).abs().amax(0).gt(0.01).sum()) for picture in (mouth, face)
    ]
    assert 100 < changed[0] < 0.7 * changed[1]


def test_replaced_crops_live_in_the_folder_and_go_with_their_store(synced, tmp_path):
    again = replace_faces(synced, batch(synced), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    again.patches.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("crops", "words"),
    [
        (torch.zeros(4, 64, 64, 3), "4 face crops came for 5"),
        (torch.zeros(5, 64, 48, 3), "48×64"),
        (torch.full((5, 64, 64, 3), torch.nan), "crop 1 has values"),
        (torch.zeros(5, 64, 64), "count, size, size"),
        (iter(torch.zeros(4, 3, 64, 64)), "4 face crops came for 5"),
        (iter(torch.zeros(6, 3, 64, 64)), "more face crops came for 5"),
        ([torch.zeros(3, 64, 64), torch.zeros(3, 32, 32)], "crop 2 is 32 pixels"),
        (iter(torch.zeros(5, 3, 64, 64, dtype=torch.uint8)), "uint8"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_left(synced, tmp_path, crops, words):
    with pytest.raises(OptionError, match=words):
        replace_faces(synced, crops, tmp_path)
    assert not list(tmp_path.iterdir())

"""In a rendered clip a hand before the mouth stays as it was filmed, in its frames alone, and the result says where."""

import dataclasses

import numpy as np
import pytest
import torch

from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.rendering import render
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.sampling.patch_store import PatchStore
from latentsync_core.sampling.synced_faces import SyncedFaces
from tests import astronaut
from tests.synced_faces import RESOLUTION, SIDE, PixelCodec
from training.synthetic.occluders.objects import paint_occluder_at, sample_occluder
from training.synthetic.scenes.scene import render as drawn
from training.synthetic.scenes.scene import talking_head

HAND = range(6, 10)  # of twelve frames


@pytest.fixture(scope="module")
def covered():
    """New faces for a clip in which a hand passes, and the hand's alpha in each frame."""
    scene = talking_head(3, seconds=0.48, size=(208, 208), split="test", style="real")
    hand = sample_occluder(5, "hand", gesture="palm")
    pictures, alphas = [], []
    for picture, truth in drawn(scene):
        alphas.append(np.zeros(picture.shape[:2], np.float32))
        if truth.index in HAND:
            face = truth.faces[0]
            mouth, scale = face.mouth_corners.mean(0), face.head_state.pose.scale
            alphas[-1] = paint_occluder_at(picture, hand, tuple(mouth), scale, 0.5)
        pictures.append(torch.from_numpy(picture.astype(np.float32) / 255))
    clip = astronaut.clip_of(torch.stack(pictures))
    faces = track_faces(clip)
    frames = clip.frame_count
    store = PatchStore("test", frames, (4, SIDE, SIDE))
    for index in range(frames):
        store.put(index, torch.rand(4, SIDE, SIDE, generator=torch.Generator().manual_seed(index)) * 2 - 1)
    transforms = path_transforms(faces, RESOLUTION)
    synced = SyncedFaces(
        faces=faces,
        transforms=transforms,
        patches=store,
        codec=PixelCodec(),
        resolution=RESOLUTION,
        audio=None,
        source_index=np.arange(frames),
        blend=faces.path.blend,
        pts=clip.pts,
    )
    with store:
        yield synced, alphas


def levels_changed(synced, rendered) -> np.ndarray:
    source = synced.faces.clip.images[rendered.frame.index].numpy()
    return np.abs(rendered.frame.planes[0] - source).mean(-1) * 255


def test_the_hand_keeps_its_own_pixels_and_the_other_frames_are_drawn_whole(covered):
    synced, alphas = covered
    for rendered in render(synced):
        index, changed = rendered.frame.index, levels_changed(synced, rendered)
        if index in HAND:
            assert rendered.occluded > 0.1
            assert changed[alphas[index] > 0.5].mean() < 2
        else:
            assert rendered.occluded == 0
            assert (changed > 3).mean() > 0.02


def test_it_can_be_turned_off(covered):
    synced, alphas = covered
    for rendered in render(synced, CompositeOptions(occlusion=False)):
        assert rendered.occluded == 0
        if rendered.frame.index in HAND:
            assert levels_changed(synced, rendered)[alphas[rendered.frame.index] > 0.5].mean() > 5


def test_nothing_is_looked_for_before_faces_marked_by_hand(covered):
    synced, _ = covered
    tracks = tuple(dataclasses.replace(track, by_hand=True) for track in synced.faces.tracks)
    marked = dataclasses.replace(synced, faces=dataclasses.replace(synced.faces, tracks=tracks))
    assert all(rendered.occluded == 0 for rendered in render(marked))

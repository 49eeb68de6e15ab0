"""In a rendered clip a hand before the mouth stays as it was filmed, in its frames alone, and the result says where."""

import dataclasses

import numpy as np
import pytest
import torch

from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.foreground import _rescaled, subtract_occlusion
from latentsync_core.compositing.rendering import render
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.imaging import affine
from latentsync_core.sampling.patch_store import PatchStore
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.video.reading.frame_sequence import FrameSequence
from tests import astronaut
from tests.made_faces import make_track
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


def test_a_face_is_compared_with_its_own_portrait(covered):
    """Another person's track comes first in the list, so that a face and its number in the list fall apart."""
    synced, _ = covered
    (own,) = synced.faces.tracks
    other = make_track(0, own.start, own.stop, person=1)
    tracks = (other, dataclasses.replace(own, track_id=1))
    second = dataclasses.replace(synced, faces=dataclasses.replace(synced.faces, tracks=tracks, chosen=(1,)))
    with FrameSequence(synced.faces.clip) as sequence:
        for frame in sequence.frames(range(synced.faces.clip.frame_count)):
            expected, found = (subtract_occlusion(one, frame.index, frame, None) for one in (synced, second))
            assert found[1] == expected[1]
            assert (found[1] > 0) == (frame.index in HAND)
            assert found[0] is expected[0] is None or torch.equal(found[0], expected[0])


def test_each_of_several_speakers_is_compared_with_their_own_portrait(covered):
    """The first speaker has no face in the clip; the second one's hand is seen all the same."""
    synced, _ = covered
    absent = dataclasses.replace(
        synced,
        faces=dataclasses.replace(synced.faces, chosen=()),
        transforms=np.full_like(synced.transforms, np.nan),
    )
    for alone, second in zip(render(synced), render([absent, synced]), strict=True):
        assert second.occluded == alone.occluded
        np.testing.assert_array_equal(second.frame.planes[0], alone.frame.planes[0])


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_a_rescaled_crop_has_the_same_edges(scale):
    transform = np.array([[0.9, -0.2, 7.3], [0.2, 0.9, -4.6]], np.float32)
    edges = np.array([[-0.5, -0.5], [RESOLUTION - 0.5, RESOLUTION - 0.5]])
    in_frame = affine.map_points(affine.invert(transform), edges)
    expected = [[-0.5, -0.5], [RESOLUTION * scale - 0.5] * 2]
    np.testing.assert_allclose(affine.map_points(_rescaled(transform, scale), in_frame), expected, atol=1e-4)

"""What was pasted comes out as a matte and as a layer; laid over the source they make the result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.rendering import render
from latentsync_core.errors import OptionError
from latentsync_core.imaging.roi import Roi
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.probing import probe
from tests import astronaut
from tests.clips import make_clip
from tests.synced_faces import synced_faces

OPTIONS = [
    CompositeOptions(),
    CompositeOptions(feather=0),
    CompositeOptions(feather=2.5, region=Region.FACE),
    CompositeOptions.reference(),
]


def sources(clip):
    with FrameSequence(clip) as sequence:
        return list(sequence.frames(range(clip.frame_count)))


@pytest.mark.parametrize("options", OPTIONS)
def test_the_layer_over_the_source_is_the_result(options):
    clip = astronaut.clip_of(astronaut.resized(astronaut.picture(), 150, 110).expand(5, -1, -1, -1))
    synced = synced_faces(clip, without_face=(3,), faces_wide=1.2)  # beyond the frame's edges
    with synced.patches:
        for rendered, source in zip(render(synced, options), sources(clip), strict=True):
            *rgb, alpha = rendered.rgba
            over = (1 - alpha) * source.rgb() + alpha * torch.stack(rgb)
            assert torch.allclose(over, rendered.frame.rgb(), atol=1e-6)
            assert bool(alpha.any()) == (source.index != 3)
            assert torch.equal(alpha, rendered.matte)


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv444p10le", "yuv420p"])
def test_over_a_files_frames_it_is_the_result_within_a_level(tmp_path, pixel_format):
    made = make_clip(tmp_path / "a.mkv", pixel_format=pixel_format, frames=3, size=(160, 120), encoder=("-c:v", "ffv1"))
    clip = probe(made)
    synced = synced_faces(clip)
    with synced.patches:
        for rendered, source in zip(render(synced), sources(clip), strict=True):
            patch = source.copy()
            patch.paste(Roi(0, 0, 160, 120), rendered.rgba[:3], torch.ones(120, 160))
            alpha = rendered.matte.numpy()
            same_grid = slice(1) if pixel_format == "yuv420p" else slice(3)  # halved chroma has its own alpha
            for new, old, result in zip(patch.planes[same_grid], source.planes, rendered.frame.planes, strict=False):
                assert np.abs((1 - alpha) * old + alpha * new - result).max() < 1.01
            assert (rendered.frame.planes[0] != source.planes[0]).mean() > 0.05


@pytest.mark.parametrize("options", OPTIONS)
def test_two_peoples_faces_lie_one_over_the_other(options):
    clip = astronaut.clip_of(torch.rand(3, 90, 200, 3))
    one, other = synced_faces(clip, without_face=(1,)), synced_faces(clip)
    other.transforms[:, :, 2] -= other.transforms[:, :, 0] * 30  # beside the first, and partly over it
    with one.patches, other.patches:
        for rendered, source in zip(render([one, other], options), sources(clip), strict=True):
            expected = source
            for layer in rendered.layers:
                expected.paste(*layer)
            np.testing.assert_array_equal(rendered.frame.planes[0], expected.planes[0])
            assert len(rendered.layers) == (1 if source.index == 1 else 2)
            *rgb, alpha = rendered.rgba
            over = (1 - alpha) * sources(clip)[source.index].rgb() + alpha * torch.stack(rgb)
            assert torch.allclose(over, rendered.frame.rgb(), atol=1e-5)


def test_a_face_shows_as_much_as_its_frame_lets_it():
    clip = astronaut.clip_of(torch.rand(3, 90, 120, 3))
    synced = synced_faces(clip)
    faded = dataclasses.replace(synced, blend=np.array([1, 0.25, 1], np.float32))
    with synced.patches:
        full = [rendered.matte for rendered in render(synced)]
        less = [rendered.matte for rendered in render(faded)]
    assert torch.equal(full[0], less[0])
    assert torch.allclose(full[1] * 0.25, less[1], atol=1e-6)


def test_what_the_user_says_lies_before_the_face_stays_untouched():
    clip = astronaut.clip_of(torch.rand(4, 90, 120, 3))
    synced = synced_faces(clip)
    mask = torch.zeros(4, 90, 120)
    mask[2, :, 50:70] = 1
    with synced.patches:
        free = [rendered.frame.planes[0] for rendered in render(synced)]
        kept = [rendered.frame.planes[0] for rendered in render(synced, foreground=mask)]
        small = [rendered.matte for rendered in render(synced, foreground=torch.ones(1, 9, 12))]
    source = clip.images.numpy()
    np.testing.assert_array_equal(kept[2][:, 50:70], source[2][:, 50:70])
    np.testing.assert_array_equal(kept[2][:, :50], free[2][:, :50])
    np.testing.assert_array_equal(kept[1], free[1])
    assert not any(matte.any() for matte in small)


def test_faces_that_do_not_belong_together_are_refused():
    clip, other = (astronaut.clip_of(torch.rand(3, 60, 80, 3)) for _ in range(2))
    one, two = synced_faces(clip), synced_faces(other)
    longer = dataclasses.replace(one, source_index=np.array([0, 1, 2, 2]))
    with one.patches, two.patches:
        with pytest.raises(OptionError, match="of two clips"):
            next(render([one, two]))
        with pytest.raises(OptionError, match="frames are 3, another's 4"):
            next(render([one, longer]))
        with pytest.raises(OptionError, match="no new faces"):
            next(render([]))
        with pytest.raises(OptionError, match=r"foreground mask has shape \(2, 60, 80\)"):
            next(render(one, foreground=torch.zeros(2, 60, 80)))


def test_a_layers_colours_go_on_beyond_its_alpha():
    clip = astronaut.clip_of(torch.zeros(1, 200, 300, 3))
    synced = synced_faces(clip, faces_wide=0.4)
    with synced.patches:
        rendered = next(render(synced))
    roi = rendered.layer.roi
    rgba = rendered.rgba
    assert torch.equal(rgba[:3, roi.y0 - 5, roi.x0 : roi.x1], rgba[:3, roi.y0, roi.x0 : roi.x1])
    assert not rgba[3, : roi.y0].any()
    assert not rgba[:, : roi.y0 - 20].any()


def test_a_frame_that_shows_the_filmed_mouth_keeps_every_sample(tmp_path):
    made = make_clip(tmp_path / "a.mkv", frames=3, size=(160, 120), encoder=("-c:v", "ffv1"))
    clip = probe(made)
    synced = synced_faces(clip)
    paused = dataclasses.replace(synced, blend=np.float32([1, 0, 0.5]))
    with synced.patches:
        for rendered, source in zip(render(paused), sources(clip), strict=True):
            same = all(np.array_equal(new, old) for new, old in zip(rendered.frame.planes, source.planes, strict=True))
            assert same == (source.index == 1)
            assert len(rendered.layers) == (source.index != 1)

"""Only what speech moves is pasted: lips, chin and jaw of a rendered face whose closed and open mouth are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from latentsync_core.compositing.blending import patch_shapes
from latentsync_core.compositing.blending.contour import (
    DIRECTIONS,
    OUTLINES,
    SPEECH,
    contour_of,
    distances_of,
    region_mask,
    usual_contour,
)
from latentsync_core.compositing.blending.steadiness import AHEAD, steady_contour
from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.rendering import DECODE_BATCH, render
from latentsync_core.errors import ModelError, OptionError
from latentsync_core.faces.alignment.align import TEMPLATE_SIZE, align_track, crop_face
from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.messages import Remedy
from latentsync_core.sampling.patch_store import PatchKind, PatchStore
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.probing import probe
from tests import astronaut
from tests.clips import make_clip
from tests.made_faces import made_faces, make_track
from tests.synced_faces import synced_faces
from training.synthetic.backdrop import backdrop
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import sample_light
from training.synthetic.head.mouth import MouthShape
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose

SIZE, RESOLUTION = 256, 128
FRAMES = 4
OPEN, CLOSED = MouthShape(opening=0.26, jaw=0.24), MouthShape()
UNMATCHED = CompositeOptions(match_color=0, match_grain=0, occlusion=False)


@pytest.fixture(scope="module")
def faces():
    return paint(OPEN, CLOSED)


def paint(*mouths: MouthShape):
    """The same head with each mouth: (SIZE, SIZE, 3) in [0, 1], and the truth."""
    light = sample_light(4)
    painter, behind = Painter(sample_identity(12), light), backdrop(3, SIZE, SIZE, light.warmth)
    painted = []
    for mouth in mouths:
        picture = behind.copy()
        truth = painter.paint(picture, HeadState(Pose(x=SIZE / 2, y=SIZE / 2 - 8, scale=76.0), mouth))
        painted.append((torch.from_numpy(picture.astype(np.float32) / 255), truth))
    return painted


def dub(faces, filmed=0, generated=1, frames=FRAMES, change=lambda patch: patch) -> SyncedFaces:
    """A still clip of one picture, whose generated faces are the crops of the other one."""
    (picture, _), (other, truth) = faces[filmed], faces[generated]
    clip = astronaut.clip_of(picture.expand(frames, -1, -1, -1))
    transform = align_track(truth.three_points[None], np.ones(1, bool), RESOLUTION)[0]
    patch = change(crop_face(astronaut.frame_of(other), transform, RESOLUTION, eight_bit=False))
    store = PatchStore("speech", frames, tuple(patch.shape), torch.float32, kind=PatchKind.CROPS)
    for index in range(frames):
        store.put(index, patch)
    found = FaceTracks(clip, (), ((0, frames),), AlignOptions(), TouchLimits(), ())
    return SyncedFaces(
        found, np.tile(transform, (frames, 1, 1)), store, None, RESOLUTION, None, np.arange(frames),
        np.ones(frames, np.float32), clip.pts,
    )  # fmt: skip


def first(synced: SyncedFaces, options: CompositeOptions = UNMATCHED):
    """The first frame's picture (H, W, 3) and matte."""
    with synced.patches:
        rendered = next(render(synced, options))
        return rendered.frame.rgb().permute(1, 2, 0), rendered.matte


def test_an_open_filmed_jaw_that_the_dub_closes_leaves_no_double_chin(faces):
    (filmed, opened), (closed, truth) = faces
    result, _ = first(dub(faces))
    middle = int(truth.chin[0])
    below_lips = np.s_[int(truth.lips[3, 1]) : int(opened.chin[1]) + 8, middle - 24 : middle + 24]
    before, after = ((picture - closed)[below_lips].abs().mean() * 255 for picture in (filmed, result))
    assert opened.chin[1] - truth.chin[1] > 8, "pixels that the jaw was dropped by"
    assert before > 10
    assert after < 3
    sides = np.s_[int(truth.lips[3, 1]) : int(truth.chin[1]), middle - 60 : middle + 60]  # beside the chin
    before, after = ((picture - closed)[sides].abs().mean() * 255 for picture in (filmed, result))
    assert after < 0.2 * before


def test_wide_open_lips_that_the_dub_closes_leave_nothing_of_themselves():
    painted = paint(MouthShape(opening=0.5, jaw=0.24), MouthShape(jaw=0.24))  # one jaw, as it isn't pasted
    (filmed, opened), (closed, _) = painted
    result, _ = first(dub(painted), dataclasses.replace(UNMATCHED, region=Region.LIPS))
    (left, top), (right, bottom) = opened.lips.min(0).astype(int) - 2, opened.lips.max(0).astype(int) + 3
    mouth = np.s_[top:bottom, left:right]
    before, after = ((picture - closed)[mouth].abs().mean() * 255 for picture in (filmed, result))
    assert before > 20
    assert after < 3


def test_a_jaw_that_the_dub_opens_shows_whole(faces):
    (opened, truth), (closed, _) = faces
    result, _ = first(dub(faces, filmed=1, generated=0))
    middle = int(truth.chin[0])
    lower = np.s_[int(truth.lips[0, 1]) : int(truth.chin[1]) + 2, middle - 24 : middle + 24]
    assert (result - opened)[lower].abs().mean() * 255 < 4 < (closed - opened)[lower].abs().mean() * 255


def test_beside_a_jaw_that_the_dub_opens_the_filmed_samples_stay(faces):
    _, (_, truth) = faces
    _, matte = first(dub(faces, filmed=1, generated=0))
    unit = np.linalg.norm(truth.brows[1] - truth.brows[0]) / 41
    for beside in ((-27.3, -5.7), (27.3, -5.7), (-25, -8), (25, -8)):  # units from the chin: hair, and the jaw's corner
        x, y = truth.chin + unit * np.array(beside)
        assert matte[round(float(y)), round(float(x))] == 0
    x, y = truth.chin
    assert matte[round(float(y)), round(float(x))] == 1


@pytest.mark.parametrize("region", [Region.SPEECH, Region.LIPS])
def test_cheeks_nose_and_neck_stay_the_sources_samples(faces, region):
    (filmed, truth), _ = faces
    result, matte = first(dub(faces), dataclasses.replace(UNMATCHED, region=region))
    assert torch.equal(result[matte == 0], filmed[matte == 0])
    unit = np.linalg.norm(truth.brows[1] - truth.brows[0]) / 41  # of the template: the brows are 41 units apart
    cheeks = [truth.nose + unit * np.array([side, 8]) for side in (-26, 26)]
    for x, y in (truth.nose, *truth.eyes, *cheeks, truth.chin + unit * np.array([0, 12])):
        assert matte[round(float(y)), round(float(x))] == 0
    for x, y in truth.lips[[0, 3]]:
        assert matte[round(float(y)), round(float(x))] > 0.99


def test_far_less_is_pasted_than_the_network_generates(faces):
    shares = {
        region: float((first(dub(faces, frames=1), CompositeOptions(region=region))[1] > 0).float().mean())
        for region in Region
    }
    assert shares[Region.LIPS] < 0.6 * shares[Region.SPEECH]
    assert shares[Region.SPEECH] < 0.62 * shares[Region.MOUTH] < shares[Region.FACE]


@pytest.mark.parametrize("recommended", ["lips", "speech", "mouth"])
def test_as_much_is_pasted_as_the_model_recommends(faces, recommended):
    own = first(dataclasses.replace(dub(faces, frames=1), region=recommended))
    chosen = first(dub(faces, frames=1), dataclasses.replace(UNMATCHED, region=Region(recommended)))
    assert all(torch.equal(one, other) for one, other in zip(own, chosen, strict=True))


def test_models_that_disagree_come_to_what_speech_moves():
    options = CompositeOptions(feather=2.0)
    assert options.resolve_region(["lips", "lips"]) == dataclasses.replace(options, region=Region.LIPS)
    assert options.resolve_region(["lips", "mouth"]) == dataclasses.replace(options, region=Region.SPEECH)
    assert CompositeOptions(region=Region.FACE).resolve_region(["lips"]).region is Region.FACE


@pytest.mark.parametrize("name", ["whole body", "model", ""])
def test_an_unknown_region_that_a_model_recommends_is_named(name):
    with pytest.raises(ModelError, match=f"'{name}', which this version doesn't have, only speech, lips,") as raised:
        CompositeOptions().resolve_region([name])
    assert raised.value.ways_out == (Remedy.CHOOSE_REGION,)
    assert CompositeOptions(region=Region.LIPS).resolve_region([name]).region is Region.LIPS


def test_the_region_grows_and_shrinks_and_its_edge_can_be_hard():
    contour = usual_contour(SPEECH)
    area = [float((region_mask(contour, SPEECH, 128, 1.0, grow) > 0).float().mean()) for grow in (-4.0, 0.0, 4.0)]
    assert area[0] < 0.8 * area[1] < 0.8 * 0.9 * area[2]
    hard = region_mask(contour, SPEECH, 128, feather=0)
    assert ((hard > 0) & (hard < 1)).float().mean() < 0.002


@pytest.mark.parametrize("outline", OUTLINES.values(), ids=[region.value for region in OUTLINES])
def test_an_average_contour_passes_through_its_points(outline):
    points = np.array(outline.usual)
    away = np.linalg.norm(points - outline.centre, axis=1)
    angles = np.arctan2(*(points - outline.centre).T[::-1]) / (2 * np.pi) * DIRECTIONS
    near = usual_contour(outline)[np.round(angles).astype(int) % DIRECTIONS]
    assert np.abs(near / away - 1).max() < 0.12


def test_a_circle_is_as_far_everywhere():
    turn = np.linspace(0.1, 6.3, 50)
    circle = np.column_stack([np.cos(turn), np.sin(turn)]) * 9 + SPEECH.centre
    np.testing.assert_allclose(distances_of(circle, SPEECH.centre), 9)


def test_of_a_curve_beside_the_centre_the_far_side_counts():
    below = np.array([[-2.0, 1.0], [2.0, 1.0], [2.0, 4.0], [-2.0, 4.0]]) + SPEECH.centre
    distances = distances_of(below, SPEECH.centre)
    assert distances[DIRECTIONS // 4] == pytest.approx(np.hypot(2, 4), abs=0.01), "between its corners, in polar terms"
    assert distances[0] == distances[DIRECTIONS // 2] == distances[3 * DIRECTIONS // 4] == 0


def test_the_region_has_its_margin_below_and_none_above_or_beside():
    size = 256
    mask = region_mask(np.full(DIRECTIONS, 15.0), SPEECH, size, feather=0) > 0.5
    rows, columns = (places.numpy() + 0.5 for places in mask.nonzero(as_tuple=True))
    x, y = columns / size * TEMPLATE_SIZE[0] - SPEECH.centre[0], rows / size * TEMPLATE_SIZE[1] - SPEECH.centre[1]
    above, below = SPEECH.margins
    np.testing.assert_allclose([-y.min(), -x.min(), x.max(), y.max()], [15 + above] * 3 + [15 + below], atol=0.4)


def test_a_talking_jaw_hardly_moves_the_edge_and_never_crosses_it():
    usual = usual_contour(SPEECH)
    jaw = np.maximum(np.sin(np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS), 0)
    contours = [usual + 4 * jaw * (1 + np.sin(frame * 1.3)) for frame in range(60)]
    steady = [steady_contour(contours, frame, usual) for frame in range(60)]
    inner = range(AHEAD, 60 - AHEAD)
    assert min((steady[frame] - contours[frame]).min() for frame in inner) > -0.6
    moves, steady_moves = (
        max(np.abs(series[frame + 1] - series[frame]).max() for frame in inner) for series in (contours, steady)
    )
    assert steady_moves < 0.2 * moves


def test_a_face_that_the_mesh_loses_passes_to_the_usual_region_without_a_jump():
    usual = usual_contour(SPEECH)
    contours = [usual * 1.3] * 12 + [None] * 20 + [usual * 1.3] * 12
    steady = np.array([steady_contour(contours, frame, usual) for frame in range(len(contours))])
    assert np.abs(np.diff(steady, axis=0)).max() < 0.5 * (usual * 0.3).max()
    np.testing.assert_allclose(steady[22], usual)
    np.testing.assert_allclose(steady[0], usual * 1.3)
    alone = [usual * 1.3] * 5 + [None] + [usual * 1.3] * 5
    np.testing.assert_allclose(
        [steady_contour(alone, frame, usual) for frame in range(11)], np.tile(usual * 1.3, (11, 1))
    )


def test_where_no_face_is_ever_found_all_that_is_generated_is_pasted_but_a_lip_region_stays_small():
    """A drawn mouth may lie anywhere: beside the usual region half of the filmed one would be left."""
    clip = astronaut.clip_of(torch.full((2, 120, 160, 3), 0.5))
    shown = {}
    for region in (Region.MOUTH, Region.SPEECH, Region.LIPS):
        synced = synced_faces(clip)
        with synced.patches:
            options = dataclasses.replace(UNMATCHED, region=region)
            shown[region] = [float(rendered.matte.mean()) for rendered in render(synced, options)]
    assert shown[Region.SPEECH] == pytest.approx(shown[Region.MOUTH], rel=0.05)
    assert max(shown[Region.LIPS]) < 0.5 * min(shown[Region.MOUTH])


def test_a_face_that_is_found_later_passes_from_all_that_is_generated_to_its_contour(faces):
    lost, found = 20, 30
    (picture, _), _ = faces
    synced = dub(faces, frames=lost + found)
    images = picture.expand(lost + found, -1, -1, -1).clone()
    images[:lost] = 0.5
    lost_then_found = dataclasses.replace(synced.faces, clip=astronaut.clip_of(images))
    with synced.patches:
        rendered = render(dataclasses.replace(synced, faces=lost_then_found), UNMATCHED)
        sizes = np.array([float(frame.matte.sum()) for frame in rendered])
    assert sizes[0] > 1.5 * sizes[-1]
    assert np.abs(np.diff(sizes)).max() < 0.2 * (sizes[0] - sizes[-1]), "no jump from one frame to the next"


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv444p", "yuv444p12le", "gbrp", "gbrp10le"])
def test_in_every_pixel_format_no_sample_changes_where_the_patch_is_not(tmp_path, pixel_format):
    made = make_clip(tmp_path / "a.mkv", pixel_format=pixel_format, frames=2, size=(162, 122), encoder=("-c:v", "ffv1"))
    clip = probe(made)
    synced = synced_faces(clip)
    with FrameSequence(clip) as sequence:
        sources = list(sequence.frames(range(clip.frame_count)))
    with synced.patches:
        for rendered, source in zip(render(synced), sources, strict=True):
            shown = rendered.matte > 0
            assert 0.02 < shown.float().mean() < 0.3
            for new, old in zip(rendered.frame.planes, source.planes, strict=True):
                factor = [round(full / own) for full, own in zip(shown.shape, old.shape[:2], strict=True)]
                padded = torch.nn.functional.pad(shown[None].float(), (0, 1, 0, 1))
                written = torch.nn.functional.max_pool2d(padded, factor, factor)[0].bool()
                assert np.array_equal(
                    new[~written[: old.shape[0], : old.shape[1]]], old[~written[: old.shape[0], : old.shape[1]]]
                )
            assert not np.array_equal(rendered.frame.planes[0], source.planes[0])


def test_a_cut_is_not_smoothed_over(faces):
    """The mouth is open in the film's first half and closed in the other; each is a shot with a track of its own."""
    half = FRAMES // 2
    (opened, _), (closed, _) = faces
    synced = dub(faces)
    images = torch.cat([picture.expand(half, -1, -1, -1) for picture in (opened, closed)])
    tracks = [make_track(number, number * half, (number + 1) * half) for number in range(2)]
    found = made_faces(astronaut.clip_of(images), tracks, ((0, half), (half, FRAMES)), chosen=(0, 1))
    with synced.patches:
        mattes = [rendered.matte for rendered in render(dataclasses.replace(synced, faces=found), UNMATCHED)]
    assert all(torch.equal(matte, mattes[0]) for matte in mattes[:half])
    assert all(torch.equal(matte, mattes[-1]) for matte in mattes[half:])
    assert (mattes[0] > 0).sum() > 1.1 * (mattes[-1] > 0).sum()


@pytest.mark.parametrize("opened", [(4, 5), (5, 6)])
def test_a_jaw_that_opens_for_two_frames_shows_whole_though_not_every_frame_is_looked_at(faces, opened, monkeypatch):
    looks = []
    monkeypatch.setattr(patch_shapes, "contour_of", lambda *given: looks.append(1) or contour_of(*given))
    closed_frames, shut, wide = 12, dub(faces, 1, 1), dub(faces, 1, 0)
    with shut.patches as calm, wide.patches as spoken:
        store = PatchStore("opens", closed_frames, tuple(calm.get([0])[0].shape), torch.float32, kind=PatchKind.CROPS)
        for index in range(closed_frames):
            store.put(index, (spoken if index in opened else calm).get([0])[0])
    synced = dataclasses.replace(dub(faces, 1, 1, frames=closed_frames), patches=store)
    with store:
        rendered = [frame.frame.rgb() for frame in render(synced, UNMATCHED)]
    assert len(looks) == closed_frames / 2
    (wanted, truth), middle = faces[0], int(faces[0][1].chin[0])
    lower = np.s_[int(truth.lips[0, 1]) : int(truth.chin[1]) + 2, middle - 24 : middle + 24]
    for index in opened:
        assert (rendered[index].permute(1, 2, 0) - wanted)[lower].abs().mean() * 255 < 4


def test_no_more_than_a_few_frames_are_held():
    clip = astronaut.clip_of(torch.full((16, 60, 80, 3), 0.5))
    synced = synced_faces(clip)
    with synced.patches:
        for done, _ in enumerate(render(synced), start=1):
            assert synced.codec.decoded <= done + AHEAD + DECODE_BATCH


def test_the_result_repeats_bit_for_bit(faces):
    one, other = (first(dub(faces, frames=2), CompositeOptions()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["match_color", "match_grain"])
def test_a_strength_beyond_1_is_refused(name):
    with pytest.raises(OptionError, match=r"1\.5; use 0"):
        CompositeOptions(**{name: 1.5})


def test_more_growth_than_a_tenth_of_the_crop_is_refused():
    with pytest.raises(OptionError, match="11"):
        CompositeOptions(grow=11)

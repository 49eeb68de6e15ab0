"""Alignment, crop and restoration agree with the reference's pictures and matrices."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.compositor import face_layer, paste_face, soft_mask
from latentsync_core.faces.alignment.align import _fit, _reference_smoothed, align_track, crop_face, crop_size, template
from latentsync_core.faces.alignment.align_options import AlignOptions
from tests.astronaut import frame_of
from tests.parity.makers.make_affine_data import CASES, ROW_STEP
from tests.shared_reference import SHARED, needs_shared

DATA = Path(__file__).parent / "data"
LINEAR, TRANSLATION = 1e-5, 3e-3  # absolute tolerances for a float32 transform's two parts
AFFINE = SHARED / "reference" / "affine"


def similarity_transform(
    points: np.ndarray, resolution: int, bias: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The reference's smoothed fit of (3, 2) points to the template: M (2, 3) float32 source → crop, and its new state.

    `bias` is the state that the previous frame returned, (1, 2), or None on the first frame.

    Raises:
        OptionError: the three points fall together or aren't finite.
    """
    transform, offset = _fit(points, template(resolution))
    transform, state = _reference_smoothed(transform, offset, None if bias is None else bias[0])
    return transform.astype(np.float32), state[None]


def restore_face(
    image: torch.Tensor,
    transform: np.ndarray,
    patch: torch.Tensor,
    resolution: int,
) -> torch.Tensor:
    """The reference's restore step on a plain picture: (3, H, W) uint8 in and out, truncated to whole levels."""
    result = image.clone()
    layer = face_layer(transform, patch, resolution, (image.shape[-1], image.shape[-2]), CompositeOptions.reference())
    if layer is not None:
        roi, rgb, alpha = layer
        part = result[:, roi.y0 : roi.y1, roi.x0 : roi.x1]
        blended = alpha * (rgb * 255) + (1 - alpha) * part
        part.copy_(torch.where(alpha > 0, blended.clamp(0, 255).to(torch.uint8), part))
    return result


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(DATA / "affine.npz"))


@pytest.fixture(scope="module")
def picture():
    return _levels(DATA / "affine_frame.png")


@pytest.mark.parametrize("resolution", [256, 512])
@pytest.mark.parametrize("kind", ["rounded", "float"])
def test_transforms_of_a_sequence_follow_the_references_state(golden, resolution, kind):
    landmarks, visible = golden[f"sequence.landmarks_{kind}"], np.ones(12, bool)
    smooth = align_track(landmarks, visible, resolution, AlignOptions(reference_smoothing=True))
    plain = align_track(landmarks, visible, resolution)
    _assert_same_transforms(smooth, golden[f"sequence.res{resolution}.{kind}.M"])
    _assert_same_transforms(plain, golden[f"sequence.res{resolution}.{kind}.M_nosmooth"])
    bias = None
    for index, points in enumerate(landmarks):
        first, _ = similarity_transform(points, resolution)
        _assert_same_transforms(first, golden[f"sequence.res{resolution}.{kind}.M_first_frame_state"][index])
        carried, bias = similarity_transform(points, resolution, bias)
        _assert_same_transforms(carried, golden[f"sequence.res{resolution}.{kind}.M"][index])
        np.testing.assert_allclose(bias[0], golden[f"sequence.res{resolution}.{kind}.p_bias"][index], atol=1e-5)


def test_reference_options_round_half_to_even_and_smooth(golden):
    transforms = align_track(golden["sequence.landmarks_float"], np.ones(12, bool), 256, AlignOptions.reference())
    _assert_same_transforms(transforms, golden["sequence.res256.rounded.M"])


@pytest.mark.parametrize("resolution", [256, 512])
def test_swapped_brows_turn_the_crop_and_never_mirror_it(golden, resolution):
    landmarks = golden[f"sequence.res{resolution}.swapped_lr.landmarks"]
    transforms = align_track(landmarks, np.ones(3, bool), resolution, AlignOptions(reference_smoothing=True))
    _assert_same_transforms(transforms, golden[f"sequence.res{resolution}.swapped_lr.M"])
    assert (np.linalg.det(transforms[:, :, :2]) > 0).all()


@pytest.mark.parametrize("case", CASES)
def test_crop_agrees_with_the_reference(golden, picture, case):
    crop = crop_face(_frame(picture), golden[f"{case}.M"], _resolution(case)) * 255
    rows = crop.permute(1, 2, 0)[::ROW_STEP].numpy()
    _assert_within(rows, golden[f"{case}.crop_lanczos"], levels=1, share=0.01)


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("r256")])
def test_restored_frame_agrees_with_the_reference_and_the_rest_is_untouched(golden, picture, case):
    patch = torch.from_numpy(golden[f"{case}.patched"]).permute(2, 0, 1).float() / 255
    expected = _restored(picture, golden[f"{case}.restored_box"], golden[f"{case}.box"])
    restored = restore_face(picture, golden[f"{case}.M"], patch, 256)
    _assert_restored(restored, expected, golden[f"{case}.box"])


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("r256")])
def test_soft_mask_agrees_with_the_reference(golden, picture, case):
    size = (picture.shape[2], picture.shape[1])
    roi, soft, _ = soft_mask(golden[f"{case}.M"], crop_size(256), size)
    y0, x0, y1, x1 = golden[f"{case}.box"]
    assert roi == (x0, y0, x1, y1)
    np.testing.assert_allclose(soft.numpy(), golden[f"{case}.soft_mask_box"].astype(np.float32), atol=6e-4)  # halves


@needs_shared
def test_every_reference_resolution_has_its_crop_size_and_template():
    for resolution, facts in json.loads((AFFINE / "affine.json").read_text())["resolutions"].items():
        assert list(crop_size(int(resolution))) == facts["face_size_wh"]
        np.testing.assert_allclose(template(int(resolution)), facts["template"], rtol=1e-12)


def _full_cases() -> list[str]:
    path = AFFINE / "affine.json"
    return list(json.loads(path.read_text())["images"]) if path.is_file() else []


@needs_shared
@pytest.mark.parametrize("case", _full_cases())
def test_full_case_agrees_from_landmarks_to_the_pasted_frame(case):
    facts = json.loads((AFFINE / "affine.json").read_text())["images"][case]
    resolution, picture, numbers = (
        facts["resolution"],
        _levels(AFFINE / facts["image"]),
        np.load(AFFINE / f"{case}.npz"),
    )
    options = AlignOptions.reference()
    transform = align_track(np.array(facts["landmarks"])[None], np.ones(1, bool), resolution, options)[0]
    _assert_same_transforms(transform, numbers["M"])

    crop = (crop_face(_frame(picture), numbers["M"], resolution) * 255).numpy()
    _assert_within(crop, _levels(AFFINE / f"{case}.crop_lanczos.png").numpy(), levels=1, share=0.01)

    patch = _levels(AFFINE / f"{case}.patched.png").float() / 255
    box = numbers["box_yxyx"]
    restored_box = np.asarray(Image.open(AFFINE / f"{case}.restored_box.png").convert("RGB"))
    expected = _restored(picture, restored_box, box)
    _assert_restored(restore_face(picture, numbers["M"], patch, resolution), expected, box)

    # the way that clips go: through the frame's own samples, rounded down here as the reference does
    frame = _frame(picture)
    paste_face(frame, numbers["M"], patch, resolution, CompositeOptions.reference())
    pasted = torch.from_numpy(np.floor(frame.planes[0] * 255 + 1e-4)).permute(2, 0, 1)
    _assert_restored(pasted, expected, box)


def _resolution(case: str) -> int:
    return int(case.rsplit(".r", 1)[1])


def _levels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)  # HW3 -> 3HW


def _frame(levels: torch.Tensor):
    return frame_of(levels.permute(1, 2, 0).float() / 255)


def _restored(picture: torch.Tensor, inside: np.ndarray, box: np.ndarray) -> torch.Tensor:
    y0, x0, y1, x1 = box
    whole = picture.clone()
    whole[:, y0:y1, x0:x1] = torch.tensor(inside).permute(2, 0, 1)
    return whole


def _assert_same_transforms(ours: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(ours[..., :2], expected[..., :2], atol=LINEAR, rtol=0)
    np.testing.assert_allclose(ours[..., 2], expected[..., 2], atol=TRANSLATION, rtol=0)


def _assert_within(ours: np.ndarray, expected: np.ndarray, levels: int, share: float) -> None:
    difference = np.abs(np.round(ours).astype(int) - expected.astype(int))
    assert difference.max() <= levels
    assert (difference > 0).mean() <= share


def _assert_restored(ours: torch.Tensor, expected: torch.Tensor, box: np.ndarray) -> None:
    y0, x0, y1, x1 = box
    _assert_within(ours[:, y0:y1, x0:x1].numpy(), expected[:, y0:y1, x0:x1].numpy(), levels=2, share=0.08)
    outside = (ours.int() - expected.int()).abs()
    outside[:, y0:y1, x0:x1] = 0
    assert outside.max() == 0

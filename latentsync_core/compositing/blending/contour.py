"""Contours of the part of a face that speech moves, from the face mesh of the filmed and of the generated face.

A contour is star-shaped: the distance of its edge from a fixed centre in each of `DIRECTIONS` directions. The union of
two contours is then the larger distance, and a contour's mean over time is again one.

Lengths are in template units: the aligned crop is 75 units wide and 100 high, whatever its resolution.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.alignment.align import PIXELS_PER_UNIT_AT_256, TEMPLATE_SIZE
from ...faces.alignment.mouth_mask import NATIVE_SIZE
from ...faces.detection.layer_list import load_network
from ...faces.detection.region import FaceRegion, crop_region
from ...imaging import affine
from ...video.frame import Frame
from ..composite_options import Region

DIRECTIONS = 48  # a contour's distances, evenly spaced; the first points to the picture's right, the next one down
DOWN = DIRECTIONS // 4
MIN_PRESENCE = 0.5  # the mesh network's confidence, below which a picture counts as without a face
VIEW_SIZE = 192  # pixels: the mesh network's input, a square around the crop
UNITS_PER_PIXEL = 25 / 36  # of that square, so that the crop covers whole pixels of it
CROP_COLUMNS, CROP_ROWS = slice(42, 150), slice(28, 172)  # of the square: the crop's
JAW_SHIFT = (3.5, 5.5)  # units between both jaw lines, from which the contour begins to widen to them, and reaches them
# Sines of the directions, 1 downwards, from which the contour may widen to the jaw lines, and may reach them. Beside
# the mouth the jaw turns about the ear and hardly moves; what lies beyond its line there is hair. A filmed jaw that the
# dub closes has to be covered as far up as it shows; of one that the dub opens, the chin is what moves.
CLOSED_DIRECTIONS, OPENED_DIRECTIONS = (0.05, 0.15), (0.3, 0.65)
SIDE_SHARE = 0.5  # of the chin's shift, by which the jaw's sides move at least, whatever the mesh shows there
JAW_MARGIN = 1.5  # units by which the head's outline lies beyond the mesh's jaw line
MOVED_MARGIN = 1.75  # the same where the jaw moved: what shows of the filmed one there is seen at once
ROUNDING = 1e-9  # share of an edge by which a direction may miss it: no direction passes between two edges
PLAUSIBLE = (0.4, 1.9)  # distances of `SPEECH` relative to its usual ones, beyond which a mesh isn't trusted


@dataclass(frozen=True, eq=False)
class Outline:
    """A region's contour: the mesh's vertices that it passes through, and how its edge looks."""

    centre: tuple[float, float]  # x y
    vertices: tuple[int, ...]
    usual: tuple[tuple[float, float], ...]  # where those lie in an average face: the contour where no mesh is found
    margins: tuple[float, float]  # from the contour to where its edge begins to fall: above and beside, and below
    edges: tuple[float, float, float]  # width of the soft edge towards the nose, the cheeks, and below
    jaw: tuple[int, ...] = ()  # vertices of the jaw line, ear to ear, to which the contour widens where the jaw moved
    needs_face: bool = False  # whether all that is generated is pasted in a shot in which the mesh never finds a face


# Lips, chin and jaw: from below the nose along the folds beside the mouth to the jaw.
# fmt: off
SPEECH = Outline(
    centre=(37.5, 68.0),
    vertices=(164, 391, 322, 410, 287, 422, 394, 378, 400, 377, 152, 148, 176, 149, 169, 202, 57, 186, 92, 165),
    usual=(
        (37.7, 52.2), (48.1, 54.0), (51.0, 56.2), (53.4, 59.0), (54.6, 62.5), (54.8, 67.7), (58.0, 75.9), (53.5, 83.2),
        (49.4, 85.3), (44.3, 86.8), (37.6, 87.4), (31.4, 86.8), (26.2, 85.1), (22.2, 83.0), (17.5, 75.6), (20.6, 67.7),
        (20.5, 62.5), (21.9, 59.1), (24.3, 56.2), (27.3, 53.9),
    ),
    margins=(0.0, JAW_MARGIN),
    edges=(2.5, 3.5, 2.5),
    needs_face=True,  # a drawn mouth may lie beside an average person's: half of the filmed one would show
    jaw=(361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132),
)
LIPS = Outline(
    centre=(37.5, 62.5),
    vertices=(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    usual=(
        (23.7, 62.3), (24.6, 60.9), (26.7, 59.3), (29.4, 57.2), (33.5, 55.7), (37.7, 56.3), (41.8, 55.8), (46.0, 57.4),
        (48.8, 59.3), (50.7, 60.9), (51.7, 62.3), (50.3, 63.6), (48.3, 65.5), (45.4, 67.3), (41.8, 68.5), (37.7, 68.8),
        (33.8, 68.4), (30.2, 67.3), (27.4, 65.6), (25.2, 63.5),
    ),
    margins=(1.5, 1.5),
    edges=(4.0, 5.0, 4.0),
)
# fmt: on
OUTLINES = {Region.SPEECH: SPEECH, Region.LIPS: LIPS}


@dataclass(frozen=True, eq=False)
class FaceViews:
    """The filmed face and the same with the generated mouth, as the mesh network sees both."""

    filmed: Tensor  # (3, VIEW_SIZE, VIEW_SIZE) in [0, 1]
    generated: Tensor


def face_views(
    frame: Frame, transform: np.ndarray, generated: Tensor, kept: Tensor, resolution: int
) -> FaceViews | None:
    """Both views of a face; None where its surroundings lie outside of the frame.

    Args:
        transform: (2, 3), displayed source pixel → crop pixel of `crop_size(resolution)`.
        generated: (3, P, P) RGB, about [0, 1].
        kept: (1, 144, 108) in [0, 1]: the part of the crop that shows the patch, as `on_view` makes it.
    """
    filmed = crop_region(frame, view_region(transform, resolution, frame.sample_aspect), VIEW_SIZE)
    if filmed is None:
        return None
    both = filmed.clone()
    part = both[:, CROP_ROWS, CROP_COLUMNS]
    part.lerp_(on_view(generated).clamp_(0, 1), kept)
    return FaceViews(filmed, both)


def on_view(crop: Tensor) -> Tensor:
    """(c, P, P) of a crop → (c, 144, 108) float32: on the pixels that it covers in a view."""
    size = (CROP_ROWS.stop - CROP_ROWS.start, CROP_COLUMNS.stop - CROP_COLUMNS.start)
    return F.interpolate(crop[None].float(), size=size, mode="bilinear", antialias=True, align_corners=False)[0]


def view_region(transform: np.ndarray, resolution: int, aspect: float) -> FaceRegion:
    """The square of the frame that a view shows: fixed to the crop, so that it moves with the head and no other way."""
    inverse = affine.invert(transform)
    inverse[0] *= aspect  # displayed pixels → square ones
    pixels_per_unit = resolution / NATIVE_SIZE * PIXELS_PER_UNIT_AT_256
    middle = np.array(
        [
            (VIEW_SIZE / 2 - CROP_COLUMNS.start) * UNITS_PER_PIXEL,
            (VIEW_SIZE / 2 - CROP_ROWS.start) * UNITS_PER_PIXEL,
        ]
    )
    centre = affine.map_points(inverse, middle * pixels_per_unit - 0.5)
    across = inverse[:, 0] * pixels_per_unit
    side = float(np.hypot(*across)) * UNITS_PER_PIXEL * VIEW_SIZE
    return FaceRegion(centre, side, float(np.arctan2(across[1], across[0])))


def contour_of(views: FaceViews, outline: Outline) -> np.ndarray | None:
    """(DIRECTIONS,) float64 units: the union of both faces' contours; None where the mesh finds no face in either.

    Unlike in detection no mirror image is looked at: its half of the noise goes with the smoothing over time.
    """
    points, presence = load_network("mesh468")(torch.stack([views.filmed, views.generated]))
    if not bool((presence.sigmoid() >= MIN_PRESENCE).all()):
        return None
    meshes = points.reshape(2, 468, 3)[..., :2].numpy().astype(np.float64)
    meshes = (meshes - (CROP_COLUMNS.start, CROP_ROWS.start)) * UNITS_PER_PIXEL
    if not all(_is_plausible(mesh) for mesh in meshes):
        return None
    contour = np.max([distances_of(mesh[list(outline.vertices)], outline.centre) for mesh in meshes], axis=0)
    if not outline.jaw:
        return contour
    # Speech leaves the skin beside the chin alone, unless the jaw is dropped: then its sides move too.
    jaws = np.stack([distances_of(mesh[list(outline.jaw)], outline.centre) for mesh in meshes])
    shift = np.abs(jaws[0] - jaws[1])
    mirrored = shift[(DIRECTIONS // 2 - np.arange(DIRECTIONS)) % DIRECTIONS]
    shift = np.maximum(np.maximum(shift, mirrored), SIDE_SHARE * shift[DOWN])  # a jaw drops as a whole
    moved = np.clip((shift - JAW_SHIFT[0]) / (JAW_SHIFT[1] - JAW_SHIFT[0]), 0, 1)
    is_opened = jaws[1, DOWN] > jaws[0, DOWN]
    below, lower = OPENED_DIRECTIONS if is_opened else CLOSED_DIRECTIONS
    moved *= np.clip((_sine() - below) / (lower - below), 0, 1)
    outer = jaws.max(0) + MOVED_MARGIN - JAW_MARGIN * _downward_share()  # below, the outline has a margin of its own
    return np.maximum(contour, contour + moved * (outer - contour))


def _is_plausible(mesh: np.ndarray) -> bool:
    """Whether (468, 2) units are a face's, whatever its mouth does: lips alone grow threefold when a mouth opens."""
    ratio = distances_of(mesh[list(SPEECH.vertices)], SPEECH.centre) / usual_contour(SPEECH)
    return bool(PLAUSIBLE[0] < ratio.min() and ratio.max() < PLAUSIBLE[1])


def distances_of(points: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """(n, 2) points of a closed curve, in their order → (DIRECTIONS,) distances of its edge from `centre`.

    Where a direction meets the curve more than once the farthest edge counts, and where it never does, as around lips
    that lie below the centre, the distance is 0.
    """
    away = points - centre
    angles, distances = np.arctan2(away[:, 1], away[:, 0]), np.hypot(away[:, 0], away[:, 1])
    wanted = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    span = _wrapped(np.roll(angles, -1) - angles)  # of the edge from each point to the next one
    with np.errstate(divide="ignore", invalid="ignore"):
        share = _wrapped(wanted[:, None] - angles) / span
    met = (share >= -ROUNDING) & (share <= 1 + ROUNDING)
    edges = distances + np.where(met, share, 0) * (np.roll(distances, -1) - distances)
    return np.where(met, edges, 0).max(1)


def _wrapped(angles: np.ndarray) -> np.ndarray:
    """Angles in radians, brought into -pi to pi."""
    return (angles + np.pi) % (2 * np.pi) - np.pi


def _sine() -> np.ndarray:
    """(DIRECTIONS,): 1 downwards, -1 upwards."""
    return np.sin(np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS))


def _downward_share() -> np.ndarray:
    """(DIRECTIONS,): 1 downwards, falling to 0 at the sides."""
    return np.maximum(_sine(), 0) ** 2


@functools.cache
def usual_contour(outline: Outline) -> np.ndarray:
    """(DIRECTIONS,): an average face's."""
    distances = distances_of(np.array(outline.usual), outline.centre)
    distances.setflags(write=False)
    return distances


def region_mask(distances: np.ndarray, outline: Outline, size: int, feather: float = 1.0, grow: float = 0.0) -> Tensor:
    """(size, size) float32 in [0, 1]: the inside of a contour, with a soft edge; exactly 0 beyond that.

    Args:
        distances: (DIRECTIONS,) units.
        feather: width of the soft edge in usual widths; 0 is a hard edge.
        grow: units by which the region grows (or, below 0, shrinks).
    """
    index, part, away, edge = _polar_grid(outline, size)
    above, below = outline.margins
    reach = torch.from_numpy(distances + (above + (below - above) * _downward_share() + grow)).float()
    reach = torch.cat([reach, reach[:1]])
    inside = torch.lerp(reach[index], reach[index + 1], part).sub_(away)
    # the edge's middle lies half its width beyond the contour: all of what moves is replaced
    inside = (inside / (edge * feather).clamp(min=1e-3)).add_(1).clamp_(0, 1)
    return inside.square() * (3 - 2 * inside)


@functools.lru_cache(maxsize=8)
def _polar_grid(outline: Outline, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each pixel of a crop: direction before it, share of the next one, distance, and width of the soft edge."""
    middles = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    x = (middles * TEMPLATE_SIZE[0] - outline.centre[0]).expand(size, -1)
    y = (middles * TEMPLATE_SIZE[1] - outline.centre[1])[:, None].expand(-1, size)
    turn = (torch.atan2(y, x) / (2 * torch.pi)).remainder(1) * DIRECTIONS
    index = turn.floor().clamp(max=DIRECTIONS - 1).long()
    away = torch.hypot(x, y)
    downwards = y / away.clamp(min=1e-6)
    above, beside, below = outline.edges
    edge = beside + (torch.where(downwards > 0, below, above) - beside) * downwards.square()
    return index, (turn - index).float(), away.float(), edge.float()

"""Paints one head into a frame, and says where its face's points are and what its mouth does."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .costume import Costume, Wardrobe
from .eyes import draw_eyes
from .identity import Identity
from .light import Light, shade_points
from .mouth import MouthShape, draw_mouth_interior, find_mouth, lip_color, lip_curves
from .skin import AMBIENT_OCCLUSION, BLUE, GLOSS, RED, ROUGH_X, ROUGH_Y, brow_line, nose_points, skin_maps
from .surface import (
    Hits,
    Jaw,
    Maps,
    Pose,
    camera_rays,
    intersect_head,
    intersect_profile,
    rays_near_head,
    surface_points,
)
from .surroundings import draw_back_hair, draw_body, draw_ears, draw_glasses, draw_hair, hair_maps

DRAWING_EXTENT = (2.3, 1.75)  # head units from the origin that the drawing covers: to the sides, and upwards
HEAD_EXTENT = (1.35, 1.75, 1.55)  # the same of the head alone: to the sides, upwards, downwards
DENSITIES = (48, 96, 192, 384)  # map cells per head unit
RESTING_JAW = Jaw()
# By how much the face mesh sees the ten brow points and the nine of the nose lower and further out than the skin there.
MESH_LANDMARK_OFFSETS = np.repeat([(0.0, 0.07), (0.012, 0.035)], (10, 9), axis=0)
MIN_PROFILE_YAW = np.radians(25.5)  # of yaw, beyond which the nose may stand out of the head's outline


@dataclass(frozen=True)
class HeadState:
    """Everything about a head that changes from frame to frame."""

    pose: Pose
    mouth: MouthShape = field(default_factory=MouthShape)
    blink: float = 0.0  # 0 open to 1 shut
    gaze: tuple[float, float] = (0.0, 0.0)  # eye widths, to the right and down
    brows: float = 0.0  # head units that they are raised


@dataclass(frozen=True, eq=False)
class FaceTruth:
    """What is true of a drawn face. Points are (x, y) float64 pixels, whole numbers being pixel centres, left and right
    as seen in the picture; they count where other things hide them too, and may lie outside the frame."""

    seed: int  # of the identity
    head_state: HeadState
    box: np.ndarray  # (4,): x0, y0, x1, y1 of the face from above the brows to the chin
    brows: np.ndarray  # (2, 2) centres
    nose: np.ndarray  # (2,) mean of the nine points along bridge and base
    eyes: np.ndarray  # (2, 2) centres
    mouth_corners: np.ndarray  # (2, 2)
    lips: np.ndarray  # (4, 2) on the face's middle: upper outer, upper inner, lower inner, lower outer edge
    chin: np.ndarray  # (2,)

    @property
    def three_points(self) -> np.ndarray:
        """(3, 2) float32: left brow, right brow, nose, as alignment wants them."""
        return np.stack([*self.brows, self.nose]).astype(np.float32)

    @property
    def opening(self) -> float:
        """The inner lip distance in head units, however the head is turned."""
        return self.head_state.mouth.opening


class Painter:
    """Draws one person. Maps are made at the first frame of each size and kept."""

    def __init__(self, person: Identity, light: Light, costume: Costume | None = None):
        self.person = person
        self.light = light
        self._wardrobe = Wardrobe(costume) if costume else None
        self._maps: dict[float, tuple[Maps, Maps]] = {}

    def paint(self, frame: np.ndarray, head_state: HeadState) -> FaceTruth:
        """Draws the head, neck and shoulders into `frame` (H, W, 3) uint8, in place, and returns its truth."""
        height, width, _ = frame.shape
        pose = head_state.pose
        skin, hair = self._maps_for(pose.scale)
        jaw = head_state.mouth.skin_displacement(self.person.lower_lip, head_state.brows)
        truth = self._truth(head_state, jaw, skin)
        window = _window(pose, (DRAWING_EXTENT[0], DRAWING_EXTENT[1], 1e9), width, height)
        if window is None:
            return truth
        left, top, right, bottom = window
        part = frame[top:bottom, left:right]
        picture = np.ascontiguousarray(part.transpose(2, 0, 1)).reshape(3, -1) * np.float32(1 / 255)
        columns, rows = np.arange(left, right), np.arange(top, bottom)
        self._draw_behind(picture, head_state, hair, columns, rows, float((truth.chin[1] - pose.y) / pose.scale))
        head = _window(pose, HEAD_EXTENT, width, height)
        if head is not None:
            inner = picture.reshape(3, bottom - top, right - left)[
                :, head[1] - top : head[3] - top, head[0] - left : head[2] - left
            ]
            drawn = inner.reshape(3, -1).copy() if inner.size else inner
            self._draw_head(
                drawn, head_state, jaw, skin, hair, np.arange(head[0], head[2]), np.arange(head[1], head[3])
            )
            inner[...] = drawn.reshape(inner.shape)
        part[...] = (
            picture.reshape(3, bottom - top, right - left).transpose(1, 2, 0) * np.float32(255) + np.float32(0.5)
        ).astype(np.uint8)
        return truth

    def _maps_for(self, scale: float) -> tuple[Maps, Maps]:
        density = next((d for d in DENSITIES if d >= scale), DENSITIES[-1])
        if density not in self._maps:
            self._maps[density] = skin_maps(self.person, density), hair_maps(self.person, density)
        return self._maps[density]

    def _draw_behind(self, picture, head_state: HeadState, hair: Maps, columns, rows, chin: float) -> None:
        person, light, pose = self.person, self.light, head_state.pose
        pixel = 1 / pose.scale
        base, to_camera = camera_rays(pose, columns, rows)
        draw_back_hair(picture, person, hair, light, base, to_camera, pixel)
        a = np.broadcast_to(((columns - pose.x) * pixel).astype(np.float32)[None], (len(rows), len(columns))).ravel()
        b = np.broadcast_to(((rows - pose.y) * pixel).astype(np.float32)[:, None], (len(rows), len(columns))).ravel()
        draw_body(picture, person, light, a, b, pose.roll, chin, pixel, clothed=self._wardrobe is None)
        if self._wardrobe:
            self._wardrobe.draw(picture, light, a, b, chin)

    def _draw_head(self, picture, head_state: HeadState, jaw: Jaw, skin: Maps, hair: Maps, columns, rows) -> None:
        person, light, pose = self.person, self.light, head_state.pose
        pixel = 1 / pose.scale
        rotation = pose.rotation
        base, to_camera = camera_rays(pose, columns, rows)
        draw_ears(picture, person, light, base, to_camera, pixel)
        rays = rays_near_head(person, jaw, base, to_camera, margin=pixel)
        if rays.pixels.size:
            self._draw_face(picture, head_state, jaw, skin, rays, intersect_head(person, jaw, skin, rays), rotation)
        if abs(pose.yaw) > MIN_PROFILE_YAW:
            rays, hits = intersect_profile(person, jaw, skin, base, to_camera, pixel)
            if rays.pixels.size:
                self._draw_face(picture, head_state, jaw, skin, rays, hits, rotation)
        if person.hair_cut not in ("bald", "buzz"):
            around = rays_near_head(
                person, RESTING_JAW, base, to_camera, margin=pixel + 0.03, dilation=person.hair_volume
            )
            draw_hair(picture, person, light, rotation, around, hair, pixel)
        bridge = surface_points(person, RESTING_JAW, skin, np.array([[0.0, person.eye_y]]))[0, 2]
        if abs(pose.yaw) <= MIN_PROFILE_YAW:
            draw_glasses(picture, person, light, base, to_camera, float(bridge) + 0.05, pixel)
        elif person.glasses != "none":  # rays so flat meet the bent plane again behind the head
            ear = abs(np.sin(pose.yaw)) * 0.6 - np.cos(pose.yaw) * 0.62 - 0.05
            across = np.tile((columns - pose.x) * (pixel * np.sign(pose.yaw)), len(rows))
            front = np.flatnonzero(across > ear)
            part = np.ascontiguousarray(picture[:, front])
            draw_glasses(part, person, light, [b[front] for b in base], to_camera, float(bridge) + 0.05, pixel)
            picture[:, front] = part

    def _draw_face(self, picture, head_state: HeadState, jaw: Jaw, skin: Maps, rays, hits: Hits, rotation) -> None:
        person, light, shape = self.person, self.light, head_state.mouth
        pixel = 1 / head_state.pose.scale
        maps = skin.read(hits.x, hits.rest_y)
        color, gloss, occlusion = maps[RED : BLUE + 1], maps[GLOSS], maps[AMBIENT_OCCLUSION]
        gx, gy, gz = hits.normal
        gx, gy = gx - gz * maps[ROUGH_X], gy - gz * maps[ROUGH_Y]
        self._cast_shadows(occlusion, hits, shape, rotation)
        mouth = find_mouth(person, shape, hits.x - shape.rounding * 0.06 * np.float32(rays.to_camera[0]), hits.y, pixel)
        where = mouth.where
        if where.size:
            lips = mouth.lips
            color[:, where] += lips * (lip_color(person, mouth, pixel) - color[:, where])
            gy[where] += lips * mouth.tilt * gz[where] * np.float32(0.9 - 0.5 * person.cel)
            gloss[where] += lips * (np.float32(person.lip_gloss * 1.6) - gloss[where])
            occlusion[where] += lips * (1 - 0.25 * np.clip(mouth.tilt, 0, 1) - occlusion[where])
        size = 1 / np.sqrt(gx * gx + gy * gy + gz * gz + np.float32(1e-9))
        lit = shade_points(light, rotation, (gx * size, gy * size, gz * size), occlusion, gloss, person.cel)
        color = color * lit.diffuse + lit.specular * (0.6 + 0.4 * np.array(light.key, np.float32)[:, None])
        if where.size:
            diffuse = lit.diffuse[:, where].mean(0) * 0.6 + 0.4 * float(np.mean(lit.diffuse))
            diffuse = np.broadcast_to(diffuse, (3, where.size))
            inside = draw_mouth_interior(person, shape, mouth, pixel, diffuse)
            color[:, where] += mouth.open * (inside - color[:, where])
            seam = mouth.lips * np.exp(
                -(
                    (
                        (
                            mouth.y
                            - (
                                mouth.curves.at(mouth.curves.upper_inner, mouth.x)
                                + mouth.curves.at(mouth.curves.lower_inner, mouth.x)
                            )
                            / 2
                        )
                        / np.float32(max(0.008, 0.6 * pixel))
                    )
                    ** 2
                )
            )
            color[:, where] *= 1 - 0.62 * seam * np.float32(np.clip(1 - shape.opening / 0.03, 0, 1))
        draw_eyes(person, head_state.blink, head_state.gaze, hits.x, hits.rest_y, pixel, color, lit.diffuse)
        if person.outline:
            line = np.clip(1 - rays.inside / np.float32(max(0.022, 1.2 * pixel)), 0, 1) * np.float32(
                person.outline * 0.85
            )
            color *= 1 - line
        shown = np.sqrt(np.clip(color, 0, 1))
        cover = np.clip(rays.inside * np.float32(1 / pixel) + np.float32(0.5), 0, 1)
        old = picture[:, rays.pixels]
        picture[:, rays.pixels] = old + cover * (shown - old)

    def _cast_shadows(self, occlusion, hits, shape: MouthShape, rotation) -> None:
        """The nose's shadow on the cheek away from the light, and the lower lip's on the chin."""
        person = self.person
        to_key = np.array(self.light.direction) @ rotation
        if abs(to_key[0]) > 0.12:
            away = -np.sign(to_key[0])
            reach = 0.10 + 0.10 * abs(to_key[0])
            along = (hits.x * away - 0.05 - reach * 0.6) / reach
            down = (hits.rest_y - 0.25 - 0.25 * (hits.x * away) * -to_key[1]) / 0.10
            occlusion *= 1 - np.float32(0.45 * min(abs(to_key[0]) * 1.6, 1)) * np.exp(-along * along - down * down) * (
                hits.x * away > 0.02
            )
        across = np.square(hits.x * np.float32(1 / (person.mouth_width * 0.7)))
        low = (hits.y - person.mouth_y - 0.86 * shape.opening - person.lower_lip - 0.03) / 0.03
        occlusion *= 1 - np.float32(0.22) * np.exp(-low * low - across * across)

    def _truth(self, head_state: HeadState, jaw: Jaw, skin: Maps) -> FaceTruth:
        person, shape, pose = self.person, head_state.mouth, head_state.pose
        brow_x = np.array([0.15, 0.27, 0.40, 0.53, 0.65])
        brow = np.stack(
            [brow_x + 0.025, brow_line(person, brow_x.astype(np.float32)) - 0.03], axis=1
        )  # where the mesh sees them
        still = np.concatenate([brow * (-1, 1), brow, nose_points(person), person.eyes, [(0, 1.0), (0, -0.52)]])
        still[:, 1] = jaw.displaced_y(person, still[:, 0], still[:, 1])
        curves = lip_curves(person, shape)
        middle = len(curves.upper_outer) // 2
        rim = [
            (0, float(c[middle]))
            for c in (curves.upper_outer, curves.upper_inner, curves.lower_inner, curves.lower_outer)
        ]
        corner = float(curves.upper_inner[0])
        rim += [(-curves.half_width, corner), (curves.half_width, corner)]
        sides = [(-person.width * 0.97, 0.05), (person.width * 0.97, 0.05)]
        points = surface_points(person, jaw, skin, np.concatenate([still, rim, sides]))
        points[:19, 1:] += MESH_LANDMARK_OFFSETS
        points[23:29, 2] += 0.06 * shape.rounding
        seen = pose.project(points)
        edge = np.concatenate([seen[21:23], seen[29:31]])
        box = np.concatenate([edge.min(0), edge.max(0)])
        return FaceTruth(
            person.seed, head_state, box, np.stack([seen[:5].mean(0), seen[5:10].mean(0)]), seen[10:19].mean(0),
            seen[19:21], seen[27:29], seen[23:27], seen[21],
        )  # fmt: skip


def _window(pose: Pose, reach: tuple[float, float, float], width: int, height: int) -> tuple[int, int, int, int] | None:
    side, up, down = (r * pose.scale for r in reach)
    left, right = max(int(pose.x - side), 0), min(int(pose.x + side) + 2, width)
    top, bottom = max(int(pose.y - up), 0), min(int(min(pose.y + down, height)) + 2, height)
    return (left, top, right, bottom) if left < right and top < bottom else None

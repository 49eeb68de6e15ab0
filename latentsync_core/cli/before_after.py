"""A picture of a result: faces before and after, above the waveform of the driving audio."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..audio.source import AudioSource
from ..faces.face_options import FaceOptions
from ..faces.tracking.redetect import SingleFaceTracker
from ..imaging.roi import Roi
from ..video.clip import Clip
from ..video.frame import Frame
from ..video.reading.reader import FrameReader

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = 10  # moments shown, evenly spaced
TILE_SIZE = 176  # pixels of a face
FACE_MARGIN = 0.30  # of the face's size, added on every side
MARGIN = 64  # pixels at the left, for the rows' names
WAVEFORM_HEIGHT = 96  # pixels
BACKGROUND_COLOR, TEXT_COLOR = (255, 255, 255), (60, 60, 60)  # RGB
WAVEFORM_COLOR, MARKER_COLOR = (90, 110, 150), (210, 60, 40)  # RGB


def write_before_after(before: Clip, after: Clip, voice: AudioSource, path: Path) -> None:
    """Writes a PNG: some of `before`'s faces, the same moments of `after`, and the voice along the whole of `after`.

    Column by column the picture's middle lies above its own moment of the voice. Where no face is found, whole frames
    are shown.

    Args:
        before: what was lip-synced; where the result is longer, its last frame goes on.
        after: the result.
        voice: what the mouth follows, beginning with the clips' first frame.
    """
    from PIL import Image

    moments = [round((column + 0.5) * after.frame_count / COLUMNS - 0.5) for column in range(COLUMNS)]
    old = _frames(before, [min(moment, before.frame_count - 1) for moment in moments])
    new = _frames(after, moments)
    part, size = _face_crop(before, old)
    sheet = Image.new("RGB", (MARGIN + COLUMNS * TILE_SIZE, 2 * size[1] + WAVEFORM_HEIGHT), BACKGROUND_COLOR)
    for row, frames in enumerate((old, new)):
        for column, frame in enumerate(frames):
            levels = (frame.rgb(part, size).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
            sheet.paste(Image.fromarray(levels.numpy()), (MARGIN + column * TILE_SIZE, row * size[1]))
    _draw_waveform(sheet, voice, after, [float(after.times[moment]) for moment in moments])
    _label_rows(sheet, ("before", "after", "voice"), size[1])
    sheet.save(path)


def _frames(clip: Clip, moments: list[int]) -> list[Frame]:
    by_index: dict[int, Frame] = {}
    with FrameReader(clip, moments[0], moments[-1] + 1) as frames:
        for index, frame in enumerate(frames, start=moments[0]):
            if index in moments:
                by_index[index] = frame.copy()
    return [by_index[moment] for moment in moments]


@torch.inference_mode()
def _face_crop(clip: Clip, frames: list[Frame]) -> tuple[Roi | None, tuple[int, int]]:
    """The square around the face in all of these frames (None: the whole frame), and the size to show it at."""
    follower = SingleFaceTracker(FaceOptions())
    meshes = [mesh for mesh in map(follower.find, frames) if mesh is not None]
    if not meshes:
        return None, (TILE_SIZE, max(round(TILE_SIZE * clip.height / (clip.width * clip.sample_aspect)), 1))
    points = np.concatenate(meshes)
    low, high = points.min(0), points.max(0)
    half = (0.5 + FACE_MARGIN) * (high - low).max()
    x, y = (low + high) / 2
    part = Roi(
        max(round(x - half), 0), max(round(y - half), 0), min(round(x + half), clip.width),
        min(round(y + half), clip.height),
    )  # fmt: skip
    return part, (TILE_SIZE, max(round(TILE_SIZE * part.height / (part.width * clip.sample_aspect)), 1))


def _draw_waveform(sheet: Image.Image, voice: AudioSource, clip: Clip, times: list[float]) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    middle, width = sheet.height - WAVEFORM_HEIGHT // 2, sheet.width - MARGIN
    sound = voice.mono16k().numpy()
    peak = max(float(np.abs(sound).max()), 1e-4)
    for time in times:
        x = MARGIN + time / clip.duration * width
        draw.line([(x, sheet.height - WAVEFORM_HEIGHT), (x, sheet.height)], fill=MARKER_COLOR)
    edges = np.linspace(0, clip.duration * 16000, width + 1).astype(int)
    for x, (start, stop) in enumerate(pairwise(edges)):
        piece = sound[start : max(stop, start + 1)]
        if piece.size:
            low, high = (float(v) / peak * 0.45 * WAVEFORM_HEIGHT for v in (piece.min(), piece.max()))
            draw.line([(MARGIN + x, middle - high), (MARGIN + x, middle - low)], fill=WAVEFORM_COLOR)


def _label_rows(sheet: Image.Image, names: tuple[str, ...], height: int) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        top = min(row, 2) * height
        tall = WAVEFORM_HEIGHT if row == 2 else height
        draw.text((8, top + tall // 2 - 6), name, fill=TEXT_COLOR)

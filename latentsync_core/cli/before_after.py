"""A picture of a result: a few faces before and after, above the voice and its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from .lettering import ACCENT, INK, PAPER, QUIET_INK, draw_centered, draw_label

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = 4  # moments shown
CELL_SIZE = 400  # pixels of a picture's longer side
GAP, MARGIN = 10, 28  # pixels between the pictures and around all of them
CORNER = 14  # pixels: radius of the pictures' corners
FACE_SCALE = 1.24  # the square's side, of the face's larger one from brows to chin
LABEL_SIZE, WORD_SIZE = 26, 23  # pixels: heights of the fonts
WAVEFORM_HEIGHT = 104  # pixels
WORDS_HEIGHT = 40  # pixels
LEAD_HEIGHT = 34  # pixels from the pictures to the waveform
BAR_WIDTH, BAR_SPACING = 4, 7  # pixels
LOUDNESS_SECONDS = 0.08  # over which the voice's loudness is measured


@dataclass(frozen=True)
class SpokenLine:
    """Words of the new voice, and when they are spoken: seconds of the clip."""

    start: float
    end: float
    text: str


def write_before_after(
    before: Clip,
    after: Clip,
    voice: AudioSource,
    path: Path,
    lines: Sequence[SpokenLine] = (),
    frames: Sequence[int] | None = None,
) -> None:
    """Writes a PNG: faces of `before`, the same moments of `after` beneath them, and the voice with its words.

    The moments are the loudest ones of equal parts of the clip. Where no face is found, whole frames are shown.

    Args:
        before: what was lip-synced; where the result is longer, its last frame goes on.
        after: the result.
        voice: what the mouth follows, beginning with the clips' first frame.
        lines: the words of the voice.
        frames: indices of the frames of `after` that may be shown, ascending; all of them by default.
    """
    from PIL import Image

    moments = loudest_moments(voice, after, range(after.frame_count) if frames is None else frames)
    old = _read_frames(before, [min(moment, before.frame_count - 1) for moment in moments])
    new = _read_frames(after, moments)
    parts = _face_squares(before, old)
    size = _cell_size(before, parts[0])
    strip = WAVEFORM_HEIGHT + (WORDS_HEIGHT if lines else 0)
    pictures_bottom = MARGIN + 2 * size[1] + GAP
    width = 2 * MARGIN + COLUMNS * size[0] + (COLUMNS - 1) * GAP
    sheet = Image.new("RGB", (width, pictures_bottom + LEAD_HEIGHT + strip + MARGIN), PAPER)
    for row, shown in enumerate((old, new)):
        for column, (frame, part) in enumerate(zip(shown, parts, strict=True)):
            levels = (frame.rgb(part, size).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
            place = cell_place(size, row, column)
            sheet.paste(Image.fromarray(levels.numpy()), place, _rounded_mask(size))
        x, y = cell_place(size, row, 0)
        draw_label(sheet, (x + 14, y + 14), row, LABEL_SIZE)
    top = pictures_bottom + LEAD_HEIGHT
    _draw_waveform(sheet, voice, after.duration, top)
    for column, moment in enumerate(moments):
        middle = cell_place(size, 1, column)[0] + size[0] / 2
        _draw_lead(sheet, (middle, pictures_bottom), (_column_of(sheet, float(after.times[moment]), after), top))
    for line in lines:
        middle = (_column_of(sheet, line.start, after) + _column_of(sheet, line.end, after)) / 2
        draw_centered(sheet, middle, top + WAVEFORM_HEIGHT + 8, line.text, WORD_SIZE, INK)
    sheet.save(path)


def loudest_moments(voice: AudioSource, clip: Clip, frames: Sequence[int], count: int = COLUMNS) -> list[int]:
    """The frame of each of `count` equal parts of `frames` at which the voice is loudest, ascending."""
    sound = voice.mono16k().double().numpy()
    energy = np.concatenate([[0.0], np.cumsum(sound**2)])
    half = round(LOUDNESS_SECONDS / 2 * 16000)
    middles = (clip.times[np.asarray(frames)] * 16000).round().astype(int)
    ends, starts = (np.clip(middles + way * half, 0, len(sound)) for way in (1, -1))
    loudness = energy[ends] - energy[starts]
    parts = np.array_split(np.arange(len(frames)), min(count, len(frames)))
    chosen = [int(frames[part[np.argmax(loudness[part])]]) for part in parts]
    return chosen + [chosen[-1]] * (count - len(chosen))


def cell_place(size: tuple[int, int], row: int, column: int) -> tuple[int, int]:
    """The upper left pixel of a picture of the sheet."""
    return MARGIN + column * (size[0] + GAP), MARGIN + row * (size[1] + GAP)


def _read_frames(clip: Clip, moments: list[int]) -> list[Frame]:
    by_index: dict[int, Frame] = {}
    with FrameReader(clip, moments[0], moments[-1] + 1) as frames:
        for index, frame in enumerate(frames, start=moments[0]):
            if index in moments:
                by_index[index] = frame.copy()
    return [by_index[moment] for moment in moments]


@torch.inference_mode()
def _face_squares(clip: Clip, frames: list[Frame]) -> list[Roi | None]:
    """The part of each frame to show: a square about the face; None for all, whole frames, where one has no face."""
    meshes = [SingleFaceTracker(FaceOptions()).find(frame) for frame in frames]
    found = [mesh for mesh in meshes if mesh is not None]
    if len(found) < len(frames):
        return [None] * len(frames)
    aspect = float(clip.sample_aspect)
    boxes = np.array([[*mesh.min(0), *mesh.max(0)] for mesh in found]) * (aspect, 1, aspect, 1)
    parts = []
    for x0, y0, x1, y1 in boxes:
        side = min(FACE_SCALE * float(max(x1 - x0, y1 - y0)), clip.width * aspect, clip.height)
        width, height = max(round(side / aspect), 1), max(round(side), 1)
        left = min(max(round(float(x0 + x1) / 2 / aspect - width / 2), 0), clip.width - width)
        top = min(max(round(float(y0 + y1) / 2 - height / 2), 0), clip.height - height)
        parts.append(Roi(left, top, left + width, top + height))
    return parts


def _cell_size(clip: Clip, part: Roi | None) -> tuple[int, int]:
    width, height = (clip.width, clip.height) if part is None else (part.width, part.height)
    scale = CELL_SIZE / max(width * float(clip.sample_aspect), height)
    return max(round(width * float(clip.sample_aspect) * scale), 1), max(round(height * scale), 1)


def _rounded_mask(size: tuple[int, int]) -> Image.Image:
    from PIL import Image, ImageDraw

    mask = Image.new("L", (2 * size[0], 2 * size[1]), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 2 * size[0] - 1, 2 * size[1] - 1), radius=2 * CORNER, fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def _column_of(sheet: Image.Image, time: float, clip: Clip) -> float:
    """Where `time` lies on the sheet's waveform, in pixels."""
    return MARGIN + time / clip.duration * (sheet.width - 2 * MARGIN)


def _draw_waveform(sheet: Image.Image, voice: AudioSource, duration: float, top: int) -> None:
    """Draws the voice over the clip's whole duration as bars about its middle."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    sound = np.abs(voice.mono16k().numpy())
    bars = max((sheet.width - 2 * MARGIN) // BAR_SPACING, 1)
    edges = np.linspace(0, duration * 16000, bars + 1).astype(int)
    peaks = np.array([sound[a : max(b, a + 1)].max(initial=0.0) for a, b in pairwise(edges)])
    peaks = peaks / max(float(peaks.max()), 1e-4)
    middle = top + WAVEFORM_HEIGHT / 2
    for bar, peak in enumerate(peaks):
        x, half = MARGIN + bar * BAR_SPACING, max(float(peak) * WAVEFORM_HEIGHT / 2, 1.5)
        box = (x, round(middle - half), x + BAR_WIDTH - 1, round(middle + half))
        draw.rounded_rectangle(box, radius=2, fill=ACCENT if peak > 0.02 else QUIET_INK)


def _draw_lead(sheet: Image.Image, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draws a line from a picture down to its moment of the voice, and the moment through the waveform."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    knee = (end[0], end[1] - 6)
    draw.line([(start[0], start[1] + 6), knee, (end[0], end[1] + WAVEFORM_HEIGHT)], fill=INK, width=2, joint="curve")
    draw.ellipse((start[0] - 4, start[1] + 2, start[0] + 4, start[1] + 10), fill=INK)

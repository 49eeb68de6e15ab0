"""Pictures of frames at which a face is missed or a track is not where it should be, with what is true and found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.video.reading.reader import FrameReader

from . import figures

COLORS = ((255, 70, 70), (70, 255, 70), (90, 140, 255), (255, 200, 60), (220, 90, 255), (90, 230, 230), (240, 240, 240))
WIDTH = 400  # pixels of each picture
COLUMNS, ROWS = 5, 7


def overlays(faces: FaceTracks, truth: figures.Truth, folder: Path) -> list[Path]:
    """A sheet of missed faces and one of tracks on nobody, spread over the clip; true points are dots, tracks boxes."""
    matches = figures.place(faces, truth)
    seen = figures.detection_mask(faces, truth, matches)
    missed = np.unique(np.nonzero(truth.countable & ~seen)[0])
    astray = np.unique(
        np.concatenate(
            [t.start + np.flatnonzero(on == -1) for t, on in zip(faces.tracks, matches.on, strict=True)] or [[]]
        ).astype(int)
    )
    spread = np.linspace(0, len(truth.cast) - 1, COLUMNS * ROWS).round().astype(int)
    made = []
    for name, frames in (("missed", missed), ("astray", astray), ("all", spread)):
        if len(frames):
            picked = frames[np.unique(np.linspace(0, len(frames) - 1, COLUMNS * ROWS).round().astype(int))]
            made.append(sheet(faces, truth, picked, folder, name))
    return made


def sheet(faces: FaceTracks, truth: figures.Truth, frames: np.ndarray, folder: Path, name: str) -> Path:
    """The frames as one picture in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    frame_indices, tiles = {int(frame) for frame in frames}, []
    with FrameReader(faces.clip) as reader:
        for frame in reader:
            if frame.index in frame_indices:
                pixels = (frame.rgb().permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
                tiles.append(_annotated(pixels, faces, truth, frame.index))
    height = tiles[0].height
    whole = Image.new("RGB", (WIDTH * COLUMNS, height * -(-len(tiles) // COLUMNS)))
    for place, tile in enumerate(tiles):
        whole.paste(tile, (place % COLUMNS * WIDTH, place // COLUMNS * height))
    path = folder / f"{name}.png"
    whole.save(path)
    return path


def _annotated(pixels: np.ndarray, faces: FaceTracks, truth: figures.Truth, index: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = WIDTH / picture.width
    picture = picture.resize((WIDTH, round(picture.height * scale)))
    draw = ImageDraw.Draw(picture)
    for person in np.flatnonzero(truth.cast[index]):
        radius = 3 if truth.countable[index, person] else 1
        for x, y in truth.points[index, person] * scale:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=COLORS[person % len(COLORS)])
    for track in faces.tracks:
        if track.start <= index < track.stop and track.visible[index - track.start]:
            box = track.boxes[index - track.start] * scale
            color = COLORS[track.person % len(COLORS)]
            draw.rectangle(box.tolist(), outline=color)
            draw.text((box[0] + 1, box[3] + 1), f"t{track.track_id} p{track.person}", fill=color)
            for x, y in track.landmarks[index - track.start] * scale:
                draw.line((x - 3, y, x + 3, y), fill=color)
                draw.line((x, y - 3, x, y + 3), fill=color)
    draw.text((2, 2), f"{index}", fill=(255, 255, 0))
    return picture

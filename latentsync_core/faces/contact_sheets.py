"""Contact sheets: frames with the chosen face outlined above its crops, and a numbered card for every track."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..video.frame import Frame
from ..video.reading.frame_sequence import FrameSequence
from .alignment.align import crop_face
from .crop_path import path_transforms
from .face_tracks import FaceTracks
from .identity.person_names import person_name
from .tracks import FaceTrack

COLUMNS = 6  # frames shown, evenly spaced over the clip
WIDTH = 256  # pixels of a column
FRAME_COLOUR = (0.2, 0.9, 0.4)  # RGB of the line around a face
LINE = 3  # pixels
EMPTY_LEVEL = 0.15  # grey in place of a crop where a frame has none
CARD, CARDS_PER_ROW, CAPTION = 144, 8, 34  # pixels: a track's card, its line of text
MAX_CARDS = 96  # tracks shown; the longest, where there are more
DIMMED_BRIGHTNESS = 0.35  # factor on the brightness of cards whose track isn't synced


@torch.inference_mode()
def face_sheet(faces: FaceTracks) -> torch.Tensor:
    """(3, h, w) float32 in [0, 1]: frames with the chosen face's box above its crops, grey where there is none.

    Raises:
        ClipChangedError: the clip's file has changed since it was probed.
    """
    clip, path = faces.clip, faces.path
    count = min(COLUMNS, clip.frame_count)
    chosen = sorted({round((column + 0.5) * clip.frame_count / count - 0.5) for column in range(count)})
    transforms = path_transforms(faces, WIDTH)
    columns = []
    with FrameSequence(clip) as sequence:
        for index, frame in zip(chosen, sequence.frames(chosen), strict=True):
            whole = _thumbnail(frame)
            crop = torch.full((3, WIDTH, WIDTH), EMPTY_LEVEL)
            if path.visible[index]:
                _outline(whole, path.boxes[index] * WIDTH / clip.width, frame.sample_aspect)
            if path.blend[index] > 0:
                crop = crop_face(frame, transforms[index], WIDTH, eight_bit=False)
            columns.append(torch.cat([whole, crop], dim=1))
    return torch.cat(columns, dim=2).clamp(0, 1)


def people_sheet(faces: FaceTracks) -> torch.Tensor:
    """(3, h, w) float32 in [0, 1]: a card for every track, grouped by person: its portrait, numbers and time range.

    The cards of synced tracks are outlined and bright, the others dimmed.
    """
    from PIL import Image, ImageDraw

    shown = sorted(faces.tracks, key=lambda track: -int(track.visible.sum()))[:MAX_CARDS]
    shown.sort(key=lambda track: (track.person, track.start))
    rows = -(-len(shown) // CARDS_PER_ROW)
    columns = min(len(shown), CARDS_PER_ROW)
    sheet = Image.new("RGB", (columns * CARD, max(rows, 1) * (CARD + CAPTION)), (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for number, track in enumerate(shown):
        x, y = number % CARDS_PER_ROW * CARD, number // CARDS_PER_ROW * (CARD + CAPTION)
        synced = bool((faces.path.track == track.track_id).any())
        picture = Image.fromarray(track.portrait).resize((CARD - 8, CARD - 8))
        sheet.paste(
            picture if synced else picture.point([round(level * DIMMED_BRIGHTNESS) for level in range(256)] * 3),
            (x + 4, y + 4),
        )
        if synced:
            colour = tuple(round(255 * part) for part in FRAME_COLOUR)
            draw.rectangle((x + 1, y + 1, x + CARD - 2, y + CARD - 2), outline=colour, width=LINE)
        draw.text((x + 6, y + CARD), f"{person_name(track.person)}  track {track.track_id}", fill=(235, 235, 235))
        draw.text((x + 6, y + CARD + 14), _span(faces, track), fill=(170, 170, 175))
    return torch.from_numpy(np.asarray(sheet, np.float32) / 255).permute(2, 0, 1)


def _span(faces: FaceTracks, track: FaceTrack) -> str:
    first, last = (faces.clip.times[frame] for frame in (track.start, track.stop - 1))
    return f"{first:.1f} to {last:.1f} s"


def _thumbnail(frame: Frame) -> torch.Tensor:
    height = max(1, round(WIDTH * frame.height / (frame.width * frame.sample_aspect)))
    return frame.rgb(size=(WIDTH, height)).clone()


def _outline(picture: torch.Tensor, box: np.ndarray, aspect: float) -> None:
    """Draws the outline of `box` in place, clipped to the picture.

    `box` is x0 y0 x1 y1 in the column's pixels before `aspect`, a sample's width by its height, corrects their height.
    """
    height, width = picture.shape[-2:]
    x0, y0, x1, y1 = (round(float(value)) for value in box / (1, aspect, 1, aspect))
    inside = torch.zeros(height, width)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    # The line lies inside the box: the box less its erosion.
    core = -F.max_pool2d(-F.pad(inside[None, None], (LINE,) * 4), 2 * LINE + 1, stride=1)[0, 0]
    line = (inside - core).bool()
    picture[:, line] = torch.tensor(FRAME_COLOUR)[:, None]

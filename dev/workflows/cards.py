"""The templates' pictures: a square with a face before and after, of the carried sample and the carried model.

Only the moments that are shown are generated, with the settings that the workflows have.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dev.workflows.parts import MODEL
from latentsync_core.audio.source import AudioSource, load_audio
from latentsync_core.cli.lettering import ACCENT, INK, PAPER, draw_centered, draw_label
from latentsync_core.faces.find import find_faces
from latentsync_core.faces.selection import ChooseBy, FaceChoice, choose
from latentsync_core.imaging.roi import Roi
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.pipeline import sync
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, PORTRAIT, SCENE, TWO_PEOPLE, VOICE
from latentsync_core.sampling.sampler_options import Quality
from latentsync_core.sampling.timeline import LengthRule
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader

SIDE = 600  # pixels of a card
GAP = 4  # pixels between its halves
CAPTION = 64  # pixels of the line below the faces
LABEL_SIZE, CAPTION_SIZE = 24, 32  # pixels: heights of the fonts
FACE_HEIGHT = 1.9  # a picture's height, of the face box's longer side
FACE_MIDDLE = 0.54  # where in the picture's height the box's middle lies
QUALITY = 88  # JPEG's


@dataclass(frozen=True)
class Moment:
    """Some frames of a clip with a speaker's voice, and the one of them that is shown."""

    clip: Path
    voice: Path
    start: float  # seconds into clip and voice; a still has only the voice's
    end: float
    shown: float  # seconds into both
    speaker: tuple[float, float]  # where that person's face is, x y in pixels
    still: bool = False


@dataclass(frozen=True)
class Card:
    """One workflow's picture: a row for each moment, and a few words."""

    words: str
    moments: tuple[Moment, ...]


def write_card(card: Card, target: Path) -> None:
    """Draws a card as a JPEG."""
    picture = Image.new("RGB", (SIDE, SIDE), PAPER)
    height = (SIDE - CAPTION - GAP * (len(card.moments) - 1)) // len(card.moments)
    width = (SIDE - GAP) // 2
    for row, moment in enumerate(card.moments):
        for which, face in enumerate(before_and_after(moment, (width, height))):
            place = (which * (width + GAP), row * (height + GAP))
            picture.paste(face, place)
            if row == 0:
                draw_label(picture, (place[0] + 12, 12), which, LABEL_SIZE)
    draw_centered(picture, SIDE / 2, SIDE - CAPTION + 12, card.words, CAPTION_SIZE, INK)
    picture.paste(ACCENT, (0, SIDE - 4, SIDE, SIDE))
    picture.save(target, quality=QUALITY, optimize=True)


@cache
def before_and_after(moment: Moment, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """The moment's face in the clip and in the result; `size` is (width, height) in pixels."""
    with tempfile.TemporaryDirectory() as folder:
        old = probe(moment.clip) if moment.still else probe(moment.clip).trim(moment.start, moment.end)
        times = {} if moment.still else {"start": moment.start, "end": moment.end}
        choice = FaceChoice(ChooseBy.POINT, point=moment.speaker)
        options = SyncOptions(
            choice=choice,
            model=_model(),
            quality=Quality.RECOMMENDED,
            length=LengthRule.HOLD if moment.still else LengthRule.VIDEO,
            **times,
        )
        report = sync(moment.clip, _part(moment.voice, moment.start, moment.end), Path(folder) / "after.mp4", options)
        new = probe(report.output)
        index = min(round((moment.shown - moment.start) * float(new.fps)), new.frame_count - 1)
        old_index = 0 if moment.still else index
        where = _face(old.subclip(old_index, old_index + 1), choice, size)
        return _picture(old, old_index, where, size), _picture(new, index, where, size)


@cache
def _model() -> LatentSyncModel:
    return load_model(MODEL.split(" ", maxsplit=1)[0])


def _part(voice: Path, start: float, end: float) -> AudioSource:
    whole = load_audio(voice)
    rate = 16_000
    samples = whole.mono16k()[round(start * rate) : round(end * rate)]
    return load_audio({"waveform": samples[None, None], "sample_rate": rate})


def _face(clip: Clip, choice: FaceChoice, size: tuple[int, int]) -> Roi:
    """The part of a clip of one frame to show: about the face, in the picture's proportions, inside the frame."""
    x0, y0, x1, y1 = choose(find_faces(clip), choice).path.boxes[0]
    height = min(round(FACE_HEIGHT * float(max(x1 - x0, y1 - y0))), clip.height)
    width = min(round(height * size[0] / size[1]), clip.width)
    left = int(np.clip((x0 + x1 - width) / 2, 0, clip.width - width))
    top = int(np.clip((y0 + y1) / 2 - FACE_MIDDLE * height, 0, clip.height - height))
    return Roi(left, top, left + width, top + height)


def _picture(clip: Clip, index: int, where: Roi, size: tuple[int, int]) -> Image.Image:
    with FrameReader(clip.subclip(index, index + 1)) as frames:
        levels = (next(iter(frames)).rgb(where, size).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())  # CHW -> HWC


SCENE_LINE = Moment(SCENE, VOICE, 0.4, 1.68, 1.2, (672, 336))
SCENE_SECOND_LINE = Moment(SCENE, VOICE, 2.8, 4.08, 3.4, (694, 330))
SCENE_LAST_LINE = Moment(SCENE, VOICE, 6.2, 7.2, 6.6, (816, 352))
TALKING_PORTRAIT = Moment(PORTRAIT, VOICE, 0.4, 1.68, 1.2, (256, 256), still=True)
HER_LINE = Moment(TWO_PEOPLE, HER_VOICE, 0.2, 1.2, 0.6, (216, 250))
HIS_LINE = Moment(TWO_PEOPLE, HIS_VOICE, 1.9, 2.9, 2.3, (566, 230))

CARDS = {
    "01": Card("one node", (SCENE_LINE,)),
    "02": Card("five stages", (SCENE_SECOND_LINE,)),
    "03": Card("with a face restorer", (SCENE_LINE,)),
    "04": Card("from a picture", (TALKING_PORTRAIT,)),
    "05": Card("your own recording", (SCENE_LAST_LINE,)),
    "06": Card("a cloned voice", (SCENE_SECOND_LINE,)),
    "07": Card("two speakers", (HER_LINE, HIS_LINE)),
    "08": Card("dialogue from subtitles", (SCENE_LAST_LINE,)),
    "09": Card("voice first", (SCENE_LINE,)),
    "10": Card("E2 or F5-TTS", (SCENE_SECOND_LINE,)),
    "11": Card("core nodes only", (SCENE_LAST_LINE,)),
    "12": Card("who speaks, found", (HER_LINE, HIS_LINE)),
}

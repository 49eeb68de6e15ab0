"""The report as one picture: when there is speech and a new mouth, and the curves that the findings come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..faces.identity.person_names import person_name
from ..faces.report import BACKGROUND, GAP, LEFT, NOBODY_COLOUR, PERSON_COLOURS, ROW, SPEECH_COLOUR, TEXT, WIDTH
from ..runs import runs_where
from .findings import OUTCOMES, Networks, find, outcome_ranges
from .measures import SPEECH_WEIGHT, PersonMeasures, ResultMeasures

if TYPE_CHECKING:
    from PIL import ImageDraw

OUTCOME_COLOURS = dict(zip(OUTCOMES, ((70, 70, 76), (110, 110, 120), (70, 190, 110), (220, 150, 60)), strict=True))
CURVES, TICK = 220, 5  # pixels: the height of the curves; frames from one number below them to the next
GRID = (70, 70, 76)


def report_picture(measures: ResultMeasures, networks: Networks) -> torch.Tensor:
    """(3, h, w) float32 in [0, 1]: a row of speech, one of each new mouth, and each mouth's distance by offset."""
    from PIL import Image, ImageDraw

    people = measures.people
    scored = [person for person in people if person.sync is not None]
    rows = 1 + len(people)
    curves_top = 2 * GAP + (rows + 1) * (ROW + GAP)
    height = curves_top + (CURVES + ROW + 2 * GAP if scored else 0)
    picture = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    scale = (WIDTH - LEFT - GAP) / len(measures.times)

    def bar(row: int, first: int, stop: int, colour: tuple[int, int, int]) -> None:
        top = GAP + row * (ROW + GAP)
        draw.rectangle(
            (LEFT + first * scale, top, max(LEFT + stop * scale - 1, LEFT + first * scale), top + ROW), colour
        )

    draw.text((GAP, GAP + 5), "speech", fill=TEXT)
    for first, stop in runs_where(measures.speech >= SPEECH_WEIGHT):
        bar(0, first, stop, SPEECH_COLOUR)
    for row, person in enumerate(people, 1):
        draw.text((GAP, GAP + row * (ROW + GAP) + 5), person_name(person.person), fill=TEXT)
        for first, stop, outcome in outcome_ranges(person, measures.index):
            bar(row, first, stop, OUTCOME_COLOURS[outcome])
    x, y = LEFT, GAP + rows * (ROW + GAP)
    for outcome, colour in OUTCOME_COLOURS.items():
        draw.rectangle((x, y + 3, x + 14, y + 17), fill=colour)
        draw.text((x + 20, y + 5), outcome, fill=TEXT)
        x += 36 + 7 * len(outcome)
    if scored:
        _draw_curves(draw, curves_top, scored, measures, networks)
    return torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)


def _draw_curves(
    draw: ImageDraw.ImageDraw,
    top: int,
    scored: Sequence[PersonMeasures],
    measures: ResultMeasures,
    networks: Networks,
) -> None:
    curves = [(person, np.array(person.sync.distances)) for person in scored if person.sync is not None]
    reach = len(curves[0][1]) // 2
    highest = max(float(distances.max()) for _, distances in curves)
    across = (WIDTH - LEFT - 2 * GAP) / (2 * reach)
    bottom = top + CURVES

    def place(offset: int, distance: float) -> tuple[float, float]:
        return LEFT + (offset + reach) * across, bottom - distance / max(highest, 1e-6) * (CURVES - ROW)

    draw.text((GAP, top + ROW), "distance", fill=TEXT)
    for offset in range(-reach, reach + 1, TICK):
        x, _ = place(offset, 0)
        draw.line((x, top + ROW, x, bottom), fill=NOBODY_COLOUR if offset == 0 else GRID)
        draw.text((x - 8, bottom + GAP), f"{offset:+d}" if offset else "0", fill=TEXT)
    draw.text((GAP, bottom + GAP), "sound late by", fill=TEXT)
    for number, (person, distances) in enumerate(curves):
        colour = PERSON_COLOURS[person.person % len(PERSON_COLOURS)]
        points = [place(at - reach, float(distance)) for at, distance in enumerate(distances)]
        draw.line(points, fill=colour, width=2)
        finding = find(person, measures.speech, networks)
        text = f"{person_name(person.person)}: {finding.value if finding else ''}"
        draw.text((LEFT, top + number * 14), text, fill=colour)

"""Charts as SVG text, for a page that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 880, 220  # pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 36  # pixels around the plot
TICKS = 7  # of an axis
BAR = 22  # pixels: a timeline's row
COLOURS = ("#3f7fbf", "#d9822b", "#4f9f5f", "#b04f8f", "#7f6fd0", "#8f8f3f")
GRID, TEXT = "#d5d9e0", "#3a4250"


@dataclass(frozen=True, eq=False)
class Line:
    """One curve; NaN leaves a gap."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Bar:
    """A coloured part of a row, in the row's own units."""

    start: float
    stop: float
    colour: str
    label: str


def line_chart(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """Curves over one axis; both axes span all values, y from 0."""
    known = [line for line in lines if np.isfinite(line.y).any()]
    if not known:
        return ""
    x0, x1 = (float(limit([limit(line.x) for line in known])) for limit in (np.min, np.max))
    y1 = max(float(np.nanmax(line.y)) for line in known) * 1.08 or 1.0
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - x0) / max(x1 - x0, 1e-9) * across, TOP + (1 - y / y1) * down

    parts = []
    for share in np.linspace(0, 1, TICKS):
        x, y = x0 + share * (x1 - x0), share * y1
        left, height = place(x, 0)[0], place(x0, y)[1]
        parts.append(f'<line x1="{LEFT}" y1="{height:.1f}" x2="{WIDTH - RIGHT}" y2="{height:.1f}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 6, height + 4, f"{y:.2f}", "end"))
        parts.append(_text(left, HEIGHT - BOTTOM + 16, f"{x:g}" if float(x).is_integer() else f"{x:.1f}", "middle"))
    parts.append(_text(LEFT + across / 2, HEIGHT - 6, x_label, "middle"))
    parts.append(_text(LEFT, TOP - 3, y_label, "start"))
    for number, line in enumerate(known):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(float(x), float(y)) for x, y in zip(line.x, line.y, strict=True) if np.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        if len(known) > 1:
            parts.append(_text(WIDTH - RIGHT, TOP + 14 * number + 10, line.name, "end", colour))
    return _svg(title, HEIGHT, parts)


def timeline(title: str, seconds: float, rows: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """A row of bars for each name, over time."""
    height = TOP + len(rows) * (BAR + 6) + BOTTOM
    across = WIDTH - 2 * LEFT - RIGHT
    parts = []
    for number, (name, bars) in enumerate(rows):
        top = TOP + number * (BAR + 6)
        parts.append(_text(6, top + BAR - 6, name, "start"))
        for bar in bars:
            x0, x1 = (2 * LEFT + at / max(seconds, 1e-9) * across for at in (bar.start, bar.stop))
            parts.append(
                f'<rect x="{x0:.1f}" y="{top}" width="{max(x1 - x0, 0.5):.1f}" height="{BAR}" fill="{bar.colour}">'
                f"<title>{escape(bar.label)}: {bar.start:.2f} to {bar.stop:.2f} s</title></rect>"
            )
    for share in np.linspace(0, 1, TICKS):
        parts.append(_text(2 * LEFT + share * across, height - BOTTOM + 14, f"{share * seconds:.1f} s", "middle"))
    return _svg(title, height, parts)


def _text(x: float, y: float, words: str, anchor: str, colour: str = TEXT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}" '
        f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>'
    )

"""Draws the pack's icon and banner: a mouth made of a voice's bars.

    python -m dev.make_icon

Writes media/icon.png (400 x 400 pixels, the most that ComfyUI's registry takes) and media/banner.png (21:9).
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from latentsync_core.cli.lettering import ACCENT, INK, PAPER, QUIET_INK, font

MEDIA = Path(__file__).resolve().parents[1] / "media"
ICON_SIZE = 400  # pixels
BANNER_SIZE = (1680, 720)  # pixels
OVERSAMPLING = 4  # everything is drawn so much larger, then reduced
LIP_COLORS = ((255, 128, 118), (206, 58, 104))  # RGB, at the upper lip's top and the lower lip's bottom
GLOW = (92, 40, 92)  # RGB, behind the mouth
BARS = 11  # across the mouth
BAR_WIDTH = 0.64  # of the bars' distance
CORNER_RADIUS = 0.22  # of the icon's side


def main() -> None:
    """Draws both pictures."""
    MEDIA.mkdir(exist_ok=True)
    for name, picture in (("icon.png", draw_icon(ICON_SIZE)), ("banner.png", draw_banner(BANNER_SIZE))):
        picture.save(MEDIA / name, optimize=True)


def draw_icon(size: int) -> Image.Image:
    """The icon: the mouth on a dark tile with round, transparent corners; RGBA."""
    large = size * OVERSAMPLING
    tile = _backdrop((large, large), (large / 2, large / 2), 0.42 * large)
    _draw_mouth(tile, (large / 2, large / 2), 0.84 * large)
    corners = Image.new("L", tile.size)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, large - 1, large - 1), CORNER_RADIUS * large, fill=255)
    tile.putalpha(corners)
    return tile.resize((size, size), Image.Resampling.LANCZOS)


def draw_banner(size: tuple[int, int]) -> Image.Image:
    """The banner: the mouth, and the name; RGB."""
    width, height = (side * OVERSAMPLING for side in size)
    mouth, middle = (0.255 * width, height / 2), height / 2
    picture = _backdrop((width, height), mouth, 0.5 * height)
    _draw_mouth(picture, mouth, 0.35 * width)
    draw, left = ImageDraw.Draw(picture), 0.495 * width
    draw.text((left, middle + 0.005 * height), "LatentSync Dub", font=font(0.152 * height), fill=INK, anchor="ls")
    line = "Lip-sync for film, in ComfyUI"
    draw.text(
        (left + 0.002 * width, middle + 0.115 * height), line, font=font(0.066 * height), fill=QUIET_INK, anchor="ls"
    )
    return picture.resize(size, Image.Resampling.LANCZOS)


def lip_heights(x: float) -> tuple[float, float, float, float]:
    """Heights of an open mouth at `x` from -1 to 1: the upper lip's top and bottom, the lower lip's top and bottom, in
    half mouth widths, upwards positive."""
    round_off = math.sqrt(max(0.0, 1 - x * x))
    cupids_bow = 0.12 * math.exp(-((x / 0.2) ** 2))
    upper = 0.48 * round_off**1.25 - cupids_bow
    lower = -0.58 * round_off**1.1
    opening = 0.32 * max(0.0, 1 - (x / 0.86) ** 2)
    return upper, 0.62 * opening, -0.9 * opening, lower


def _draw_mouth(picture: Image.Image, center: tuple[float, float], width: float) -> None:
    """The mouth: each bar is a piece of the upper lip, one of the lower, and between them the voice."""
    draw, step = ImageDraw.Draw(picture), width / BARS
    top, bottom = lip_heights(0.3)[0], lip_heights(0)[3]
    for number in range(BARS):
        x = (number + 0.5) / BARS * 2 - 1
        upper, inner_upper, inner_lower, lower = lip_heights(x)
        middle = center[0] + x * width / 2
        gap = 0.45 * step / (width / 2)  # between a lip and the voice
        for high, low in ((upper, inner_upper), (inner_lower, lower)):
            if inner_upper - inner_lower < 2 * gap:  # at the corners the lips are one
                high, low = upper, lower
            color = _mix(*LIP_COLORS, (top - (high + low) / 2) / (top - bottom))
            _bar(draw, middle, center[1] - high * width / 2, center[1] - low * width / 2, BAR_WIDTH * step, color)
        loudness = 0.45 + 0.55 * math.cos(math.pi * x) ** 2
        reach = min(inner_upper, -inner_lower) - gap
        if reach > 0:
            low = -reach * loudness - 0.04
            _bar(draw, middle, center[1] - reach * loudness * width / 2, center[1] - low * width / 2,
                 BAR_WIDTH * step, ACCENT)  # fmt: skip


def _bar(
    draw: ImageDraw.ImageDraw, x: float, top: float, bottom: float, width: float, color: tuple[int, int, int]
) -> None:
    """A vertical bar with round ends around `x`, at least as high as wide."""
    short = max(0.0, width - (bottom - top)) / 2
    box = (x - width / 2, top - short, x + width / 2, bottom + short)
    draw.rounded_rectangle(box, width / 2, fill=color)


def _backdrop(size: tuple[int, int], center: tuple[float, float], radius: float) -> Image.Image:
    """The dark ground with a soft glow; RGB."""
    small = tuple(max(1, side // 16) for side in size)
    glow = Image.new("L", small)
    box = [(center[axis] + sign * radius) / 16 for sign in (-1, 1) for axis in (0, 1)]
    ImageDraw.Draw(glow).ellipse(box, fill=210)
    glow = glow.filter(ImageFilter.GaussianBlur(radius / 16 / 2.2)).resize(size, Image.Resampling.BICUBIC)
    return Image.composite(Image.new("RGB", size, GLOW), Image.new("RGB", size, PAPER), glow)


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """`share` of `b` in `a`."""
    share = min(1.0, max(0.0, share))
    return tuple(round(one + (other - one) * share) for one, other in zip(a, b, strict=True))


if __name__ == "__main__":
    main()

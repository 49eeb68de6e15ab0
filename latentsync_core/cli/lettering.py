"""Lettering of pictures and clips that show a result: colours, fonts, labels and captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageFont

PAPER, INK, QUIET_INK = (17, 19, 24), (240, 238, 232), (150, 153, 160)  # RGB
ACCENT = (244, 178, 84)  # RGB, of everything that stands for the new voice
LABELS = ("Before", "After")


def font(size: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, `size` pixels high; one small size where Pillow is older than 10.1."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except TypeError:
        return ImageFont.load_default()


def draw_label(picture: Image.Image, place: tuple[int, int], which: int, size: int) -> None:
    """Draws one of LABELS as a pill whose upper left corner is at `place`; `size` is the font's, in pixels."""
    from PIL import ImageDraw

    draw, letters = ImageDraw.Draw(picture), font(size)
    left, top, right, bottom = draw.textbbox((0, 0), LABELS[which], font=letters)
    inset_x, inset_y = round(0.6 * size), round(0.36 * size)
    x, y = place
    box = (x, y, x + right - left + 2 * inset_x, y + bottom - top + 2 * inset_y)
    draw.rounded_rectangle(box, radius=(box[3] - box[1]) // 2, fill=(PAPER, ACCENT)[which])
    draw.text((x + inset_x - left, y + inset_y - top), LABELS[which], font=letters, fill=(INK, PAPER)[which])


def draw_centered(
    picture: Image.Image, middle: float, top: float, text: str, size: int, color: tuple[int, int, int], outline: int = 0
) -> None:
    """Draws a line of text about the column `middle`, moved inside the picture's edges; `outline` is in pixels."""
    from PIL import ImageDraw

    draw, letters = ImageDraw.Draw(picture), font(size)
    left, _, right, _ = draw.textbbox((0, 0), text, font=letters)
    x = min(max(middle - (left + right) / 2, size * 0.5 - left), picture.width - size * 0.5 - right)
    draw.text((x, top), text, font=letters, fill=color, stroke_width=outline, stroke_fill=PAPER)

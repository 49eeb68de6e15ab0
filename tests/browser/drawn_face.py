"""A clip of a drawn face that no detector finds, for tests of marks."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg

SIZE, FRAMES = (320, 240), 10
FACE = (100, 40, 220, 190)  # left, top, right, bottom


def write_drawn_face(path: Path) -> Path:
    """Writes FRAMES frames of it at 25 fps."""
    picture = Image.new("RGB", SIZE, (90, 110, 90))
    draw = ImageDraw.Draw(picture)
    x0, y0, x1, y1 = FACE
    width, height = x1 - x0, y1 - y0
    draw.polygon([(x0, y0), (x1, y0 + height // 5), (x1 - 20, y1), (x0 + 20, y1)], fill=(60, 190, 210))
    for share in (0.3, 0.72):
        x, y = x0 + share * width, y0 + 0.35 * height
        draw.rectangle((x - 12, y - 12, x + 12, y + 8), fill=(250, 250, 120), outline=(20, 20, 20))
    draw.line((x0 + 35, y0 + 0.78 * height, x1 - 35, y0 + 0.74 * height), fill=(140, 20, 30), width=6)
    still = path.with_suffix(".png")
    picture.save(still)
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
    arguments = ["-y", "-loop", "1", "-framerate", "25", "-i", str(still), "-frames:v", str(FRAMES), *encoder]
    run_ffmpeg([*arguments, str(path)], error=VideoError, what=f"making {path.name}")
    still.unlink()
    return path

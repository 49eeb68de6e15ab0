"""A clip that shows a result beside what it was made from, with labels, captions and the result's sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError, VideoError
from ..files.scratch import ScratchFolder
from ..media.ffmpeg import run_ffmpeg
from ..media.opening import ffmpeg_input, ffmpeg_output, ffmpeg_own_picture
from ..video.clip import Clip
from ..video.reading.probing import probe
from .lettering import INK, draw_centered, draw_label

if TYPE_CHECKING:
    from PIL import Image

MAX_HALF_WIDTH = 960  # pixels of either picture: together they fill a full HD screen's width
LABEL_SHARE, CAPTION_SHARE = 0.042, 0.050  # of the height: sizes of the fonts
CAPTION_BOTTOM = 0.035  # of the height that stays free beneath the captions
CRF = 19  # x264's


@dataclass(frozen=True)
class Caption:
    """What is spoken in either picture, and when: seconds of the clip."""

    start: float
    end: float
    before: str
    after: str


def write_compare(before: Path, after: Path, path: Path, captions: Sequence[Caption] = ()) -> None:
    """Writes an H.264 MP4 (4:2:0) with `before` at the left, `after` at the right, and `after`'s sound as it is.

    Both are shown at `before`'s shape, at most MAX_HALF_WIDTH wide and with even sides; title and credits are those of
    `after`. The same clips give the same pictures on every machine, as one thread encodes them.

    Raises:
        VideoError: a clip can't be read.
        OutputError: ffmpeg can't write the file.
    """
    size = half_size(probe(before))
    whole = (2 * size[0], size[1])
    with ScratchFolder() as folder:
        labels = _save(_labels(whole), folder / "labels.png")
        texts = [_save(_caption(whole, one), folder / f"caption{k}.png") for k, one in enumerate(captions)]
        inputs = [*ffmpeg_input(before, VideoError), *ffmpeg_input(after, VideoError)]
        for picture in (labels, *texts):
            inputs += ffmpeg_own_picture(picture)
        run_ffmpeg(
            [
                *inputs, "-filter_complex", _graph(size, captions), "-map", "[out]", "-map", "1:a?",
                "-c:v", "libx264", "-threads", "1", "-preset", "medium", "-crf", str(CRF), "-pix_fmt", "yuv420p",
                "-fps_mode", "passthrough", "-c:a", "copy", "-flags:v", "+bitexact", "-map_metadata:g", "1:g",
                "-movflags", "+faststart", "-y", ffmpeg_output(path),
            ],
            error=OutputError,
            what=f"Can't write {path}",
        )  # fmt: skip


def half_size(clip: Clip) -> tuple[int, int]:
    """Width and height of either picture: the clip's shape with square pixels and even sides."""
    width = clip.width * float(clip.sample_aspect)
    scale = min(MAX_HALF_WIDTH / width, 1.0)
    across, down = (max(2 * round(side * scale / 2), 2) for side in (width, clip.height))
    return across, down


def _graph(size: tuple[int, int], captions: Sequence[Caption]) -> str:
    """ffmpeg's filters: both pictures, a line between them, then the labels and captions (inputs 2 and up)."""
    width, height = size
    fit = f"scale={width}:{height}:flags=lanczos+accurate_rnd+bitexact,setsar=1,format=yuv444p"
    line = f"drawbox=x={width - 1}:y=0:w=2:h={height}:color=black:t=fill"
    parts = [f"[0:v]{fit}[before]", f"[1:v]{fit}[after]"]
    # The result comes first, as its frames set the times; a clip that ended earlier keeps its last frame.
    parts.append(f"[after]pad={2 * width}:{height}:{width}:0[canvas]")
    parts.append(f"[canvas][before]overlay=0:0:format=yuv444:ts_sync_mode=nearest,{line}[pair0]")
    parts.append("[pair0][2:v]overlay=0:0:format=yuv444[pair1]")
    last = "pair1"
    for number, caption in enumerate(captions):
        name = f"pair{number + 2}"
        shown = f"enable='between(t,{caption.start:.3f},{caption.end:.3f})'"
        parts.append(f"[{last}][{number + 3}:v]overlay=0:0:format=yuv444:{shown}[{name}]")
        last = name
    parts.append(f"[{last}]format=yuv420p[out]")
    return ";".join(parts)


def _labels(size: tuple[int, int]) -> Image.Image:
    """Both labels on a transparent picture of the whole frame's size."""
    from PIL import Image

    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    letters = max(round(LABEL_SHARE * size[1]), 8)
    for which in (0, 1):
        draw_label(picture, (which * size[0] // 2 + letters, letters), which, letters)
    return picture


def _caption(size: tuple[int, int], caption: Caption) -> Image.Image:
    """Both texts of a caption at the bottom of their halves, on a transparent picture of the whole frame's size."""
    from PIL import Image

    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    letters = max(round(CAPTION_SHARE * size[1]), 8)
    top = size[1] * (1 - CAPTION_BOTTOM) - 1.3 * letters
    for which, text in enumerate((caption.before, caption.after)):
        half = Image.new("RGBA", (size[0] // 2, size[1]), (0, 0, 0, 0))
        draw_centered(half, half.width / 2, top, text, letters, INK, outline=max(letters // 10, 1))
        picture.paste(half, (which * half.width, 0))
    return picture


def _save(picture: Image.Image, path: Path) -> Path:
    picture.save(path)
    return path

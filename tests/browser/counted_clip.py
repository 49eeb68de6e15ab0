"""Clips that carry each frame's number in the picture, as blocks to be read back from a page's pixels, and results."""

from __future__ import annotations

from pathlib import Path

import torch

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import TWO_PEOPLE, VOICE
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.comfyui.harness.graphs import Graph
from tests.comfyui.harness.server import ComfyServer

FRAMES, LONGER = 16, 40  # of the clips, and of a result that plays one there and back
CLIP, SOURCE, VOICE_FILE, LONG_VOICE = "page_counted.mp4", "page_counted.mov", "page_short.flac", "page_long.flac"
SIZE = (480, 270)  # pixels
BLOCK = 16  # pixels: the side of a block, which survives being encoded and scaled
BITS = 8
TOP = 4  # pixels above the blocks
LEFT_EDGES = (4, SIZE[0] - 4 - BITS * BLOCK)  # of the same number at the picture's left and at its right

# The numbers at the left and at the right of a canvas.
READ = """({canvas, size: [width, height], block, bits, top, edges}) => {
    const image = document.querySelector(canvas);
    const pixels = image.getContext("2d").getImageData(0, 0, image.width, image.height).data;
    const scale = [image.width / width, image.height / height];
    const bright = (x, y) => pixels[4 * (Math.round(y * scale[1]) * image.width + Math.round(x * scale[0])) + 1] > 128;
    return edges.map((edge) => Array.from({length: bits}, (_, bit) =>
        bright(edge + (bit + 0.5) * block, top + 0.5 * block) << bit).reduce((sum, value) => sum + value, 0));
}"""
LAYOUT = {"size": SIZE, "block": BLOCK, "bits": BITS, "top": TOP, "edges": LEFT_EDGES}


def write_counted_clip(path: Path, frames: int, codec: Codec = Codec.H264, start: int = 0) -> Path:
    """Writes the two people's scene from frame `start` on, 25 frames a second, each with its number, from 0."""
    clip = probe(TWO_PEOPLE)
    with FrameReader(clip, start=start, stop=start + frames) as reader:
        pictures = torch.stack([frame.rgb(size=SIZE).movedim(0, -1) for frame in reader]).contiguous()
    for number, picture in enumerate(pictures):
        for edge in LEFT_EDGES:
            for bit in range(BITS):
                left = edge + bit * BLOCK
                picture[TOP : TOP + BLOCK, left : left + BLOCK] = float(number >> bit & 1)
    counted = clip_from_images(pictures, clip.fps)
    options = WriterOptions(codec=codec, crf=12)
    with FrameWriter(path, counted, options=options, pts=counted.pts) as writer, FrameReader(counted) as reader:
        for frame in reader:
            writer.write(frame)
    return path


def numbers_in(page, canvas: str) -> tuple[int, int]:
    """The numbers that a canvas of the page shows at its left and at its right."""
    left, right = page.page.evaluate(READ, {"canvas": canvas, **LAYOUT})
    return left, right


def write_counted_material(folder: Path) -> None:
    """Writes CLIP, the same in ProRes as SOURCE, and voices of FRAMES and LONGER frames."""
    write_counted_clip(folder / CLIP, FRAMES)
    write_counted_clip(folder / SOURCE, FRAMES, Codec.PRORES)
    for name, frames in ((VOICE_FILE, FRAMES), (LONG_VOICE, LONGER)):
        part = ["-y", "-ss", "0.7", "-i", str(VOICE), "-t", str(frames / 25), str(folder / name)]
        run_ffmpeg(part, error=VideoError, what=f"making {name}")


# Of each codec, and of a clip that is played there and back: the clip, the voice, the length and the codec.
RESULTS = {
    "h264": (CLIP, VOICE_FILE, "video", "h264"),
    "prores": (SOURCE, VOICE_FILE, "video", "prores"),
    "ffv1": (CLIP, VOICE_FILE, "video", "ffv1"),
    "there and back": (CLIP, LONG_VOICE, "ping-pong", "h264"),
}


def counted_result(comfy: ComfyServer, name: str) -> str:
    """The key of one of RESULTS, by Composite."""
    clip, voice, length, codec = RESULTS[name]
    graph = Graph(comfy)
    composite = {"codec": codec, "filename_prefix": "page_compared/dub"}
    graph.stages(graph.clip(clip), graph.voice(voice), sampler={"length": length}, composite=composite)
    (key,) = graph.run().outputs["composite"]["latentsync_comparison"]
    return key

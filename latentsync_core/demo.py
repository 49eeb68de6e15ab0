"""The demonstration: the whole job on the carried sample, and a before-and-after picture of it."""

from __future__ import annotations

from pathlib import Path

import torch

from .pipeline import PhaseProgress, SyncOptions, SyncReport, sync
from .sampling.sampler import SamplerOptions
from .video_io import FrameReader, probe

SAMPLE = Path(__file__).parent / "assets" / "sample"  # a public-domain portrait in motion, and a spoken line
MODEL = "untrained"  # the only carried model so far; its mouths are noise
COLUMNS = 6  # frames on the sheet
COLUMN_WIDTH = 256  # pixels


def run_demo(out: Path, on_progress: PhaseProgress | None = None) -> tuple[SyncReport, Path]:
    """Lip-syncs the sample into `out`, making its folder; beside it goes a PNG of frames before and after."""
    out.parent.mkdir(parents=True, exist_ok=True)
    options = SyncOptions(model=MODEL, sampler=SamplerOptions(steps=4))  # noise looks the same after 20
    report = sync(SAMPLE / "clip.mp4", SAMPLE / "voice.wav", out, options, on_progress)
    sheet = report.output.with_suffix(".png")
    write_sheet(SAMPLE / "clip.mp4", report.output, sheet)
    return report, sheet


def write_sheet(before: Path, after: Path, sheet: Path) -> None:
    """Puts some frames of `before` above the same ones of `after` into one PNG."""
    from PIL import Image

    rows = []
    for path in (before, after):
        clip = probe(path)
        size = (COLUMN_WIDTH, round(COLUMN_WIDTH * clip.height / clip.width))
        chosen = {round((column + 0.5) * clip.frame_count / COLUMNS) for column in range(COLUMNS)}
        with FrameReader(clip) as frames:
            rows.append(torch.cat([frame.rgb(size=size) for frame in frames if frame.index in chosen], dim=2))
    pixels = (torch.cat(rows, dim=1).clamp(0, 1) * 255).round().to(torch.uint8)  # (3, 2h, columns * w)
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(sheet)

"""A small lossless job with overlapping windows in a process of its own, which can be killed at any of its steps."""

from __future__ import annotations

import multiprocessing
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from latentsync_core.files.scratch import PREFIX
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.pipeline import sync
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import Quality, SamplerOptions, WindowOptions
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.writing.writer_options import Codec, WriterOptions

FRAMES, STEPS, WINDOWS = 16, 2, 3  # of eight frames, half of them shared
PRELOADED = [__name__, "diffusers.models.autoencoders.autoencoder_kl"]  # what takes long to import is imported once


@dataclass(frozen=True)
class Folders:
    """Where a job writes."""

    out: Path
    work: Path
    temporary: Path

    @classmethod
    def below(cls, folder: Path) -> Folders:
        made = cls(folder / "out", folder / "work", folder / "temporary")
        for each in (made.out, made.work, made.temporary):
            each.mkdir(parents=True)
        return made

    @property
    def result(self) -> Path:
        return self.out / "result.mkv"

    def leftovers(self) -> list[Path]:
        """Scratch folders, and anything else but the result that isn't kept on purpose."""
        found = [path for folder in (self.out, self.temporary) for path in folder.iterdir() if path != self.result]
        return found + list(self.work.glob(f"{PREFIX}*"))


def _job(folders: Folders, progress: Connection, frames: int, quality: Quality, clip: Path, voice: Path) -> None:
    """The whole of a job, which reports each step that it has taken."""
    tempfile.tempdir = str(folders.temporary)
    torch.set_num_threads(1)  # the same sums each time, and quick beside other processes
    options = SyncOptions(
        model=untrained_model(resolution=64),
        sampler=SamplerOptions(steps=STEPS, cfg=1.0, windows=WindowOptions(frames=8, overlap=4)),
        writer=WriterOptions(codec=Codec.FFV1),
        end=frames / 25,
        work_folder=folders.work,
        quality=quality,
    )
    sync(clip, voice, folders.result, options, lambda phase, done, total: progress.send((phase, done)))


def run_job(
    folders: Folders,
    kill_at: tuple[str, int] | None = None,
    frames: int = FRAMES,
    quality: Quality = Quality.CUSTOM,
    clip: Path = SCENE,
    voice: Path = VOICE,
) -> int:
    """Runs the job in a process of its own, which is killed once it has come to `kill_at`; returns its exit code.

    With a `quality` other than custom its steps and its guidance are that quality's.
    """
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
    if "forkserver" in kinds:
        context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_job, args=(folders, there, frames, quality, clip, voice))
    process.start()
    there.close()
    try:
        while here.recv() != kill_at:
            pass
        process.kill()
    except EOFError:
        assert kill_at is None, f"the job ended without coming to {kill_at}"
    process.join()
    return process.exitcode

"""Peak memory of the whole job against the clip's length and size: python -m benchmarks.memory

A real clip and voice, looped to each length, go through the command line's own pipeline at 512 px with patches of the
real size (64 × 64 × 4 latents) and features of Whisper-tiny's size (50 tokens of 384). U-Net and autoencoder are as
small as can be, so that the run ends within the hour on 2 cores: what they take does not depend on the clip's length.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import torch

from latentsync_core.media.ffmpeg import ffmpeg_executable

CASES = {  # name: (seconds, size or None for the clip's own)
    "1080p 60 s": (60, None),
    "1080p 600 s": (600, None),
    "2160p 10 s": (10, (2160, 3840)),
}


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--video", type=Path, default=Path("../shared/media/demo1_video.mp4"))
    arguments.add_argument("--audio", type=Path, default=Path("../shared/media/demo1_audio.wav"))
    arguments.add_argument("--only", help="run just this case")
    arguments.add_argument("--job", help=argparse.SUPPRESS)  # the child process: clip, voice, result
    options = arguments.parse_args()
    if options.job:
        run_job(*json.loads(options.job))
        return

    print(f"{'case':14} {'frames':>7} {'peak MB':>8} {'own MB':>8} {'minutes':>8}")
    for name, (seconds, size) in CASES.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                clip, voice = loop_media(options.video, options.audio, seconds, size, Path(folder))
                job = json.dumps([str(clip), str(voice), str(Path(folder, "out.mp4"))])
                started = time.perf_counter()
                peak, own, frames = run_and_measure([sys.executable, "-m", "benchmarks.memory", "--job", job])
                minutes = (time.perf_counter() - started) / 60
                print(f"{name:14} {frames:7} {peak / 1e6:8.0f} {own / 1e6:8.0f} {minutes:8.1f}", flush=True)


def run_job(video: str, audio: str, out: str) -> None:
    """One job, in a process of its own."""
    from latentsync_core.models.loading.untrained import untrained_model
    from latentsync_core.models.unet.config import UNetConfig
    from latentsync_core.models.unet.unet import UNet
    from latentsync_core.pipeline import sync
    from latentsync_core.sampling.sampler_options import SamplerOptions
    from latentsync_core.sync_options import SyncOptions
    from latentsync_core.video.writing.writer_options import WriterOptions

    narrow_unet = UNetConfig(  # attention at the third level alone: at 64 × 64 it would take most of the hour
        block_channels=(32,) * 4,
        resnets_per_block=1,
        down_attention=(False, False, True, False),
        up_attention=(False, True, False, False),
        motion_levels=(False,) * 4,
    )
    model = dataclasses.replace(
        untrained_model(resolution=512, whisper="tiny", device="cpu"),
        unet=UNet.from_config(narrow_unet).eval(),
        codec=OneLayerCodec(),
    )
    options = SyncOptions(
        model=model, sampler=SamplerOptions(steps=1, cfg=1.0), writer=WriterOptions(preset="ultrafast", crf=23)
    )
    print(json.dumps({"frames": sync(video, audio, out, options).frames}))


class OneLayerCodec(torch.nn.Module):
    """The smallest network that is a LatentCodec: one convolution from 8 × 8 pixels to a latent, one back."""

    def __init__(self) -> None:
        super().__init__()
        self.down = torch.nn.Conv2d(3, 4, kernel_size=8, stride=8)
        self.up = torch.nn.ConvTranspose2d(4, 3, kernel_size=8, stride=8)

    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        return self.down(images)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.up(latents)


def loop_media(video: Path, audio: Path, seconds: int, size: tuple[int, int] | None, folder: Path) -> tuple[Path, Path]:
    """The clip and the voice repeated to `seconds`, the clip as H.264 of its own or another size."""
    clip, voice = folder / "clip.mp4", folder / "voice.wav"
    scale = ["-vf", f"scale={size[0]}:{size[1]}"] if size else []
    repeat = [ffmpeg_executable(), "-loglevel", "error", "-stream_loop", "-1"]
    encode = [*scale, "-an", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p"]
    subprocess.run([*repeat, "-i", str(video), "-t", str(seconds), *encode, str(clip)], check=True)
    subprocess.run([*repeat, "-i", str(audio), "-t", str(seconds), str(voice)], check=True)
    return clip, voice


def run_and_measure(command: list[str]) -> tuple[int, int, int]:
    """Runs a job; returns its peak resident bytes with and without its child processes, and the frames it wrote."""
    peak = own_peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed: list[str] = []
        reader = threading.Thread(target=lambda: printed.extend(process.stdout))
        reader.start()
        watch = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                own = watch.memory_info().rss
                peak = max(peak, own + sum(child.memory_info().rss for child in watch.children(recursive=True)))
                own_peak = max(own_peak, own)
            except psutil.Error:  # a process ended between the listing and the look
                pass
            time.sleep(0.05)
        reader.join()
    if process.returncode:
        raise SystemExit(f"the job failed with exit code {process.returncode}")
    return peak, own_peak, json.loads(printed[-1])["frames"]


if __name__ == "__main__":
    main()

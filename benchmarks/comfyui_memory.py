"""Peak memory of a ComfyUI server against the clip's length: python -m benchmarks.comfyui_memory

The carried scene and voice, looped to each length and made small, go through the five nodes and Save Video in a server
of their own each. Drawing is done in one step by networks as narrow as they can be, loaded as a bundle: what networks
take does not depend on the clip's length, and neither must the rest.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import threading
import time
from pathlib import Path

import torch

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import SD_VAE_CONFIG, DiffusersCodec
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.video.reading.probing import probe
from tests.comfyui.harness.graphs import Graph
from tests.comfyui.harness.server import ComfyServer

LENGTHS = (60, 600)  # seconds
SIZE = (256, 144)  # pixels
MAX_RUN_SECONDS = 3 * 3600  # seconds
POLL_SECONDS = 0.1  # seconds


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, nargs="+", default=LENGTHS, help="lengths of the clip")
    print(f"{'clip':>8} {'frames':>7} {'before MB':>10} {'peak MB':>8} {'freed MB':>9} {'minutes':>8}")
    for seconds in arguments.parse_args().seconds:
        with tempfile.TemporaryDirectory() as folder:
            before, peak, freed, frames, minutes = measure_server(*loop_media(seconds, Path(folder)))
        megabytes = f"{before / 1e6:10.0f} {peak / 1e6:8.0f} {freed / 1e6:9.0f}"
        print(f"{seconds:6} s {frames:7} {megabytes} {minutes:8.1f}", flush=True)


def loop_media(seconds: int, folder: Path) -> tuple[Path, Path]:
    """The scene and the voice repeated to `seconds`."""
    clip, voice = folder / "clip.mp4", folder / "voice.flac"
    repeat = ["-y", "-stream_loop", "-1"]
    scaled = ["-t", str(seconds), "-vf", f"scale={SIZE[0]}:{SIZE[1]}", "-an", "-c:v", "libx264", "-preset", "veryfast"]
    run_ffmpeg([*repeat, "-i", str(SCENE), *scaled, str(clip)], error=VideoError, what="looping the scene")
    sound = [*repeat, "-i", str(VOICE), "-t", str(seconds), str(voice)]
    run_ffmpeg(sound, error=VideoError, what="looping the voice")
    return clip, voice


def narrow_bundle(folder: Path) -> Path:
    """Networks of the usual classes and as few weights as they allow, at 128 pixels, as a bundle."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet.from_config(UNetConfig(block_channels=(32,) * 4, audio_width=64, resnets_per_block=1))
        codec = DiffusersCodec.from_config(
            SD_VAE_CONFIG | {"block_out_channels": [4] * 4, "norm_num_groups": 4, "layers_per_block": 1}
        )
    return save_bundle(dataclasses.replace(untrained_model(), unet=unet, codec=codec), folder)


def measure_server(clip: Path, voice: Path) -> tuple[int, int, int, int, float]:
    """Runs the five nodes in a new server; returns its resident bytes before, at their peak (ffmpeg included) and
    after /free, the frames that came out, and the minutes that it took."""
    inputs = {path.name: path.read_bytes() for path in (clip, voice)}
    models = {f"latentsync/narrow/{path.name}": path for path in narrow_bundle(clip.parent / "narrow").iterdir()}
    with ComfyServer(inputs=inputs, models=models) as server:
        graph = Graph(server)
        model = graph.model(model="narrow")
        graph.save(graph.stages(clip=graph.clip(clip.name), voice=graph.voice(voice.name), model=model))
        before = peak = server.rss()
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(POLL_SECONDS):
                peak = max(peak, server.rss())

        watcher = threading.Thread(target=watch)
        started = time.perf_counter()
        watcher.start()
        try:
            run = graph.run(MAX_RUN_SECONDS)
        finally:
            done.set()
            watcher.join()
        minutes = (time.perf_counter() - started) / 60
        (saved,) = server.files(run, "save")
        frames = probe(saved).frame_count
        server.free()
        return before, peak, server.rss(), frames, minutes


if __name__ == "__main__":
    main()

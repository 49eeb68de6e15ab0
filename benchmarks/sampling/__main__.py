"""What sampling costs: python -m benchmarks.sampling [flops | times | job | gpu | distance]

`flops` counts the operations of the full-size networks for each output frame, by quality, on PyTorch's meta device: the
sampler's own loop runs without computing anything. `times` runs every stage on one window, in turn with the official
code's network where LATENTSYNC_REFERENCE is a checkout of it; `job` does a window's whole job by quality, and as that
code does it (it needs opencv-python-headless and kornia then). `gpu` fills the table of a graphics card in at most
eight minutes. `distance` compares what a network draws in few steps with what it draws in fifty.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.demonstration import NANO
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import DTYPES
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import SD_VAE_CONFIG, DiffusersCodec
from latentsync_core.sampling.denoising.denoise import denoise_windows
from latentsync_core.sampling.quality import STEPS_OF_QUALITY
from latentsync_core.sampling.sampler_options import Quality, SamplerOptions, Scheduler

from .inputs import TOKENS, TOY, official_steps, peak_bytes, window_inputs
from .job import print_jobs
from .networks import random_network, reference_unet
from .stages import crop_frames, paste_frames

FRAMES = 16  # of a window
GPU_SECONDS = 8 * 60
ROUNDS = 3
DISTANCE_STEPS = 50
FEW = {  # settings whose results are compared with those of 50 steps
    "20 steps of ddim": SamplerOptions(),
    "10 steps of dpm++ 2m": SamplerOptions(steps=10, scheduler=Scheduler.DPM_PLUS_PLUS_2M),
    "the same, reuse every 2nd": SamplerOptions(steps=10, scheduler=Scheduler.DPM_PLUS_PLUS_2M, reuse_interval=2),
    "the same, by change": SamplerOptions(
        steps=10, scheduler=Scheduler.DPM_PLUS_PLUS_2M, reuse_interval=4, reuse_change=0.2
    ),
    "balanced": SamplerOptions(**STEPS_OF_QUALITY[Quality.BALANCED]),
    "draft": SamplerOptions(**STEPS_OF_QUALITY[Quality.DRAFT]),
    "6 steps of unipc, no cfg, every 3rd": SamplerOptions(
        steps=6, cfg=1.0, scheduler=Scheduler.UNIPC, reuse_interval=3
    ),
}
JOBS = {  # settings and dtype
    "balanced": (SamplerOptions(**STEPS_OF_QUALITY[Quality.BALANCED]), "float32"),
    "balanced in bfloat16": (SamplerOptions(**STEPS_OF_QUALITY[Quality.BALANCED]), "bfloat16"),
    "draft in bfloat16": (SamplerOptions(**STEPS_OF_QUALITY[Quality.DRAFT]), "bfloat16"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["flops", "times", "job", "gpu", "distance"], default="flops")
    parser.add_argument("--gpu", action="store_true", help="the same as gpu")
    parser.add_argument("--size", type=int, default=256, help="pixels of a crop (default %(default)s)")
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="of a window, for times, job and distance (default %(default)s)"
    )
    parser.add_argument("--windows", type=int, default=2, help="for distance (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="for times and gpu (default %(default)s)")
    parser.add_argument("--toy", action="store_true", help="a small network in place of the full-size one")
    options = parser.parse_args()
    config = TOY if options.toy else UNetConfig()
    if options.gpu or options.what == "gpu":
        print_gpu_table(config, torch.device(options.device), (64,) if options.toy else (256, 512), options.frames)
    elif options.what == "flops":
        print_flops(config)
    elif options.what == "job":
        print_jobs(JOBS, options.size, options.frames, options.toy, os.environ.get("LATENTSYNC_REFERENCE", ""))
    elif options.what == "times":
        print_times(config, options.size, options.frames, torch.device(options.device))
    else:
        print_distances(options.windows, options.frames)


def qualities() -> dict[str, SamplerOptions]:
    """What the qualities come to with weights that recommend upstream's settings."""
    return {quality.value: SamplerOptions(**changes) for quality, changes in STEPS_OF_QUALITY.items()}


def print_flops(config: UNetConfig) -> None:
    """Counts every quality at both sizes; a multiplication and an addition are two operations."""
    unet = CountingUNet(UNet.from_config(config, device="meta").to("meta").eval())
    vae = DiffusersCodec.from_config(SD_VAE_CONFIG, device="meta").vae
    print(f"{'quality':10} {'px':>4} {'U-Net':>8} {'VAE':>6} {'together':>9}  of reference (10^12 a frame)")
    for size in (256, 512):
        picture, latent = (
            torch.empty(1, 3, size, size, device="meta"),
            torch.empty(1, 4, size // 8, size // 8, device="meta"),
        )
        around = counted(lambda picture=picture: vae.encode(picture)) * 2  # masked and whole
        around += counted(lambda latent=latent: vae.decode(latent))
        first = None
        for name, options in qualities().items():
            inputs = window_inputs(1, FRAMES, size, config, torch.device("meta"))
            unet.operations = 0
            denoise(unet, inputs, options)
            drawing = unet.operations / FRAMES
            first = first or drawing + around
            share = first / (drawing + around)
            print(
                f"{name:10} {size:4} {drawing / 1e12:8.3f} {around / 1e12:6.3f} {(drawing + around) / 1e12:9.3f}  "
                f"1 / {share:.2f}",
                flush=True,
            )
        tokens = torch.empty(2 * FRAMES, TOKENS, config.audio_width, device="meta")
        sample = torch.empty(2, config.in_channels, FRAMES, size // 8, size // 8, device="meta")
        plain = counted(lambda sample=sample, tokens=tokens: unet.network(sample, 0, tokens))
        guided, reusing = (unet.of_call[2, size // 8, computed] for computed in (True, False))
        print(f"a guided step: {guided / plain:.3f} of one that hears zeros, {reusing / guided:.3f} of that with reuse")


class CountingUNet:
    """Adds up the operations of the calls to a network on the meta device; calls of a kind are counted once."""

    def __init__(self, unet: UNet) -> None:
        self.network = unet
        # By windows, rows of latents, and whether deep features are computed.
        self.of_call: dict[tuple[int, int, bool], int] = {}
        self.operations = 0
        self.parameters = unet.parameters

    def audio_keys(self, audio: torch.Tensor) -> tuple:
        self.operations += counted(lambda: self.network.audio_keys(audio))
        return self.network.audio_keys(audio)

    def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, audio: tuple) -> torch.Tensor:
        return self.predict(sample, timestep, audio)[0]

    def predict(
        self, sample: torch.Tensor, timestep: torch.Tensor, audio: tuple, deep: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Empty tensors of what the network gives."""
        call = (len(sample), sample.shape[3], deep is None)
        if call not in self.of_call:
            self.of_call[call] = counted(lambda: self.network.predict(sample, timestep, audio, deep))
        self.operations += self.of_call[call]
        channels, pictures = self.network.config.block_channels[0], len(sample) * sample.shape[2]
        return sample[:, :4], sample.new_empty(pictures, channels, *sample.shape[3:])


def counted(work: Callable[[], object]) -> int:
    """The operations of `work`, in matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return counter.get_total_flops()


@torch.inference_mode()
def denoise(unet: UNet | CountingUNet, inputs: tuple[torch.Tensor, ...], options: SamplerOptions) -> torch.Tensor:
    return denoise_windows(cast(UNet, unet), *inputs, options)


def print_times(config: UNetConfig, size: int, frames: int, device: torch.device) -> None:
    """Seconds of each stage for one window, and of a guided step beside the official network's."""
    unet = random_network(UNet.from_config(config, device="meta"), device)
    vae_config = SD_VAE_CONFIG | ({"block_out_channels": list(config.block_channels)} if config == TOY else {})
    codec = DiffusersCodec.from_config(vae_config, device="meta")
    random_network(codec.vae, device)
    started = time.perf_counter()
    crops, frame_list, transform = crop_frames(frames, size)
    print_stage("crop", started, frames)
    started = time.perf_counter()
    latents = codec.encode(crops * 2 - 1)
    codec.encode(crops * 2 - 1)
    print_stage("encode, masked and whole", started, frames)
    inputs = window_inputs(1, frames, size, config, device)
    rivals = {"a guided step": lambda: denoise(unet, inputs, SamplerOptions(steps=1))}
    half = random_network(UNet.from_config(config, device="meta"), device, torch.bfloat16)
    rivals["a guided step in bfloat16"] = lambda: denoise(half, inputs, SamplerOptions(steps=1))
    checkout = os.environ.get("LATENTSYNC_REFERENCE")
    if checkout:
        official = reference_unet(Path(checkout), unet)
        rivals["a guided step of the official code"] = lambda: official_steps(official, inputs)
    for name, seconds in in_turn(rivals, device).items():
        print(f"{name:40} {statistics.median(seconds):8.2f} s, of {', '.join(f'{one:.2f}' for one in seconds)}")
    print_differences(rivals)
    started = time.perf_counter()
    decoded = codec.decode(latents)
    print_stage("decode", started, frames)
    started = time.perf_counter()
    paste_frames(frame_list, decoded / 2 + 0.5, transform, size)
    print_stage("composite", started, frames)
    print(f"{'peak memory of the process':40} {peak_bytes(device) / 1e9:8.2f} GB")


def print_stage(name: str, started: float, frames: int) -> None:
    seconds = time.perf_counter() - started
    print(f"{name:40} {seconds:8.2f} s, {1000 * seconds / frames:.0f} ms a frame", flush=True)


def in_turn(rivals: dict[str, Callable[[], object]], device: torch.device) -> dict[str, list[float]]:
    """Seconds of each, `ROUNDS` times in turn, after once to warm up where that counts."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(ROUNDS + (device.type != "cpu")):
        for name, work in rivals.items():
            seconds = timed(work, device)
            if device.type == "cpu" or number:
                times[name].append(seconds)
    return times


def timed(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def print_differences(rivals: dict[str, Callable[[], torch.Tensor]]) -> None:
    """How far the latents of all others are from those of the first, beside these latents' own deviation."""
    latents = {name: work().float().cpu() for name, work in rivals.items()}
    (_, ours), *others = latents.items()
    for name, theirs in others:
        error = theirs.reshape(ours.shape) - ours
        print(
            f"latents after {name}: root mean square error {error.square().mean().sqrt() / ours.std():.1e} of their "
            f"deviation, at most {error.abs().max():.1e}"
        )


def print_gpu_table(config: UNetConfig, device: torch.device, sizes: tuple[int, ...], frames: int) -> None:
    """Milliseconds of U-Net time a frame by size, precision, quality and window batch, until the time is up."""
    ends_at = time.monotonic() + GPU_SECONDS
    networks = {name: random_network(UNet.from_config(config, dtype=DTYPES[name], device="meta"), device, DTYPES[name])
                for name in ("fp16", "bf16")} if device.type == "cuda" else {
        "fp32": random_network(UNet.from_config(config, device="meta"), device)}  # fmt: skip
    for name, unet in networks.items():
        ceiling = matrix_ceiling(DTYPES[name], device)
        print(f"matrix products in {name}: {ceiling / 1e12:.3g} * 10^12 operations a second")
        for size in sizes:
            for quality, options in qualities().items():
                for windows in (1, 2, 4):
                    if time.monotonic() > ends_at:
                        print("the time is up")
                        return
                    inputs = window_inputs(windows, frames, size, config, device)
                    if device.type == "cuda":
                        torch.cuda.reset_peak_memory_stats(device)
                    work = lambda unet=unet, inputs=inputs, options=options: denoise(unet, inputs, options)  # noqa: E731
                    timed(work, device)
                    seconds = timed(work, device)
                    operations = counted(work)
                    print(
                        f"{size:4} px {name} {quality:10} {windows} windows: "
                        f"{1000 * seconds / (windows * frames):8.2f} ms a frame, {operations / seconds / ceiling:5.0%} "
                        f"of the ceiling, {peak_bytes(device) / 1e9:.2f} GB",
                        flush=True,
                    )


def matrix_ceiling(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 512
    one = torch.randn(side, side, device=device).to(dtype)
    timed(lambda: one @ one, device)
    return 2 * side**3 / min(timed(lambda: one @ one, device) for _ in range(5))


def print_distances(windows: int, frames: int) -> None:
    """Of nano's latents in few steps from those in fifty, relative to the fifty's size; see FEW."""
    model = load_model(NANO, LoadOptions(device="cpu", precision="fp32"))
    config = model.unet.config
    crops, *_ = crop_frames(windows * frames, model.resolution)
    whole = model.codec.encode(crops * 2 - 1).unflatten(0, (windows, frames))
    noise, mask, _, _, audio = window_inputs(windows, frames, model.resolution, config, torch.device("cpu"))
    inputs = (noise, mask, whole, whole, audio)

    @torch.inference_mode()
    def drawn(options: SamplerOptions) -> torch.Tensor:
        return denoise_windows(model.unet, *inputs, options, model.schedule)

    expected = drawn(SamplerOptions(steps=DISTANCE_STEPS))
    for name, options in FEW.items():
        found = drawn(options)
        print(f"{name:40} {float((found - expected).norm() / expected.norm()):.3f}", flush=True)


if __name__ == "__main__":
    main()

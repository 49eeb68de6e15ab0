"""A window's whole job, from 1080p frames to 1080p frames, by quality and as the official code does it.

Each runs in a process of its own, so that its peak memory is its own. Weights are random, the same for all; finding
faces, reading and writing the film are left out on both sides.
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from latentsync_core.faces.alignment.align import template
from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import SCALING_FACTOR, SD_VAE_CONFIG, DiffusersCodec
from latentsync_core.sampling.denoising.denoise import denoise_windows
from latentsync_core.sampling.sampler_options import SamplerOptions
from latentsync_core.video.frame import Frame

from .inputs import TOY, official_steps, peak_bytes, window_inputs
from .networks import random_network, reference_module, reference_unet
from .stages import crop_frames, cut_crops, paste_frames

CPU = torch.device("cpu")


@dataclass
class Measured:
    """Seconds of each stage of a job, and the peak of its process in bytes."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak: int = 0

    def lap(self, stage: str, started: float) -> float:
        """Adds the time since `started` to a stage; returns the time now."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - started
        return now


def print_jobs(jobs: dict[str, tuple[SamplerOptions, str]], size: int, frames: int, toy: bool, checkout: str) -> None:
    """Prints a line for each of `jobs`, settings and dtype by name; with a checkout the official code's comes first."""
    first = None
    rows = {"the official code": None, **jobs} if checkout else jobs
    print(f"{'':34} {'crop':>8} {'encode':>8} {'denoise':>8} {'decode':>8} {'restore':>8} {'whole':>8}  of the first")
    for name, job in rows.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # one process for each
            measured = (
                pool.apply(official_job, (checkout, size, frames, toy))
                if job is None
                else pool.apply(our_job, (*job, size, frames, toy))
            )
        whole = sum(measured.seconds.values())
        first = first or whole
        stages = " ".join(f"{seconds:8.2f}" for seconds in measured.seconds.values())
        print(f"{name:34} {stages} {whole:8.2f}  1 / {first / whole:.2f}, {measured.peak / 1e9:.2f} GB", flush=True)


@torch.inference_mode()
def our_job(options: SamplerOptions, dtype: str, size: int, frames: int, toy: bool) -> Measured:
    """Crops, latents, sampling, pictures and compositing as the engine does them, one stage after the other."""
    config, codec = _networks(toy)
    unet = random_network(UNet.from_config(config, device="meta"), CPU, getattr(torch, dtype))
    _, frame_list, transform = crop_frames(frames, size)
    noise, _, _, _, audio = window_inputs(1, frames, size, config, CPU)
    measured, keep, now = Measured(), mouth_mask(size), time.perf_counter()
    crops = cut_crops(frame_list, transform, size)
    now = measured.lap("crop", now)
    whole, masked = codec.encode(crops * 2 - 1), codec.encode((crops * 2 - 1) * keep)
    now = measured.lap("encode", now)
    latents = denoise_windows(unet, noise, latent_mask(size), masked[None], whole[None], audio, options)[0]
    now = measured.lap("denoise", now)
    drawn = codec.decode(latents)
    now = measured.lap("decode", now)
    paste_frames(frame_list, drawn / 2 + 0.5, transform, size)
    measured.lap("restore", now)
    measured.peak = peak_bytes(CPU)
    return measured


@torch.inference_mode()
def official_job(checkout: str, size: int, frames: int, toy: bool) -> Measured:
    """The same work as the official pipeline does it: 20 guided steps of DDIM, all of a window's pictures at once."""
    config, codec = _networks(toy)
    ours = random_network(UNet.from_config(config, device="meta"), CPU)
    unet = reference_unet(Path(checkout), ours)
    official = reference_module(Path(checkout), "latentsync.utils.affine_transform")
    align, opencv = official.AlignRestore(resolution=size, device="cpu", dtype=torch.float32), official.cv2
    _, frame_list, transform = crop_frames(frames, size)
    pictures = [_levels(frame) for frame in frame_list]
    points = _landmarks(transform, size)
    inputs = window_inputs(1, frames, size, config, CPU)
    measured, keep, now = Measured(), mouth_mask(size), time.perf_counter()
    cut = [align.align_warp_face(picture.copy(), landmarks3=points, smooth=True) for picture in pictures]
    faces = [opencv.resize(face, (size, size), interpolation=opencv.INTER_LANCZOS4) for face, _ in cut]
    pixels = torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2) / 127.5 - 1  # n h w c -> n c h w
    now = measured.lap("crop", now)
    masked, whole = (codec.vae.encode(seen).latent_dist.sample() * SCALING_FACTOR for seen in (pixels * keep, pixels))
    now = measured.lap("encode", now)
    noise, _, _, _, audio = inputs
    inputs = (noise, latent_mask(size), masked[None], whole[None], audio)
    latents = official_steps(unet, inputs, SamplerOptions.steps)[0]
    now = measured.lap("denoise", now)
    drawn = codec.vae.decode(latents / SCALING_FACTOR).sample * (1 - keep) + pixels * keep
    now = measured.lap("decode", now)
    for picture, face, (cropped, matrix) in zip(pictures, drawn, cut, strict=True):
        full = F.interpolate(face[None], cropped.shape[:2], mode="bicubic", antialias=True)[0]
        align.restore_img(picture, full, matrix)
    measured.lap("restore", now)
    measured.peak = peak_bytes(CPU)
    return measured


def _networks(toy: bool) -> tuple[UNetConfig, DiffusersCodec]:
    config = TOY if toy else UNetConfig()
    channels = {"block_out_channels": list(config.block_channels)} if toy else {}
    codec = DiffusersCodec.from_config(SD_VAE_CONFIG | channels, device="meta")
    random_network(codec.vae, CPU)
    return config, codec


def _levels(frame: Frame) -> np.ndarray:
    """A frame as the official code reads it: (h, w, 3) uint8."""
    return (frame.rgb() * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def _landmarks(transform: np.ndarray, size: int) -> np.ndarray:
    """The three points of a face that `transform` crops: (3, 2) float64, pixels of the frame."""
    return np.linalg.solve(transform[:, :2].astype(float), (template(size) - transform[:, 2]).T).T

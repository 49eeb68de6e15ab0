"""The kinds of work of a job, with what the time of each depends on."""

from __future__ import annotations

import functools
import hashlib
import json
import math

import torch

from ..audio.features import TAIL_SILENCE_SECONDS
from ..compositing.composite_options import CompositeOptions
from ..models.model import LatentSyncModel
from ..models.unet.compiled import compiled_forward
from ..models.vae import LatentCodec
from ..sampling.sampler_options import SamplerOptions
from ..video.clip import Clip
from ..video.writing.writer_options import WriterOptions
from .timings import Work

WHISPER_SEGMENT_SECONDS = 30.0  # Whisper computes whole segments


def finding_faces(clip: Clip, visible: float) -> Work:
    """`visible` is in how many frames a face is seen, added up over all of them."""
    frames = clip.frame_count
    amounts = {"clips": 1, "frames": frames, "megapixels": frames * _megapixels(clip), "faces": visible}
    return Work("faces", amounts, _processor())


def finding_speakers(clip: Clip) -> Work:
    return Work("speakers", {"frames": clip.frame_count}, _processor())


def embedding(model: LatentSyncModel, seconds: float) -> Work:
    """Whisper's part, of a voice of `seconds`."""
    whisper = model.whisper
    segments = math.ceil((seconds + TAIL_SILENCE_SECONDS) / WHISPER_SEGMENT_SECONDS)
    setup = f"{whisper.levels}x{whisper.width} {whisper.dtype} {device_words(model.device)}"
    return Work("voice", {"segments": segments, "seconds": seconds}, setup)


def cutting_crops(model: LatentSyncModel, clip: Clip, pictures: float) -> Work:
    """Reading a clip's frames and cutting faces out of them."""
    return Work("crops", {"pictures": pictures, "megapixels": pictures * _megapixels(clip)}, device_words(model.device))


def encoding(model: LatentSyncModel, pictures: float) -> Work:
    return Work("encode", {"pictures": pictures}, _autoencoder(model.codec, model.resolution))


def denoising(model: LatentSyncModel, options: SamplerOptions, passes: float, with_previews: bool) -> Work:
    """`passes` are frames of windows, times the runs of the U-Net that their steps take."""
    setup = [_network(model)]
    if options.window_batch > 1:
        setup.append(f"{options.window_batch} windows")
    if options.reuse_interval > 1 and options.reuse_change:  # how often it is reused depends on the clip
        setup.append(f"reuse {options.reuse_interval} {options.reuse_change:g}")
    if with_previews:
        setup.append("previews")
    return Work("denoise", {"passes": passes}, ", ".join(setup))


def decoding(codec: LatentCodec, resolution: int, patches: float) -> Work:
    return Work("decode", {"patches": patches}, _autoencoder(codec, resolution))


def pasting(clip: Clip, frames: float, patches: float, options: CompositeOptions) -> Work:
    """Reading a clip's frames and pasting patches into them."""
    setup = [options.region.value]
    setup += ["occlusion"] if options.occlusion else []
    setup += ["match"] if options.match_grain or options.match_color else []
    amounts = {"frames": frames, "megapixels": frames * _megapixels(clip), "patches": patches}
    return Work("paste", amounts, f"{' '.join(setup)} {_processor()}")


def writing(clip: Clip, frames: float, options: WriterOptions, others: str = "") -> Work:
    """Encoding a result's frames; `others` names what is written beside it."""
    amounts = {"frames": frames, "megapixels": frames * _megapixels(clip)}
    return Work("write", amounts, f"{options.codec.value} {options.preset} {others}".strip())


def device_words(device: torch.device) -> str:
    """A device as a setup: its own name, or how many threads of the processor are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _processor() if device.type == "cpu" else device.type


def _processor() -> str:
    return f"cpu, {torch.get_num_threads()} threads"


def _megapixels(clip: Clip) -> float:
    return clip.width * clip.height / 1e6


def autoencoder_config(codec: LatentCodec) -> dict | None:
    """The config of diffusers' autoencoder behind a codec; None where ComfyUI brought another one."""
    return getattr(codec, "config", None)


def _network(model: LatentSyncModel) -> str:
    """What a U-Net's time depends on: not its weights."""
    compiled = " compiled" if compiled_forward(model.unet) else ""
    offloaded = " offloaded" if model.memory_plan is not None and model.memory_plan.offload else ""
    return (
        f"{_digest(repr(model.unet.config))} {_setup(model.resolution, model.dtype, model.device)}{compiled}{offloaded}"
    )


def _autoencoder(codec: LatentCodec, resolution: int) -> str:
    config = autoencoder_config(codec)
    if config is None:
        return f"other {resolution} px"
    kind = _digest(json.dumps(config, sort_keys=True, default=str))
    return f"{kind} {_setup(resolution, getattr(codec, 'dtype', None), getattr(codec, 'device', None))}"


def _setup(resolution: int, dtype: torch.dtype | None, device: torch.device | None) -> str:
    where = "" if device is None else device_words(device)
    return f"{resolution} px {str(dtype).removeprefix('torch.')} {where}".strip()


@functools.lru_cache(maxsize=64)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

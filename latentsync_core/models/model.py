"""A loaded model, and the device and precision that its options come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import OptionError
from ..messages import Note
from .noise_schedule import REFERENCE_SCHEDULE, NoiseSchedule
from .recommended_settings import REFERENCE_SETTINGS, RecommendedSettings
from .reference_mouth import ReferenceMouth
from .unet.config import MAX_AUDIO_ROWS
from .unet.unet import UNet
from .vae import LatentCodec

if TYPE_CHECKING:
    from .memory.plan import MemoryPlan
    from .whisper.encoder import WhisperEncoder

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class LatentSyncModel:
    """The three networks that belong together, ready to run."""

    name: str
    unet: UNet
    codec: LatentCodec
    whisper: WhisperEncoder
    resolution: int  # pixels, of the square crops
    device: torch.device
    dtype: torch.dtype  # of U-Net and VAE
    digest: str  # hex; differs where weights, resolution or precision differ
    demonstration: bool = False  # True: carried to show how everything works, not to be published with
    schedule: NoiseSchedule = REFERENCE_SCHEDULE  # what the U-Net was trained on
    reference_mouth: ReferenceMouth = ReferenceMouth.FILMED  # likewise
    recommended: RecommendedSettings = REFERENCE_SETTINGS
    memory_plan: MemoryPlan | None = None  # None where nothing tells how much memory the device has free
    make_room: Callable[[], bool] | None = None  # moves the U-Net's weights to main memory; False: they are there
    notes: tuple[Note, ...] = ()  # what had to be lowered to load it

    @property
    def audio_tokens(self) -> int:
        """Audio tokens that the U-Net is given of one video frame: 50 with Whisper tiny."""
        return MAX_AUDIO_ROWS * self.whisper.levels


def resolve_device(name: str) -> torch.device:
    """The device of that name; "auto" is the best one here. OptionError if there is none of the name."""
    if name == "auto":
        name = next((kind for kind in ("cuda", "xpu", "mps") if _is_available(kind)), "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"device is {name!r}; use auto, cpu, cuda, cuda:1, xpu or mps.") from None
    if device.type != "cpu" and not _is_available(device.type, device.index or 0):
        raise OptionError(f"device is {name!r}, but PyTorch finds none here; use auto or cpu.")
    return device


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What "auto" comes to: fp16 as upstream has it on a GPU that is fast at it, bf16 on a processor that multiplies it
    in hardware, fp32 where half breaks or is slow.

    Graphics cards keep fp16, which rounds eight times finer than bf16.
    """
    if precision != "auto":
        return DTYPES[precision]
    if device.type == "cpu" and multiplies_bfloat16():
        return torch.bfloat16
    if device.type == "xpu" or (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)):
        return torch.float16
    return torch.float32


def multiplies_bfloat16() -> bool:
    """Whether the processor has units for bfloat16 that PyTorch uses; versions that can't tell take float32."""
    has_kernels = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if has_kernels is None or not has_kernels():
        return False
    # The kernels run on any AVX-512, where conversions cost what the shorter numbers gain.
    units = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(unit is not None and unit() for unit in units)


def _is_available(kind: str, index: int = 0) -> bool:
    backend = getattr(torch, kind, None)
    return backend is not None and backend.is_available() and index < backend.device_count()

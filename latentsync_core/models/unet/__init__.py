"""The denoising U-Net with motion modules and audio cross-attention."""

from .unet import UNet

__all__ = ["UNet"]

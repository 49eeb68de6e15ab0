"""Looks at the first window drawn: garbage stops the job there, with its likely cause, and not hours later.

Every LatentSync model draws the whole crop and copies what lies outside the mouth region. The crop itself therefore
tells how bright, varied and structured the picture must be, in a night scene or under a mask as well.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..errors import ModelError
from ..faces.alignment.mouth_mask import mouth_mask
from ..messages import Remedy
from ..models.model import LatentSyncModel

# The model of random weights, which draws noise by design; its own module is heavy.
UNTRAINED = "untrained"
CELLS = 32  # a side; means over such cells are compared, so that grain and compression don't count
LEAST_VARIATION = 0.02  # standard deviation of the crop's cells, in [0, 1]: flatter ones say nothing of structure
FLAT_SHARE = 0.1  # of that standard deviation
# Times that standard deviation, and at least this: cfg 5 comes to 1.2 times, weights out of scale to 3.
MAX_CONTRAST, LEAST_CONTRAST = 2.0, 0.2
MAX_CLIPPED, CLIPPING_DISTANCE = 0.5, 0.1  # share drawn at black or white where the crop lies so far from it
MIN_LIKENESS = 0.4  # correlation outside the mouth region; nano's is 0.97, of networks that don't fit 0.15 and below


def check_first_window(model: LatentSyncModel, crops: torch.Tensor, latents: torch.Tensor) -> None:
    """Decodes the first and the last frame of a window, and compares them with the crops that they were drawn from.

    Args:
        crops: (f, 3, R, R) float32 in [0, 1].
        latents: (f, 4, h, w), as denoising gave them.

    Raises:
        ModelError: values that are no numbers; or a picture that is flat or clipped, or unlike the crop where the crop
            should have been copied, and how the autoencoder alone renders the crop.
    """
    ends = [0, len(crops) - 1]
    crops, latents = crops[ends], latents[ends]
    if not latents.isfinite().all():
        encoded = model.codec.encode(crops * 2 - 1)
        network = "the U-Net" if encoded.isfinite().all() else "the VAE's encoder"
        raise _not_finite(model, network, latents)
    drawn = model.codec.decode(latents).float().cpu() / 2 + 0.5
    if not drawn.isfinite().all():
        raise _not_finite(model, "the VAE's decoder", drawn)
    if model.name == UNTRAINED:
        return
    fact = _flaw(drawn, crops)
    if fact is None:
        return
    rendered = model.codec.decode(model.codec.encode(crops * 2 - 1)).float().cpu() / 2 + 0.5
    if not rendered.isfinite().all() or _flaw(rendered, crops):
        raise ModelError(
            f"the first frames that {model.name} drew are unusable: {fact}; its VAE alone doesn't render the face "
            "either, so the VAE is not the one that the model was trained with (sd-vae-ft-mse for LatentSync), or its "
            "file is damaged",
            Remedy.CHANGE_VAE,
        )
    raise ModelError(
        f"the first frames that {model.name} drew are unusable: {fact}; its VAE alone renders the face well, so the "
        "U-Net's weights are untrained, damaged, or of another model than their description says",
        Remedy.CHOOSE_MODEL,
    )


def _flaw(drawn: torch.Tensor, crops: torch.Tensor) -> str | None:
    """What makes pictures (n, 3, R, R) garbage where they should show `crops`; None if nothing does."""
    size = crops.shape[-1]
    inside = mouth_mask(size) == 0
    black, white = (drawn <= 0) & (crops > CLIPPING_DISTANCE), (drawn >= 1) & (crops < 1 - CLIPPING_DISTANCE)
    clipped = float((black | white)[..., inside].float().mean())
    if clipped > MAX_CLIPPED:
        return f"{clipped:.0%} of the mouth region is black or white where the clip is not"
    cells, expected_cells = (F.avg_pool2d(values, size // CELLS) for values in (drawn, crops))
    keep = F.avg_pool2d(mouth_mask(size)[None, None], size // CELLS)[0, 0]
    spread, expected = (float(values[..., keep == 0].std()) for values in (cells, expected_cells))
    if expected > LEAST_VARIATION and spread < FLAT_SHARE * expected:
        level, expected_level = (float(values[..., keep == 0].mean()) for values in (cells, expected_cells))
        return (
            f"the mouth region is one flat colour of brightness {level:.2f} (variation {spread:.3f}), where the clip "
            f"has {expected_level:.2f} (variation {expected:.3f})"
        )
    if spread > max(MAX_CONTRAST * expected, LEAST_CONTRAST):
        return f"the mouth region varies by {spread:.2f} in brightness, in the clip by {expected:.2f}"
    one, other = cells[..., keep == 1], expected_cells[..., keep == 1]
    if float(other.std()) > LEAST_VARIATION and (likeness := _correlation(one, other)) < MIN_LIKENESS:
        return (
            f"outside the mouth region they correlate with the clip's face by {likeness:.2f}, where a trained model "
            f"copies it (1.00, at least {MIN_LIKENESS})"
        )
    return None


def _correlation(drawn: torch.Tensor, crops: torch.Tensor) -> float:
    """The correlation of two (n, 3, values), brightness only; 0 where one of them is flat."""
    one, other = (values.double().mean(1) for values in (drawn, crops))
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    scale = float((one.square().sum() * other.square().sum()).sqrt())
    return float((one * other).sum()) / scale if scale > 0 else 0.0


def _not_finite(model: LatentSyncModel, network: str, values: torch.Tensor) -> ModelError:
    share = 1 - float(values.isfinite().float().mean())
    fact = f"{share:.0%} of the values that {network} of {model.name} computed for the first frames are not numbers"
    if model.dtype is torch.float16:
        cause = "half precision (fp16) overflowed, or the weights are damaged"
        return ModelError(f"{fact}: {cause}", Remedy.RAISE_PRECISION)
    return ModelError(f"{fact}: its weights are damaged or not trained to the end", Remedy.CHOOSE_MODEL)

"""Makes parity/data/trepa.npz out of the shared reference folder: ``python -m tests.parity.makers.make_trepa_data``.

Cut from the reference: rows of the position table and the released ViT-g's keys and shapes. The reference's clips show
a real person, which is not carried. In their place stands what our own network makes, in float64, of a public-domain
portrait: features, loss and gradient, written only if the same network, on the reference's clips, first gives the
reference's features, losses and gradient. Weights are drawn by their rule.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from latentsync_core.trepa.loss import trepa_loss
from latentsync_core.trepa.video_encoder import VideoEncoder, VideoEncoderConfig, clip_features, preprocess_clips
from tests.parity.moving_portraits import moving_portraits
from tests.parity.rule_weights import fill_by_rule
from tests.shared_reference import SHARED

TARGET = Path(__file__).parents[1] / "data" / "trepa.npz"
SOURCE = SHARED / "reference" / "trepa"
TINY = VideoEncoderConfig(width=64, blocks=3, heads=4, inner=279)
CASES = {"enlarged": 64, "shrunk": 256}  # pixels; the encoder looks at 224
OVERDRIVE = 1.25  # brings some values outside [0, 1], where they are cut off


def tiny_encoder() -> VideoEncoder:
    """The reference's small encoder, fixed."""
    return fill_by_rule(VideoEncoder(TINY)).eval().requires_grad_(False)


def portrait_clips(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A drawn and a real clip (1, 3, 16, size, size)."""
    panned, dimming = moving_portraits(size).transpose(1, 2).split(1)  # b f c h w -> b c f h w
    return panned * OVERDRIVE, dimming


def reference_clips(cases: np.lib.npyio.NpzFile, case: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The reference's drawn clip before its scale, and the real one, (b, 3, 16, h, w) in [-1, 1]."""
    return tuple(torch.from_numpy(cases[f"{case}.{kind}_u8"]).float() / 127.5 - 1 for kind in ("fake", "real"))


def thinned(gradient: torch.Tensor) -> torch.Tensor:
    """The part of a gradient (b, 3, 16, h, w) that the reference kept."""
    return gradient[:, :, ::3, ::8, ::8]


def in_float64(encoder: VideoEncoder, predicted: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Features of both clips, the loss and its gradient, all in float64 but for the resizing."""
    predicted = predicted.clone().requires_grad_()
    fake, true = (encoder(preprocess_clips(clip, encoder.config.size).double()) for clip in (predicted, real))
    loss = F.mse_loss(F.normalize(fake), F.normalize(true))
    (gradient,) = torch.autograd.grad(loss, predicted)
    return fake.detach(), true, loss.detach(), gradient


def check_against_the_reference(encoder: VideoEncoder) -> None:
    cases = np.load(SOURCE / "cases.npz")
    for case in ("case0", "case1"):
        fake, real = reference_clips(cases, case)
        scaled = fake * float(cases[f"{case}.fake_scale"][0])
        for clip, kind in ((scaled, "fake"), (real, "real")):
            expected = torch.from_numpy(cases[f"{case}.feats_{kind}"])
            torch.testing.assert_close(clip_features(encoder, clip), expected, atol=1e-5, rtol=0)
        expected = torch.from_numpy(cases[f"{case}.loss"])[0]
        torch.testing.assert_close(trepa_loss(encoder, scaled, real), expected, rtol=1e-4, atol=0)
    fake, real = reference_clips(cases, "case0")
    gradient = thinned(in_float64(encoder.double(), fake, real)[3])
    expected = torch.from_numpy(cases["case0.noscale_grad_sub"])
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def main() -> None:
    encoder = tiny_encoder()
    check_against_the_reference(encoder)
    full = json.loads((SHARED / "reference/keys/videomae_v2_vit_g.json").read_text())
    kept = {
        "positions": np.load(SOURCE / "cases.npz")["pos_embed_sub"],  # every 64th row
        "full_keys": json.dumps(full["keys"]),
        "full_config": json.dumps(full["config"]),
    }
    for case, size in CASES.items():
        fake, real, loss, gradient = in_float64(encoder.double(), *portrait_clips(size))
        kept |= {f"{case}.features": torch.cat([fake, real]).numpy(), f"{case}.loss": loss.numpy()}
        kept[f"{case}.gradient"] = thinned(gradient).numpy()
    np.savez_compressed(TARGET, **kept)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Makes data/syncnet.npz out of the shared reference folder: ``python -m tests.parity.makers.make_syncnet_data``.

Cut from the reference: a synthetic wave with its mel spectrogram, where the windows of two video frames begin, the
small network's config and what it makes of the two windows, and the full-size model's config, keys and shapes. What the
reference makes of pictures is of a real person's frames, which are not carried. In their place stands what our own
network makes, in float64, of a public-domain portrait: written only if the same network, on the reference's frames,
first gives the reference's values. Weights are drawn by their rule.
"""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import torch

from latentsync_core.evaluation.syncnet import SyncNet, lower_halves
from tests.parity.moving_portraits import moving_portraits
from tests.parity.rule_weights import fill_by_rule
from tests.shared_reference import SHARED

TARGET = Path(__file__).parents[1] / "data" / "syncnet.npz"
SOURCE = SHARED / "reference" / "syncnet"


def reference_pictures() -> torch.Tensor:
    """The reference's own lower halves (2, 48, 128, 256) in [-1, 1]."""
    frames = np.load(SOURCE / "cases.npz")["frames_lower_half_u8"]
    pictures = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255  # b f h w c -> b f c h w
    return ((pictures - 0.5) / 0.5).flatten(1, 2)


def reference_samples() -> np.ndarray:
    """The reference's wave, (30720,) int16 at 16 kHz."""
    with wave.open(str(SOURCE / "audio.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@torch.no_grad()
def main() -> None:
    facts = json.loads((SOURCE / "syncnet.json").read_text())
    full = json.loads((SHARED / "reference/keys/stable_syncnet.json").read_text())
    mel, cases = np.load(SOURCE / "mel.npz"), np.load(SOURCE / "cases.npz")
    net = fill_by_rule(SyncNet.from_config(facts["config"])).eval().double()
    torch.testing.assert_close(
        net.embed_frames(reference_pictures().double()),
        torch.from_numpy(cases["vision_embeds"]).double(),
        atol=1e-5,
        rtol=0,
    )
    np.savez_compressed(
        TARGET,
        config=json.dumps(facts["config"]),
        samples=reference_samples(),
        mel=mel["melspectrogram"].astype(np.float32),
        frame_starts=np.array(facts["frame_starts"]),
        window_starts=mel["window_starts"],
        heard=cases["audio_embeds"],
        portraits_seen=net.embed_frames(lower_halves(moving_portraits()).double()).numpy(),
        full_config=json.dumps(full["config"]["model"]),
        full_keys=json.dumps(full["keys"]),
    )
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

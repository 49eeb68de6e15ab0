"""Speech scores by silero-vad's network, where that package is installed (github.com/snakers4/silero-vad, MIT)."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from .resample import TARGET_RATE
from .speech_gate import HOP

PACKAGE = "silero_vad"
CHUNK = 512  # samples at 16 kHz that the network takes at a time, 32 ms

logger = logging.getLogger(__name__)


def load_silero() -> torch.jit.ScriptModule | None:
    """The network, on the CPU, from the file that its package carries; None where there is none that works.

    The package itself is not imported: it sets PyTorch to one thread for the whole process, and older releases need a
    torchaudio of torch's own build. Nothing is downloaded.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((file for folder in folders if (file := Path(folder) / "data" / "silero_vad.jit").is_file()), None)
    if path is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated; the package carries no other form for torch
            return torch.jit.load(str(path), map_location="cpu").eval()
    except (AttributeError, OSError, RuntimeError) as problem:
        reason = str(problem).strip().split("\n")[0]
        logger.warning("silero-vad can't be used (%s); the carried speech gate is.", reason)
        return None


@torch.inference_mode()
def silero_scores(network: torch.jit.ScriptModule, blocks: Iterable[torch.Tensor]) -> np.ndarray:
    """(T,) float32 in [0, 1], one value for every 10 ms of (n,) float32 blocks at 16 kHz."""
    network.reset_states()
    scores, held, samples = [], torch.zeros(0), 0
    for block in blocks:
        samples += len(block)
        held = torch.cat([held, block])
        whole = len(held) // CHUNK * CHUNK
        scores += [float(network(chunk[None], TARGET_RATE)) for chunk in held[:whole].split(CHUNK) if len(chunk)]
        held = held[whole:]
    if len(held):
        last = torch.nn.functional.pad(held, (0, CHUNK - len(held)))
        scores.append(float(network(last[None], TARGET_RATE)))
    middles = np.arange(-(-samples // HOP)) * HOP + HOP // 2
    return np.array(scores, np.float32)[np.minimum(middles // CHUNK, len(scores) - 1)]

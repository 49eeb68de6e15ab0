"""A U-Net compiled by torch.compile, for whole windows; without the means to compile it runs as it is, and says so."""

from __future__ import annotations

import logging
from typing import Any, cast

import torch

from ...messages import Note, NoteLevel
from ..device_memory import OUT_OF_MEMORY
from .unet import UNet

log = logging.getLogger(__name__)


class CompiledForward:
    """Stands in for a U-Net's `forward`.

    Compiling takes minutes for every shape, so that only one is compiled: whole windows, in the largest batch of a job.
    Shorter windows, and batches that are left over, run uncompiled. Padding them instead would change them, since
    statistics and attention are over all frames of a window.
    """

    def __init__(self, unet: UNet, backend: str | Any = "inductor") -> None:
        self.notes: tuple[Note, ...] = ()
        self._forward = unet.forward
        self._compiled = torch.compile(unet.forward, dynamic=False, backend=backend)
        self._failed = False
        self._frames, self._batch = 0, 0

    def begin(self, frames: int) -> None:
        """Prepares for a job whose windows have so many frames, 0 before the first one: none is compiled."""
        self._frames, self._batch = frames, 0

    def __call__(self, sample: torch.Tensor, *conditions: Any, **named: Any) -> torch.Tensor:
        batch, _, frames, *_ = sample.shape
        self._batch = max(self._batch, batch)
        if self._failed or (batch, frames) != (self._batch, self._frames):
            return self._forward(sample, *conditions, **named)
        try:
            return self._compiled(sample, *conditions, **named)
        except OUT_OF_MEMORY:
            raise
        except RuntimeError as problem:  # a compiler that is missing, or fails; a flaw of the network shows again below
            self._failed = True
            log.warning("torch.compile failed: %s", problem)
            fact = f"torch.compile failed, and the U-Net ran uncompiled ({_reason(problem)})"
            self.notes = (Note(fact, NoteLevel.WARNING),)
        return self._forward(sample, *conditions, **named)


def _reason(problem: BaseException) -> str:
    """One line of what first went wrong, which torch.compile's own errors enclose."""
    while cause := getattr(problem, "inner_exception", None) or problem.__cause__:
        problem = cause
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def compile_unet(unet: UNet, backend: str | Any = "inductor") -> UNet:
    """Has a `unet` compile itself when it first runs in a job, in place; weights and their names stay as they are.

    `backend` is as torch.compile takes it.
    """
    cast(Any, unet).forward = CompiledForward(unet, backend)
    return unet


def compiled_forward(unet: torch.nn.Module) -> CompiledForward | None:
    """What `compile_unet` put there; None for a U-Net that isn't compiled."""
    forward = unet.forward
    return forward if isinstance(forward, CompiledForward) else None

"""What sampling does when a device runs out of memory: the same window again, with less at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from ..errors import ModelError
from ..messages import Note, Remedy
from ..models.device_memory import OUT_OF_MEMORY, release_unused
from ..models.model import LatentSyncModel

Result = TypeVar("Result")


class MemorySteps:
    """How much is computed at once, lowered step by step: windows, guidance's two predictions, weights on the device.

    The precision is never lowered here: windows that are finished would not match.
    """

    def __init__(self, model: LatentSyncModel, guided: bool, window_batch: int = 1) -> None:
        plan = model.memory_plan
        self.window_batch = min(window_batch, plan.window_batch) if plan else window_batch
        self.halves_in_turn = guided and plan is not None and plan.halves_in_turn
        self.notes: list[Note] = []
        self._model, self._guided = model, guided
        self._may_offload = True

    def run(self, work: Callable[[], Result], on_retry: Callable[[], None] | None = None) -> Result:
        """What `work` returns, which reads the attributes here each time that it is called.

        Raises:
            ModelError: memory ran out with nothing left to lower.
        """
        while True:
            try:
                return work()
            except OUT_OF_MEMORY as error:
                problem = str(error)
            # Outside of the clause, whose traceback holds the tensors of the failed attempt.
            release_unused(self._model.device)
            step = self._lower()
            if step is None:
                first = problem.splitlines()[0] if problem else "no details"
                raise ModelError(
                    f"{self._model.device} has too little memory for {self._model.name}, even with as little at once "
                    f"as possible ({first})",
                    Remedy.SAVE_MEMORY,
                )
            self.notes.append(Note(f"memory ran out: {step}"))
            if on_retry:
                on_retry()

    def _lower(self) -> str | None:
        """Takes the next step, and returns what it is; None where there is none."""
        if self.window_batch > 1:
            self.window_batch = math.ceil(self.window_batch / 2)
            return f"windows at once lowered to {self.window_batch}"
        if self._guided and not self.halves_in_turn:
            self.halves_in_turn = True
            return "the two predictions of guidance are computed one after the other"
        if self._may_offload and self._model.make_room is not None:
            self._may_offload = False
            if self._model.make_room():
                return "the U-Net's weights wait in main memory"
        return None

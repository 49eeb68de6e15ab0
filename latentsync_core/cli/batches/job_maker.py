"""What a worker's process is started with; PyTorch is imported there, and not by who starts it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .batch_rows import JobSettings

if TYPE_CHECKING:
    from .batch_jobs import JobDoer


@dataclasses.dataclass(frozen=True)
class JobMaker(JobSettings):
    """Makes, in the process into which it is pickled, what does the jobs there."""

    def __call__(self) -> JobDoer:
        from .batch_jobs import JobDoer

        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        return JobDoer(self)

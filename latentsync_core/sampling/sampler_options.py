"""The options of sampling; apart from the sampler, so that the command line reads them without PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..errors import OptionError

MAX_WINDOW_FRAMES = 24  # frames: the length of the motion modules' position table
MAX_REUSE_INTERVAL = 20  # steps: all of them, as usually taken
MAX_WINDOW_BATCH = 64  # windows: more gain nothing on any card
MAX_EXPRESSION = 2.0  # times the model's own; the mouth hardly opens further beyond
MAX_MASK_GROW = 20.0  # percent of the crop's width: the mask then reaches the eyes
REUSED_PASS = 0.07  # of the U-Net's time, where its deep features are reused


class Scheduler(str, Enum):
    """How the noise is taken away, from step to step, along the schedule that the networks were trained with."""

    DDIM = "ddim"  # upstream's
    DPM_PLUS_PLUS_2M = "dpm++ 2m"  # second order (Lu et al. 2022, arXiv 2211.01095)
    UNIPC = "unipc"  # predictor and corrector (Zhao et al. 2023, arXiv 2302.04867)
    EULER = "euler"  # first order as DDIM, with which it agrees but for the last step: that ends at no noise


class Quality(str, Enum):
    """Where the settings of `QUALITY_SETTINGS` come from; see sampling/quality.py."""

    RECOMMENDED = "recommended"  # the model's own recommendation
    CUSTOM = "custom"  # the options that are given
    REFERENCE = "reference"  # upstream's solver and steps, without any shortcut
    BALANCED = "balanced"  # a third of the reference's operations, by what others report
    DRAFT = "draft"  # a sixth of them, for a first look


class ReferenceChoice(str, Enum):
    """What the reference frames, which show the networks whom to draw, show where the mouth is."""

    MODEL = "model"  # what the model was trained with: one of the others
    FILMED = "filmed"  # the frame's own mouth
    AVERAGED = "averaged"  # its mean over some seconds; see models/reference_mouth.py
    CLOSED = "closed"  # that of a frame nearby whose mouth is closed; see sampling/closed_references.py


SHORTCUTS = ("cfg_start", "cfg_end", "cfg_rescale", "reuse_interval", "reuse_change")  # no model recommends any
# Of SamplerOptions: a quality decides.
QUALITY_SETTINGS = ("steps", "cfg", "scheduler", "noise_sharing", "overlap", *SHORTCUTS)


@dataclass(frozen=True)
class WindowOptions:
    """How many frames are drawn together, and how many of them neighbouring windows share."""

    frames: int = 16  # what the networks were trained with
    overlap: int = 0  # frames drawn by both neighbours and cross-faded; costs frames / (frames - overlap) in time
    full_last: bool = True  # shift a run's last window back to full length, instead of leaving a short rest

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= MAX_WINDOW_FRAMES:
            raise OptionError(f"window is {self.frames} frames; the networks take 1 to {MAX_WINDOW_FRAMES}, best 16")
        if not 0 <= self.overlap <= self.frames // 2:
            raise OptionError(
                f"window overlap is {self.overlap} frames; use 0 to {self.frames // 2}, half of the window at most"
            )


@dataclass(frozen=True)
class SamplerOptions:
    """How faces are drawn. The defaults are upstream's where it has the setting."""

    seed: int = 1247
    steps: int = 20
    cfg: float = 1.5  # audio guidance; upstream calls it guidance_scale
    scheduler: Scheduler = Scheduler.DDIM
    noise_sharing: float = 0.5  # variance share of the noise that all frames have in common; training's value
    windows: WindowOptions = field(default_factory=WindowOptions)
    cfg_start: float = field(default=0.0, repr=False)  # share of the steps after which guidance begins
    cfg_end: float = field(default=1.0, repr=False)  # share of the steps after which it ends
    # How far guidance's contrast is brought back to the conditional prediction's (Lin et al. 2023, arXiv 2305.08891).
    cfg_rescale: float = field(default=0.0, repr=False)
    # The U-Net's deep features are computed at every so many steps and reused in between; 1 reuses nothing.
    reuse_interval: int = field(default=1, repr=False)
    # They are reused while they have changed by no more than this share, as far as measured; 0 sets no limit.
    reuse_change: float = field(default=0.0, repr=False)
    reference: bool = False  # upstream's own way: one noise tensor for all frames, one generator drawn in sequence
    # Not in repr, which is part of every patch store's key: stores from before these options still resume.
    reference_mouth: ReferenceChoice = field(default=ReferenceChoice.MODEL, repr=False)
    mask_grow: float = field(default=0.0, repr=False)  # percent of the crop's width by which the mouth mask grows
    # Windows that are sampled together; it changes results by rounding only.
    window_batch: int = field(default=1, repr=False)
    expression: float = field(default=1.0, repr=False)  # 0 mumbled, 1 as the model draws it, above exaggerated

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise OptionError(f"steps is {self.steps}; use at least 1 (20 is usual)")
        if self.steps > 1000:
            raise OptionError(f"steps is {self.steps}; the noise schedule has 1000 (20 is usual)")
        if not 1.0 <= self.cfg < math.inf:
            raise OptionError(f"cfg is {self.cfg}; use 1.0 (no guidance) or more (1.5 is usual)")
        if not 0.0 <= self.noise_sharing <= 1.0:
            raise OptionError(f"noise sharing is {self.noise_sharing}; use 0.0 to 1.0")
        if not 0.0 <= self.cfg_start <= self.cfg_end <= 1.0:
            raise OptionError(
                f"guidance is to begin after a share of {self.cfg_start:g} of the steps and to end after "
                f"{self.cfg_end:g}; use shares from 0 to 1, the first one not above the second"
            )
        if not 0.0 <= self.cfg_rescale <= 1.0:
            raise OptionError(f"the rescaling of cfg is {self.cfg_rescale}; use 0.0 (none) to 1.0")
        if not 1 <= self.reuse_interval <= MAX_REUSE_INTERVAL:
            raise OptionError(
                f"the reuse interval is {self.reuse_interval} steps; use 1 (no reuse) to {MAX_REUSE_INTERVAL}"
            )
        if not 0.0 <= self.reuse_change < math.inf:
            raise OptionError(f"the change that reuse may come to is {self.reuse_change}; use 0 (no limit) or more")
        if not 1 <= self.window_batch <= MAX_WINDOW_BATCH:
            raise OptionError(f"{self.window_batch} windows are to be sampled together; use 1 to {MAX_WINDOW_BATCH}")
        if not 0.0 <= self.mask_grow <= MAX_MASK_GROW:
            raise OptionError(
                f"the mouth mask grows by {self.mask_grow} percent of the crop's width; use 0 to {MAX_MASK_GROW:g}"
            )
        if not 0.0 <= self.expression <= MAX_EXPRESSION:
            raise OptionError(f"expression is {self.expression}; use 0 (mumbled) to {MAX_EXPRESSION:g} (exaggerated)")

    def guidance_at(self, step: int) -> float:
        """The audio guidance that denoising applies at a step, from 0 up; 1.0 needs no unconditional prediction."""
        has_cfg = self.cfg_start <= step / self.steps < self.cfg_end
        return (self.cfg if has_cfg else 1.0) * self.expression

    @property
    def overlap(self) -> int:
        """Frames that neighbouring windows share."""
        return self.windows.overlap

    @property
    def is_guided(self) -> bool:
        """Whether any step needs the unconditional prediction."""
        return any(self.guidance_at(step) != 1.0 for step in range(self.steps))

    @property
    def network_passes(self) -> float:
        """How often the U-Net runs for a window, in whole runs; where `reuse_change` ends reuse early, it is more."""
        return sum(
            (1 if self.guidance_at(step) == 1.0 else 2) * (1 if step % self.reuse_interval == 0 else REUSED_PASS)
            for step in range(self.steps)
        )

    @classmethod
    def reference_preset(cls, **changes: Any) -> SamplerOptions:
        """The preset that reproduces upstream's numbers: draws, windows and all."""
        return cls(reference=True, windows=WindowOptions(full_last=False), **changes)

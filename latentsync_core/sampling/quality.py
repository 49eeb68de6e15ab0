"""Resolves a quality into the sampler's options: the one place for command line, pipeline and nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from ..errors import ModelError, OptionError
from ..messages import Remedy
from ..models.model import LatentSyncModel
from ..models.names import one_line
from .denoising.solvers import make_scheduler, set_timesteps
from .sampler_options import QUALITY_SETTINGS, SHORTCUTS, Quality, SamplerOptions, Scheduler

# What each quality changes in a model's recommendation. None was measured on LatentSync's released weights. Their users
# report ten steps of DPM-Solver++ to look like twenty of DDIM, and features that are reused in two steps of three to
# double the speed; guidance matters least in the last steps (Kynkäänniemi et al. 2024, arXiv 2404.07724).
STEPS_OF_QUALITY: dict[Quality, dict[str, Any]] = {
    Quality.REFERENCE: {"steps": 20, "scheduler": Scheduler.DDIM},
    Quality.BALANCED: {"steps": 10, "scheduler": Scheduler.DPM_PLUS_PLUS_2M, "cfg_end": 0.8, "reuse_interval": 2},
    Quality.DRAFT: {"steps": 4, "scheduler": Scheduler.DPM_PLUS_PLUS_2M, "cfg": 1.0, "reuse_interval": 2},
}


def resolve_quality(
    options: SamplerOptions, quality: Quality, model: LatentSyncModel, explicit: Collection[str] = ()
) -> SamplerOptions:
    """The options that `quality` comes to with a model.

    No quality takes more steps than a model's makers recommend: weights that were trained for few come to worse with
    more. Where they recommend fewer, their recommendation holds as it is. Of a window shorter than the recommended
    overlap needs, half is shared.

    Args:
        options: what holds with `Quality.CUSTOM`; what isn't one of `QUALITY_SETTINGS` always does.
        explicit: those of `QUALITY_SETTINGS` that are taken from `options` whatever the quality.

    Raises:
        OptionError: an unknown quality or setting, or more steps than the model's noise schedule has.
        ModelError: the model recommends a scheduler that isn't known.
    """
    try:
        quality = Quality(quality)
    except ValueError:
        raise OptionError(f"quality is {quality!r}; use {', '.join(one.value for one in Quality)}") from None
    if unknown := set(explicit).difference(QUALITY_SETTINGS):
        raise OptionError(f"no quality decides {unknown.pop()!r}; use {', '.join(QUALITY_SETTINGS)}")
    if quality is not Quality.CUSTOM:
        settings = {name: getattr(SamplerOptions, name) for name in SHORTCUTS} | model.recommended.to_dict()
        settings["overlap"] = min(settings["overlap"], options.windows.frames // 2)
        changes = STEPS_OF_QUALITY.get(quality, {})
        if changes and changes["steps"] <= settings["steps"]:
            settings |= changes
        decided = {name: settings[name] for name in QUALITY_SETTINGS if name not in explicit}
        if "overlap" in decided:
            decided["windows"] = dataclasses.replace(options.windows, overlap=decided.pop("overlap"))
        options = dataclasses.replace(options, **decided)
    options = dataclasses.replace(options, scheduler=_scheduler(options.scheduler, model))
    set_timesteps(make_scheduler(options.scheduler, model.schedule), options.steps, model.schedule)
    return options


def quality_settings(options: SamplerOptions) -> dict[str, int | float | str]:
    """What a quality decides, as a report shows it; of `SHORTCUTS` those that are taken."""
    usual = SamplerOptions()
    changed = [name for name in SHORTCUTS if getattr(options, name) != getattr(usual, name)]
    settings = [name for name in QUALITY_SETTINGS if name not in SHORTCUTS] + changed
    return {name: getattr(options, name) for name in settings} | {"scheduler": options.scheduler.value}


def _scheduler(name: str, model: LatentSyncModel) -> Scheduler:
    try:
        return Scheduler(name)
    except ValueError:
        known = ", ".join(scheduler.value for scheduler in Scheduler)
        raise ModelError(
            f"{model.name} recommends the scheduler {one_line(repr(name))}, which this version doesn't have, only "
            f"{known}.",
            Remedy.CHOOSE_CUSTOM_QUALITY,
        ) from None

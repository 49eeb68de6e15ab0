"""Resolves a quality into the sampler's options: the one place for command line, pipeline and nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from ..errors import ModelError, OptionError
from ..messages import Remedy
from ..models.model import LatentSyncModel
from ..models.names import one_line
from .denoising.solvers import make_scheduler, set_timesteps
from .sampler_options import QUALITY_SETTINGS, Quality, SamplerOptions, Scheduler


def resolve_quality(
    options: SamplerOptions, quality: Quality, model: LatentSyncModel, explicit: Collection[str] = ()
) -> SamplerOptions:
    """The options that `quality` comes to with a model.

    Args:
        options: what holds with `Quality.CUSTOM`; seed and windows always do.
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
    if quality is Quality.RECOMMENDED:
        recommended = model.recommended.to_dict()
        options = dataclasses.replace(
            options, **{name: recommended[name] for name in QUALITY_SETTINGS if name not in explicit}
        )
    options = dataclasses.replace(options, scheduler=_scheduler(options.scheduler, model))
    set_timesteps(make_scheduler(options.scheduler, model.schedule), options.steps, model.schedule)
    return options


def quality_settings(options: SamplerOptions) -> dict[str, int | float | str]:
    """What a quality decides, as a report shows it."""
    return {name: getattr(options, name) for name in QUALITY_SETTINGS} | {"scheduler": options.scheduler.value}


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

"""A model's noise schedule: how much noise each diffusion step holds, and what the U-Net predicts there.

Its file format is diffusers' ``scheduler_config.json``. The schedule belongs to the weights: sampled on another
schedule than it was trained on, a network generates noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..required_packages import importing
from .names import one_line

if TYPE_CHECKING:
    import torch

TRAIN_TIMESTEPS = range(2, 10_000 + 1)  # what num_train_timesteps may be
# The least signal at the noisiest step for solvers that divide by it: fp16's smallest number, as diffusers has.
MIN_ALPHA_CUMPROD = 2**-24
# Keys with which only one value is supported: another one would mean another diffusion process.
FIXED_SETTINGS = {
    "clip_sample": False,  # for pixels in [-1, 1]; latents go beyond
    "thresholding": False,
    "trained_betas": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
    "use_flow_sigmas": False,
    "use_dynamic_shifting": False,
    "shift_terminal": None,
}
NEEDED_KEYS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
REMEDY = "correct the file, or take it out for the schedule of LatentSync's releases"


class BetaSchedule(str, Enum):
    """How the variance of the noise that a step adds grows from `beta_start` to `beta_end`."""

    LINEAR = "linear"
    SCALED_LINEAR = "scaled_linear"  # linear in the square root: Stable Diffusion's
    SQUARED_COSINE = "squaredcos_cap_v2"  # a cosine that ignores both ends (Nichol and Dhariwal 2021)


class PredictionType(str, Enum):
    """What the U-Net predicts."""

    EPSILON = "epsilon"  # the noise
    V = "v_prediction"  # √ᾱ · noise - √(1 - ᾱ) · clean latents (Salimans and Ho 2022, arXiv 2202.00512)
    SAMPLE = "sample"  # the clean latents


class TimestepSpacing(str, Enum):
    """Which steps of training a sampler with fewer steps takes (Lin et al. 2023, arXiv 2305.08891, table 2)."""

    LEADING = "leading"  # evenly from the least noise, not to the most
    TRAILING = "trailing"  # evenly from the most noise
    LINSPACE = "linspace"  # both ends


@dataclass(frozen=True)
class NoiseSchedule:
    """The fields of diffusers' scheduler configs that count here; the defaults are those of LatentSync 1.5 and 1.6."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: BetaSchedule = BetaSchedule.SCALED_LINEAR
    prediction_type: PredictionType = PredictionType.EPSILON
    rescale_betas_zero_snr: bool = False  # scales the noisiest step to no signal at all (Lin et al. 2023)
    timestep_spacing: TimestepSpacing = TimestepSpacing.LEADING
    steps_offset: int = 1  # added to the steps of leading spacing
    set_alpha_to_one: bool = False  # DDIM's last step ends at no noise, instead of at the first training step's

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], source: str = "The scheduler config") -> NoiseSchedule:
        """Reads a scheduler config as diffusers writes it; keys that concern a solver are ignored.

        Args:
            config: untrusted. What is missing has the default of diffusers' DDIMScheduler, but for the betas.
            source: where it comes from, as errors name it.

        Raises:
            ModelError: a key is missing, a value of the wrong kind or out of range, or the schedule can't be sampled.
        """
        for key in NEEDED_KEYS:
            if key not in config:
                raise ModelError(f"{source} lacks {key}; {REMEDY}.")
        for key, value in FIXED_SETTINGS.items():
            if config.get(key, value) != value:
                raise ModelError(
                    f"{source} sets {key} to {one_line(repr(config[key]))}; only {value!r} is supported: {REMEDY}."
                )
        settings = _DIFFUSERS_DEFAULTS | {key: config[key] for key in _READERS if key in config}
        schedule = cls(**{key: _READERS[key](key, value, source) for key, value in settings.items()})
        schedule._check_signal(source)
        return schedule

    def to_dict(self) -> dict[str, Any]:
        """The config as diffusers' DDIMScheduler takes it and `from_dict` reads it."""
        values = {
            key: value.value if isinstance(value, Enum) else value for key, value in dataclasses.asdict(self).items()
        }
        return values | {"clip_sample": False}

    def alphas_cumprod(self) -> torch.Tensor:
        """(num_train_timesteps,) float32: the signal's share of the variance, by diffusion step; 1 is no noise."""
        with importing("diffusers"):
            from diffusers.schedulers.scheduling_ddim import DDIMScheduler

        return DDIMScheduler(**self.to_dict()).alphas_cumprod

    def clean_estimate(
        self, noisy: torch.Tensor, predicted: torch.Tensor, alpha_cumprod: float | torch.Tensor
    ) -> torch.Tensor:
        """The clean latents within noisy ones, by what the U-Net predicted of them; all of any one shape.

        `alpha_cumprod`, the signal's share of the variance, may be 0, where nothing but noise is left, unless the noise
        is what was predicted.
        """
        signal, noise = alpha_cumprod**0.5, (1 - alpha_cumprod) ** 0.5
        if self.prediction_type is PredictionType.EPSILON:
            return (noisy - noise * predicted) / signal
        if self.prediction_type is PredictionType.V:
            return signal * noisy - noise * predicted
        return predicted

    def _check_signal(self, source: str) -> None:
        """ModelError unless every step holds more noise than the one before, and enough signal for the prediction."""
        if self.beta_start > self.beta_end:
            raise ModelError(
                f"{source} has a beta_start of {self.beta_start:g} above its beta_end of {self.beta_end:g}; {REMEDY}."
            )
        if self.rescale_betas_zero_snr and self.prediction_type is PredictionType.EPSILON:
            raise ModelError(
                f"{source} combines rescale_betas_zero_snr with prediction_type 'epsilon', but the noise alone doesn't "
                f"determine the picture where all is noise; {REMEDY}."
            )
        signal = self.alphas_cumprod()
        least = MIN_ALPHA_CUMPROD if self.rescale_betas_zero_snr else 0.0
        falls = bool((signal.diff() < 0).all())
        if not (falls and signal[0] < 1 and signal[-2] > least and (self.rescale_betas_zero_snr or signal[-1] > 0)):
            raise ModelError(
                f"{source} describes no usable schedule: with a beta_start of {self.beta_start:g}, a beta_end of "
                f"{self.beta_end:g} and {self.num_train_timesteps} steps the signal doesn't fall at every step, or is "
                f"gone before the last; {REMEDY}."
            )


REFERENCE_SCHEDULE = NoiseSchedule()
"""What LatentSync 1.5 and 1.6 were trained on."""

_DIFFUSERS_DEFAULTS = {  # of DDIMScheduler, for keys that a config leaves out
    "prediction_type": PredictionType.EPSILON.value,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": TimestepSpacing.LEADING.value,
    "steps_offset": 0,
    "set_alpha_to_one": True,
}


def _read_whole(allowed: range) -> Callable[[str, Any, str], int]:
    def read(key: str, value: Any, source: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise _bad_value(key, value, source, f"a whole number from {allowed[0]} to {allowed[-1]}")
        return value

    return read


def _read_beta(key: str, value: Any, source: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1:
        raise _bad_value(key, value, source, "a number between 0 and 1")
    return float(value)


def _read_switch(key: str, value: Any, source: str) -> bool:
    if not isinstance(value, bool):
        raise _bad_value(key, value, source, "true or false")
    return value


def _read_choice(kind: type[Enum]) -> Callable[[str, Any, str], Enum]:
    def read(key: str, value: Any, source: str) -> Enum:
        names = [member.value for member in kind]
        if not isinstance(value, str) or value not in names:
            raise _bad_value(key, value, source, f"one of {', '.join(names)}")
        return kind(value)

    return read


def _bad_value(key: str, value: Any, source: str, expected: str) -> ModelError:
    return ModelError(f"{source} gives {one_line(repr(value))} for {key}, not {expected}; {REMEDY}.")


_READERS: dict[str, Callable[[str, Any, str], Any]] = {
    "num_train_timesteps": _read_whole(TRAIN_TIMESTEPS),
    "beta_start": _read_beta,
    "beta_end": _read_beta,
    "beta_schedule": _read_choice(BetaSchedule),
    "prediction_type": _read_choice(PredictionType),
    "rescale_betas_zero_snr": _read_switch,
    "timestep_spacing": _read_choice(TimestepSpacing),
    "steps_offset": _read_whole(range(2)),
    "set_alpha_to_one": _read_switch,
}

"""The denoising of windows: a scheduler's steps with audio guidance over the 13-channel U-Net."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...models.noise_schedule import REFERENCE_SCHEDULE, NoiseSchedule
from ...models.unet.attention import AudioKeys
from ...models.unet.unet import UNet
from ...required_packages import importing
from ..sampler_options import SamplerOptions, Scheduler
from .feature_reuse import FeatureReuse
from .solvers import make_scheduler, set_timesteps

OnStep = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Called as ``on_step(step, predicted, latents, clean)``: the guided prediction, the latents after the step, and the
clean latents that the prediction comes to, (f, 4, h, w) each, of several windows (n, f, 4, h, w)."""


def denoise_window(
    unet: UNet,
    noise: torch.Tensor,
    mask: torch.Tensor,
    masked: torch.Tensor,
    reference: torch.Tensor,
    audio: torch.Tensor,
    steps: int,
    cfg: float,
    scheduler: Scheduler = Scheduler.DDIM,
    schedule: NoiseSchedule = REFERENCE_SCHEDULE,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
    halves_in_turn: bool = False,
) -> torch.Tensor:
    """`denoise_windows` for one window's frames, without its first dimension.

    `cfg` may lie below 1.0: then the mouth moves less than the network would have it, at 0.0 as without audio.
    """

    def on_windows_step(step: int, *states: torch.Tensor) -> None:
        if on_step:
            on_step(step, *(state[0] for state in states))

    options = SamplerOptions(steps=steps, cfg=max(cfg, 1.0), expression=min(cfg, 1.0), scheduler=Scheduler(scheduler))
    return denoise_windows(
        unet, noise[None], mask, masked[None], reference[None], audio[None], options, schedule, device,
        on_windows_step, halves_in_turn,
    )[0]  # fmt: skip


def denoise_windows(
    unet: UNet,
    noise: torch.Tensor,
    mask: torch.Tensor,
    masked: torch.Tensor,
    reference: torch.Tensor,
    audio: torch.Tensor,
    options: SamplerOptions,
    schedule: NoiseSchedule = REFERENCE_SCHEDULE,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
    halves_in_turn: bool = False,
) -> torch.Tensor:
    """Draws the latents of n windows of f frames each; none changes what another one comes to.

    Args:
        noise: (n, f, 4, h, w) float32, standard normal.
        mask: (h, w), 1 = keep, 0 = draw.
        masked: (n, f, 4, h, w) scaled latents of the crops with the mouth region blanked.
        reference: (n, f, 4, h, w) scaled latents of the whole crops.
        audio: (n, f, tokens, width).
        options: steps, scheduler, guidance and reuse of features. A step without guidance computes no unconditional
            half.
        schedule: the model's.
        device: where to compute; None: where the network's first weights are (some may wait elsewhere).
        on_step: called after every step; what it raises cancels.
        halves_in_turn: compute guidance's two predictions one after the other, in half of the memory.

    Returns:
        (n, f, 4, h, w) float32 on `device`.

    Raises:
        OptionError: the schedule can't be divided into so many steps.
    """
    with importing("einops"):
        from einops import rearrange

    weight = next(unet.parameters())
    device = weight.device if device is None else torch.device(device)
    noise_scheduler = make_scheduler(Scheduler(options.scheduler), schedule)
    set_timesteps(noise_scheduler, options.steps, schedule)

    condition = torch.cat([mask.expand(*noise.shape[:2], 1, *mask.shape), masked, reference], dim=2)  # (n, f, 9, h, w)
    condition = rearrange(condition, "n f c h w -> n c f h w").to(device, torch.float32)
    latents = rearrange(noise, "n f c h w -> n c f h w").to(device, torch.float32) * noise_scheduler.init_noise_sigma
    network = _Network(unet, condition, audio.flatten(0, 1).to(device, weight.dtype), options, halves_in_turn)

    for step, timestep in enumerate(noise_scheduler.timesteps):
        guidance = options.guidance_at(step)
        if guidance != 1.0:
            unconditional, conditional = network(latents, step, timestep.to(device), 2)
            predicted = guided(unconditional, conditional, guidance, options.cfg_rescale)
        else:
            predicted = network(latents, step, timestep.to(device), 1)[0]
        clean = None
        if on_step:
            alpha_cumprod = float(noise_scheduler.alphas_cumprod[int(timestep)])
            clean = schedule.clean_estimate(latents, predicted, alpha_cumprod)
        latents = noise_scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        if on_step and clean is not None:
            on_step(step, *(state.transpose(1, 2) for state in (predicted, latents, clean)))
    return rearrange(latents, "n c f h w -> n f c h w")


def guided(unconditional: torch.Tensor, conditional: torch.Tensor, cfg: float, rescale: float = 0.0) -> torch.Tensor:
    """Classifier-free guidance over windows (n, ...).

    `rescale` brings the standard deviation of each window so far back to the conditional prediction's, from 0 (not at
    all) to 1 (Lin et al. 2023, arXiv 2305.08891, section 3.4).
    """
    result = unconditional + cfg * (conditional - unconditional)
    if rescale:
        spread, wanted = (each.flatten(1).std(1) for each in (result, conditional))
        factor = torch.lerp(torch.ones_like(spread), wanted / spread, rescale)
        result = result * factor.view(-1, *[1] * (result.ndim - 1))
    return result


class _Network:
    """The U-Net over the windows of a batch, with what stays the same from step to step."""

    def __init__(
        self, unet: UNet, condition: torch.Tensor, audio: torch.Tensor, options: SamplerOptions, halves_in_turn: bool
    ) -> None:
        """`condition` is (n, 9, f, h, w), `audio` (n·f, tokens, width)."""
        self._unet = unet
        self._condition = condition
        self._audio_keys = unet.audio_keys(audio)
        self._dtype = audio.dtype
        self._halves_in_turn = halves_in_turn
        self._reuse = None
        if options.reuse_interval > 1:
            self._reuse = [FeatureReuse(options.reuse_interval, options.reuse_change) for _ in condition]

    def __call__(self, latents: torch.Tensor, step: int, timestep: torch.Tensor, halves: int) -> torch.Tensor:
        """The predictions (halves, n, 4, f, h, w) float32 for latents (n, 4, f, h, w): of the conditional half, or of
        both, the unconditional one first."""
        windows = list(range(len(latents)))
        if self._reuse is None:
            sample = self._sample(latents, windows, halves)
            parts = self._parts(sample, self._audio_keys, halves)
            predicted = torch.cat([self._unet(part, timestep, keys) for part, keys in parts])
            return predicted.float().unflatten(0, (halves, -1))
        predicted = latents.new_empty(halves, *latents.shape)
        due = [window for window in windows if self._reuse[window].is_due(step, halves)]
        reusing = [window for window in windows if window not in due]
        if due:
            predicted[:, due] = self._predict(latents, due, step, timestep, halves)
        if reusing:
            kept = [self._reuse[window].features(halves) for window in reusing]
            deep = torch.cat([features[half] for half in range(halves) for features in kept])
            predicted[:, reusing] = self._predict(latents, reusing, step, timestep, halves, deep)
        return predicted

    def _predict(
        self,
        latents: torch.Tensor,
        windows: list[int],
        step: int,
        timestep: torch.Tensor,
        halves: int,
        deep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Of some windows, from `deep` features, or from new ones that are then kept."""
        sample = self._sample(latents, windows, halves)
        parts = self._parts(sample, self._keys_of(windows, sample.shape[2]), halves)
        reused = [None] * len(parts) if deep is None else deep.chunk(len(parts))
        done = [
            self._unet.predict(part, timestep, keys, kept) for (part, keys), kept in zip(parts, reused, strict=True)
        ]
        predicted, features = (torch.cat(each) for each in zip(*done, strict=True))
        if deep is None and self._reuse:
            of_halves = features.unflatten(0, (halves, len(windows), -1))  # (halves n f) c h w
            for place, window in enumerate(windows):
                self._reuse[window].keep(step, of_halves[:, place].unbind())
        return predicted.float().unflatten(0, (halves, -1))

    def _parts(
        self, sample: torch.Tensor, keys: tuple[AudioKeys, ...], halves: int
    ) -> list[tuple[torch.Tensor, tuple[AudioKeys, ...]]]:
        """What the network takes at once: all, or guidance's two halves one after the other."""
        if halves == 1 or not self._halves_in_turn:
            return [(sample, keys)]
        silent = tuple(AudioKeys(one.keys[:0], one.values[:0], one.without_audio) for one in keys)
        return list(zip(sample.chunk(2), (silent, keys), strict=True))

    def _sample(self, latents: torch.Tensor, windows: list[int], halves: int) -> torch.Tensor:
        sample = torch.cat([latents[windows], self._condition[windows]], dim=1)  # (n, 13, f, h, w)
        return sample.to(self._dtype).repeat(halves, 1, 1, 1, 1)

    def _keys_of(self, windows: list[int], frames: int) -> tuple[AudioKeys, ...]:
        if len(windows) == len(self._condition):
            return self._audio_keys
        pictures = [window * frames + frame for window in windows for frame in range(frames)]
        return tuple(AudioKeys(one.keys[pictures], one.values[pictures], one.without_audio) for one in self._audio_keys)

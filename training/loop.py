"""The loop that every training here runs in: a budget, one falling learning rate, averaged weights, checkpoints.

Stopped at any time, a run goes on from its last checkpoint; on one thread, with a number of steps in place of minutes,
two runs of the same seed give the same bits, interrupted or not. accelerate runs it, on a GPU where there is one, or in
several processes: on a CPU two of one thread each train a third faster than one of two threads. Each computes its share
of a step's batch, then gradients are averaged.
"""

from __future__ import annotations

import argparse
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from latentsync_core.errors import OptionError
from latentsync_core.models.checkpoints.weights_file import read_content

WARMUP_STEPS = 100  # steps in which the learning rate rises
MIN_LR_FACTOR = 0.01  # of the learning rate, at the end
MAX_GRAD_NORM = 10.0  # gradients are clipped to this norm
WEIGHT_DECAY = 1e-3
LOG_INTERVAL = 100  # steps

logger = logging.getLogger(__name__)
# The network (bare), the step's number, how much of the way is done, the device: the loss and its parts to report.
StepLoss = Callable[[nn.Module, int, float, torch.device], "tuple[Tensor, dict[str, float]]"]


@dataclass(frozen=True)
class Budget:
    """How long and how fast. The learning rate falls along a cosine over `steps`, or over `minutes` of work."""

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 1.5e-3
    ema_decay: float = 0.995  # share of the averaged weights that a step leaves
    seed: int = 0
    checkpoint_seconds: float = 120
    precision: str = "no"  # or "bf16", of accelerate

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise OptionError("The training's length is either a number of steps or of minutes, not both or neither.")

    def fraction_done(self, step: int, seconds: float) -> float:
        """How much of the training is done, 0 to 1, after so many steps in so many seconds."""
        done = step / self.steps if self.steps is not None else seconds / (self.minutes * 60)
        return min(done, 1.0)


class TrainingState:
    """What accelerate keeps in a checkpoint beside the network's and the optimizer's state."""

    def __init__(self, network: nn.Module, ema_decay: float) -> None:
        self.step, self.seconds = 0, 0.0
        self._averaging = ema_decay
        self.ema_weights = {key: value.detach().clone() for key, value in network.state_dict().items()}

    def update_ema(self, network: nn.Module) -> None:
        """Moves the averaged weights, which are the ones to be used, towards the network's."""
        share = 1 - min(self._averaging, (1 + self.step) / (10 + self.step))
        for key, value in network.state_dict().items():
            self.ema_weights[key].lerp_(value, share)

    def averaged(self) -> dict[str, Tensor]:
        """The averaged weights, float32 on the CPU."""
        return {key: value.float().cpu() for key, value in self.ema_weights.items()}

    def state_dict(self) -> dict:
        return {"step": self.step, "seconds": self.seconds, "averaged": self.ema_weights}

    def load_state_dict(self, state: dict) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        for key, value in state["averaged"].items():
            self.ema_weights[key].copy_(value)


def fit(
    network: nn.Module,
    loss_at: StepLoss,
    budget: Budget,
    run: Path | None = None,
    start: Mapping[str, Tensor] | None = None,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
    on_weights: Callable[[dict[str, Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains `network`; returns the averaged weights, in float32 on the CPU.

    With a folder `run` it writes checkpoints there and goes on from one that is there; otherwise it begins with the
    weights `start`, or those that the network has. `stop_after` ends it early, at that step, as an interruption would.
    `on_progress(fraction done, parts of the loss)` is called after every step; `on_weights(averaged weights)` with
    every checkpoint and at the end, in the main process: a machine that is taken away has written what it came to.
    """
    accelerator = Accelerator(mixed_precision=budget.precision)
    if start:
        network.load_state_dict(start)
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, budget.learning_rate, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY)
    network, optimizer = accelerator.prepare(network, optimizer)
    unwrapped = accelerator.unwrap_model(network, keep_fp32_wrapper=False)
    progress = TrainingState(unwrapped, budget.ema_decay)
    accelerator.register_for_checkpointing(progress)
    checkpoint_folder = (
        next((path for path in (run / "checkpoint", run / "checkpoint.old") if path.exists()), None) if run else None
    )
    if checkpoint_folder:
        accelerator.load_state(str(checkpoint_folder))
        logger.info("going on from step %d, %.1f minutes", progress.step, progress.seconds / 60)

    def keep() -> None:
        if run:
            _save_checkpoint(accelerator, run)
        if on_weights and accelerator.is_main_process:
            on_weights(progress.averaged())

    before, started = progress.seconds, time.monotonic()
    saved_at = before
    while (fraction_done := budget.fraction_done(progress.step, progress.seconds)) < 1 and progress.step != stop_after:
        warmup = min(1, (progress.step + 1) / WARMUP_STEPS)
        rate = budget.learning_rate * warmup * (MIN_LR_FACTOR + (1 - MIN_LR_FACTOR) * _cosine_decay(fraction_done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with accelerator.autocast():
            loss, parts = loss_at(unwrapped, progress.step, fraction_done, accelerator.device)
        accelerator.backward(loss)
        elapsed = before + time.monotonic() - started
        if accelerator.num_processes > 1:
            elapsed = _average(accelerator, weights, elapsed)
        accelerator.clip_grad_norm_(weights, MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        progress.step += 1
        progress.seconds = elapsed
        progress.update_ema(unwrapped)
        if on_progress:
            on_progress(budget.fraction_done(progress.step, progress.seconds), parts)
        if progress.seconds - saved_at > budget.checkpoint_seconds:
            keep()
            saved_at = progress.seconds
    keep()
    return progress.averaged()


def load_ema_weights(run: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's checkpoint, float32 on the CPU, to be looked at while it goes on."""
    path = run / "checkpoint" / "custom_checkpoint_0.pkl"
    if not path.exists():
        raise OptionError(f"{run} has no checkpoint.")
    return read_content(path, "train again")["averaged"]


def reporter() -> Callable[[float, dict[str, float]], None]:
    """An `on_progress` that logs the means of every hundred steps."""
    sums: dict[str, float] = {}
    count = 0

    def report(fraction_done: float, parts: dict[str, float]) -> None:
        nonlocal count
        count += 1
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + value
        if count % LOG_INTERVAL == 0:
            logger.info(
                "%.1f%%: %s", 100 * fraction_done, ", ".join(f"{k} {v / LOG_INTERVAL:.4f}" for k, v in sums.items())
            )
            sums.clear()

    return report


def fast_autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for the layers that bear it, where the device computes in it; a CPU that only emulates it is ten times
    slower than in float32."""
    native = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=native)


def add_arguments(parser: argparse.ArgumentParser, run: Path, minutes: float, learning_rate: float) -> None:
    """The options that every training has on its command line; `budget_from` reads them."""
    parser.add_argument("--minutes", type=float, help=f"of training; {minutes:g} unless --steps is given")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--run", type=Path, default=run, help="folder for the checkpoint; one that is there goes on")
    parser.add_argument("--from", dest="start", type=Path, help="weights to begin with where there is no checkpoint")
    parser.add_argument("--precision", choices=("no", "bf16"), default="no", help="of the layers that bear it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.set_defaults(default_minutes=minutes)


def budget_from(options: argparse.Namespace, ema_decay: float = Budget.ema_decay) -> Budget:
    """Begins the log, sets the threads, and gives the budget that the command line asks for."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    minutes = options.minutes if options.steps is not None or options.minutes is not None else options.default_minutes
    return Budget(
        options.steps, minutes, options.learning_rate, ema_decay, options.seed, precision=options.precision
    )  # fmt: skip


def _cosine_decay(fraction_done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * fraction_done))


def _average(accelerator: Accelerator, weights: list[nn.Parameter], seconds: float) -> float:
    """Averages gradients over all processes, in place; returns their mean of `seconds`, so that all end together."""
    gradients = [weight.grad.flatten() for weight in weights]
    flat = accelerator.reduce(torch.cat([*gradients, gradients[0].new_tensor([seconds])]), "mean")
    for weight, gradient in zip(weights, flat[:-1].split([weight.numel() for weight in weights]), strict=True):
        weight.grad.copy_(gradient.view_as(weight))
    return float(flat[-1])


def _save_checkpoint(accelerator: Accelerator, run: Path) -> None:
    """Replaces the checkpoint by one of now; an interruption leaves one of the two whole."""
    place, new, old = run / "checkpoint", run / "checkpoint.new", run / "checkpoint.old"
    if accelerator.is_main_process:
        shutil.rmtree(new, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(new))
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)

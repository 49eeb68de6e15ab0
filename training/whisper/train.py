"""Tunes Whisper's last blocks to predict the mouth's shape: ``python -m training.whisper.train`` writes the weights.

Whisper's states of a voice hold the mouth that speaks it: a small network that reads several rows in their order finds
the opening at a correlation of 0.94 (LOG.md). The U-Net's cross-attention takes a frame's ten rows as a set, without
their order, and came to 0.88. So the last two blocks, whose attention spans the whole recording, learn to put the mouth
of a row's own time into that row: along eight fixed directions of the last level's states, one for each of
`visemes.PARAMETERS`, several times as long as a channel's own size. The U-Net then needs a frame's own rows alone
(`audio_rows` of its config). The loss ignores all else in the states; the first levels are unchanged.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from latentsync_core.models.loading.bundle import whisper_dims, whisper_state
from latentsync_core.models.whisper.encoder import ROWS_PER_SECOND, WhisperEncoder

from .. import loop, paths
from ..held_out import held_out_performances
from ..synthetic.speech.performance import Performance
from ..synthetic.speech.visemes import PARAMETERS
from ..takes import SECONDS, perform_take
from .mouth_directions import SCALE_VOICES, measure_channel_rms, mouth_directions
from .recordings import Recordings, make_recordings, mouth_rows
from .tiny import load_whisper_tiny, save_whisper

OUTPUT = paths.WEIGHTS / "whisper.safetensors"
RUN = paths.RUNS / "whisper"
TUNED_BLOCKS = 2  # of the encoder's, the last ones
DROPOUT = 0.1
LEARNING_RATE = 3e-4
AVERAGING = 0.99
ORDERS = 2  # of the voices, each an epoch's recordings
OPENING_WEIGHT = 4.0  # of the opening's squared error, beside 1 of each other parameter
LENGTHS = (6.0, *[3.0] * (len(PARAMETERS) - 1))  # of a parameter's deviation along its direction, in channels' sizes
VOICES = 1440  # takes that it is trained with
FIRST_CHECKED, CHECKED_VOICES = 40, 20  # of the test split: none that a figure is of


class MouthRegressor(nn.Module):
    """The last blocks of a Whisper encoder, and the mouth's shape along fixed directions of their states."""

    def __init__(self, encoder: WhisperEncoder, channel_rms: Tensor, mean: Tensor, deviation: Tensor) -> None:
        """`channel_rms` (width,) of the untuned states; `mean` and `deviation` (8,) of the mouth's parameters."""
        super().__init__()
        self.blocks = copy.deepcopy(encoder.encoder.layers[-TUNED_BLOCKS:]).requires_grad_()
        for block in self.blocks:
            block.dropout = DROPOUT
        reader = mouth_directions(encoder.width) / torch.tensor(LENGTHS) / channel_rms[:, None]
        self.register_buffer("reader", reader, persistent=False)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """(n, rows, 8): the mouths, as multiples of their deviation from the mean, of states that enter the blocks."""
        for block in self.blocks:
            states = block(states, attention_mask=None)
            states = states[0] if isinstance(states, tuple) else states
        return states @ self.reader


def make_regressor(encoder: WhisperEncoder, untuned: WhisperEncoder, voices: Sequence[Performance]) -> MouthRegressor:
    """That of an encoder, tuned or not, which is trained on these voices."""
    mouths = torch.from_numpy(np.concatenate([mouth_rows(voice, SECONDS * ROWS_PER_SECOND) for voice in voices]))
    channel_rms = measure_channel_rms(untuned, [voice.waveform for voice in voices[:SCALE_VOICES]])
    return MouthRegressor(encoder, channel_rms, mouths.mean(0), mouths.std(0))


def checked_recordings(encoder: WhisperEncoder) -> Recordings:
    """Voices of the test split that no figure of the U-Net is of, each alone."""
    voices = held_out_performances(CHECKED_VOICES, SECONDS, FIRST_CHECKED)
    return make_recordings(encoder, voices, encoder.levels - 1 - TUNED_BLOCKS, most=1)


def mouth_loss(regressor: MouthRegressor, states: Tensor, mouths: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The weighted squared error of the mouths, in their variance, over the rows that have one; its parts."""
    wanted = (mouths - regressor.mean) / regressor.deviation
    error = torch.where(wanted.isfinite(), regressor(states) - wanted, 0).square().sum((0, 1))
    error = error / mouths[..., 0].isfinite().sum()
    weights = torch.ones(len(PARAMETERS)).to(error)
    weights[PARAMETERS.index("opening")] = OPENING_WEIGHT
    total = (error * weights).sum() / weights.sum()
    return total, {"loss": total.item(), "opening": error[0].item()}


def train(
    encoder: WhisperEncoder,
    regressor: MouthRegressor,
    recordings: Recordings,
    budget: loop.Budget,
    run: Path | None = None,
    count: int = 2,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
    on_encoder: Callable[[WhisperEncoder], None] | None = None,
) -> WhisperEncoder:
    """Trains the regressor on `count` recordings a step; returns the encoder with its averaged blocks."""

    def loss_at(network: nn.Module, step: int, done: float, device: torch.device) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng((15487601, budget.seed, step))
        chosen = torch.from_numpy(rng.choice(len(recordings), count, replace=len(recordings) < count))
        torch.manual_seed(int(rng.integers(2**31)))  # of the dropout, the same where a run goes on
        states = recordings.states[chosen].float().to(device)
        return mouth_loss(network, states, recordings.mouths[chosen].to(device))

    def write(state: dict[str, Tensor]) -> None:
        on_encoder(with_blocks(encoder, state))

    state = loop.fit(regressor.train(), loss_at, budget, run, None, None, on_progress, write if on_encoder else None)
    return with_blocks(encoder, state)


def with_blocks(encoder: WhisperEncoder, state: Mapping[str, Tensor]) -> WhisperEncoder:
    """A copy of the encoder with the blocks of a `MouthRegressor`'s state."""
    tuned = copy.deepcopy(encoder)
    blocks = {key.removeprefix("blocks."): value for key, value in state.items()}
    tuned.encoder.layers[-TUNED_BLOCKS:].load_state_dict(blocks)
    return WhisperEncoder.from_openai({"dims": whisper_dims(tuned), "model_state_dict": whisper_state(tuned)})


def agreement(regressor: MouthRegressor, recordings: Recordings) -> dict[str, float]:
    """How well the regressor reads recordings: median correlation of the opening in one, and its slope over all."""
    predicted, true = [], []
    regressor.eval()
    with torch.no_grad():
        for states, mouths in zip(recordings.states, recordings.mouths, strict=True):
            known = mouths[:, 0].isfinite()
            predicted.append(regressor(states[None].float())[0, known, 0].numpy())
            true.append(mouths[known, 0].numpy())
    regressor.train()
    correlation = np.median([np.corrcoef(*pair)[0, 1] for pair in zip(predicted, true, strict=True)])
    slope = np.polyfit(np.concatenate(true), np.concatenate(predicted) * float(regressor.deviation[0]), 1)[0]
    return {"correlation": float(correlation), "slope": float(slope)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, RUN, minutes=20, learning_rate=LEARNING_RATE)
    parser.add_argument("--voices", type=int, default=VOICES, help="takes whose voices it is trained with")
    parser.add_argument("--batch", type=int, default=2, help="recordings of a step, of up to 30 s each")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    options = parser.parse_args()
    budget = loop.budget_from(options, AVERAGING)
    encoder = load_whisper_tiny()
    voices = [perform_take(number) for number in range(options.voices)]
    regressor = make_regressor(encoder, encoder, voices)
    checked = checked_recordings(encoder)
    level = encoder.levels - 1 - TUNED_BLOCKS
    made = [make_recordings(encoder, voices, level, seed) for seed in range(ORDERS)]
    recordings = Recordings(torch.cat([one.states for one in made]), torch.cat([one.mouths for one in made]))
    loop.logger.info("%d recordings of %d voices", len(recordings), len(voices))

    def keep(tuned: WhisperEncoder) -> None:
        save_whisper(tuned, options.out)
        found = agreement(regressor, checked)
        loop.logger.info("other voices: correlation %(correlation).3f, slope %(slope).2f", found)

    train(encoder, regressor, recordings, budget, options.run, options.batch, loop.reporter(), keep)


if __name__ == "__main__":
    main()

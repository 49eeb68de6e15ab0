"""How well the tuned Whisper predicts unknown voices' mouths: ``python -m training.whisper.measure``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from ..takes import perform_take
from .tiny import WEIGHTS, load_whisper, load_whisper_tiny
from .train import VOICES, agreement, checked_recordings, make_regressor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--voices", type=int, default=VOICES, help="those that it was trained with")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tuned, untuned = load_whisper(options.weights), load_whisper_tiny()
    regressor = make_regressor(tuned, untuned, [perform_take(number) for number in range(options.voices)])
    print(json.dumps(agreement(regressor, checked_recordings(tuned)), indent=1))


if __name__ == "__main__":
    main()

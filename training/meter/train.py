"""Trains the mouth-opening meter on rendered people: ``python -m training.meter.train`` writes its weights.

Mouths follow random strings of sounds, so no voice and no espeak-ng is needed; a third of them is drawn free of all
that speech ties together, so that the jaw, the mouth's width or its teeth can't stand for the opening. The people are
those of the training seeds; the meter is validated on others (`python -m training.figures meter`).
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from latentsync_core.models.checkpoints.weights_file import read_content

from ..synthetic.backdrop import backdrop
from ..synthetic.crops import RESOLUTION, aligned_crop
from ..synthetic.degrade import augment_crops
from ..synthetic.head.identity import sample_identity
from ..synthetic.head.light import sample_light
from ..synthetic.head.motion import HeadMotion
from ..synthetic.head.mouth import MouthShape
from ..synthetic.head.painter import Painter
from ..synthetic.scenes.scene import Actor, HeadPath, head_state_at
from ..synthetic.speech.performance import Performance, Voice, sample_articulation
from ..synthetic.speech.visemes import TARGETS, MouthMotion, Sound
from .network import OUTPUT_SCALE, WEIGHTS, MouthMeter

FRAME = 208  # pixels a side of the rendered frames
RANDOM_MOUTH_SHARE = 0.35  # of the mouths, whose parts are independent
SPACING = 0.37  # seconds between the frames taken of a person
FIRST_SEED = 100_000  # of the people: training seeds, none of which a speaking clip uses

logger = logging.getLogger(__name__)


def random_articulation(seed: int, seconds: float) -> MouthMotion:
    """A mouth that forms random sounds and pauses."""
    rng = np.random.default_rng((15487469, seed))
    sounds, at = [], 0.0
    while at < seconds:
        length = rng.uniform(0.04, 0.22)
        key = "" if rng.random() < 0.08 else str(rng.choice(list(TARGETS)))
        length = rng.uniform(0.2, 0.6) if not key else length
        sounds.append(Sound(key, at, at + length, bool(rng.random() < 0.3)))
        at += length
    return MouthMotion(sounds, sample_articulation(seed))


def random_mouth_shape(rng: np.random.Generator) -> MouthShape:
    """A mouth whose parts move without regard to each other; closed in one of five."""
    opening = float(rng.uniform(0.01, 0.36)) if rng.random() < 0.8 else 0.0
    low, high = (0.0, 0.0, 0.65, 0.0, 0.0, 0.0, 0.0, 0.0, -0.3), (1.0, 0.3, 1.2, 1.0, 1.0, 1.0, 0.6, 1.0, 0.7)
    press, jaw, width, rounding, upper, lower_share, lower, tongue, smile = (float(v) for v in rng.uniform(low, high))
    lower *= lower_share
    return MouthShape(opening, jaw, width, rounding, press, upper, lower, tongue, smile)


def person_crops(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` aligned crops of the person of `seed` (n, 3, 128, 128) in [0, 1], and the true openings (n,)."""
    rng = np.random.default_rng((15487477, seed))
    seconds = count * SPACING
    speech = Performance(Voice("", ""), (), (), np.zeros(1, np.float32), random_articulation(seed, seconds))
    track = HeadPath((0.46, 0.5), (0.54, 0.54), rng.uniform(0.2, 0.34), rng.uniform(0.2, 0.34))
    facing = tuple(rng.uniform(-1, 1, 3) * (0.35, 0.15, 0.15))
    actor = Actor(sample_identity(seed), speech, HeadMotion(seed, seconds, 1.0, facing), track)
    light = sample_light(seed)
    behind, painter = backdrop(seed, FRAME, FRAME, light.warmth), Painter(actor.person, light)
    crops, openings = [], []
    for index in range(count):
        frame = behind.copy()
        head_state = head_state_at(actor, index * SPACING, index / max(count - 1, 1), FRAME, FRAME)
        if rng.random() < RANDOM_MOUTH_SHARE:
            head_state = replace(head_state, mouth=random_mouth_shape(rng))
        truth = painter.paint(frame, head_state)
        points = truth.three_points + rng.normal(0, 0.012, (3, 2)) * truth.head_state.pose.scale
        crops.append(aligned_crop(frame, points.astype(np.float32)))
        openings.append(truth.opening)
    return torch.stack(crops), torch.tensor(openings)


def collect(people: int, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops as bytes (N, 3, 128, 128), and openings (N,), of the first `people` training people."""
    crops = torch.empty(people * each, 3, RESOLUTION, RESOLUTION, dtype=torch.uint8)
    openings = torch.empty(people * each)
    for index in range(people):
        found, true = person_crops(FIRST_SEED + index, each)
        crops[index * each : (index + 1) * each] = (found * 255).round().byte()
        openings[index * each : (index + 1) * each] = true
        if index % 100 == 99:
            logger.info("%d of %d people drawn", index + 1, people)
    return crops, openings


def train(crops: torch.Tensor, openings: torch.Tensor, epochs: int, seed: int = 0) -> MouthMeter:
    """Fits a meter; mirrored and disturbed crops, a robust loss, one cycle of the learning rate."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    meter = MouthMeter()
    optimizer = torch.optim.AdamW(meter.parameters(), 2e-3, weight_decay=0.02)
    batch = 64
    steps = epochs * (len(crops) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2.5e-3, steps)
    for epoch in range(epochs):
        order = rng.permutation(len(crops))
        total = 0.0
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            seen = augment_crops(crops[chosen].float() / 255, rng)
            if rng.random() < 0.5:
                seen = seen.flip(-1)
            loss = torch.nn.functional.smooth_l1_loss(
                meter(seen) * OUTPUT_SCALE, openings[chosen] * OUTPUT_SCALE, beta=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        logger.info("epoch %d of %d: loss %.5f", epoch + 1, epochs, total / (len(order) // batch))
    return meter


def main() -> None:
    """Draws the people, trains, writes the weights in half precision."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=600)
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--cache", type=Path, help="keep the drawn crops in this file")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if options.cache and options.cache.exists():
        crops, openings = read_content(options.cache, "remove it, and the crops are drawn again")
    else:
        crops, openings = collect(options.people, options.each)
        if options.cache:
            torch.save((crops, openings), options.cache)
    meter = train(crops, openings, options.epochs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.half() for key, value in meter.state_dict().items()}, options.out)


if __name__ == "__main__":
    main()

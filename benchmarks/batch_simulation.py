"""How long a film and a list of shots would take on many workers: python -m benchmarks.batch_simulation MEASURED.json

The lengths of shots and the seconds a frame of each stage come from a real run (`python -m benchmarks.batch film >
MEASURED.json`). Workers take the next job or part when they are free, in the order in which a batch hands them out.
Not simulated: the network, a shared disk that gets slow, and workers of different speed. The seconds are those of the
machine that measured; shares of the ideal carry over to others as far as the ratio of the stages does.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from latentsync_core.film_parts import PART_SECONDS

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SHOWN = (8, 64, 512)  # workers in the printed table
FPS = 25
WIDTH, HEIGHT, MARGIN, TEXT_SIZE = 900, 560, 70, 15  # pixels of the plot
COLORS = ((200, 60, 40), (40, 90, 200))


@dataclass(frozen=True)
class Costs:
    """Seconds on one worker, as measured."""

    model: float  # loading it, once a worker
    job: float  # that a job or part takes beside its frames
    shots: float  # a frame of looking for cuts
    faces: float  # a frame of tracking
    voice: float  # a frame's features
    sampling: float  # a frame
    compositing: float  # a frame

    @property
    def whole(self) -> float:
        """A frame of a job that one worker does."""
        return self.faces + self.voice + self.sampling + self.compositing


def main() -> None:
    """Prints one JSON object, and draws benchmarks/results/batch_scaling.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path, help="what benchmarks.batch film printed")
    parser.add_argument("--film-minutes", type=float, default=90.0)
    parser.add_argument("--shots", type=int, default=2000, help="of the list, with the film's lengths")
    parser.add_argument("--picture", type=Path, default=Path(__file__).parent / "results" / "batch_scaling.png")
    options = parser.parse_args()
    measured = json.loads(options.measured.read_text("utf-8"))
    costs, lengths = Costs(**measured["costs"]), measured["shots"]
    rng = random.Random(0)
    film = _film_shots(lengths, round(options.film_minutes * 60 * FPS), rng)
    shots = [rng.choice(lengths) for _ in range(options.shots)]
    seconds = {
        f"one film of {options.film_minutes:g} minutes, in parts": {
            count: film_seconds(film, costs, count) for count in WORKERS
        },
        f"{options.shots} shots, a row each": {count: list_seconds(shots, costs, count) for count in WORKERS},
    }
    print(json.dumps({name: _table(by_count) for name, by_count in seconds.items()}, indent=1))
    _draw(seconds, options.picture)


def list_seconds(frames: Sequence[int], costs: Costs, workers: int) -> float:
    """A list of jobs, the next one to whoever is free."""
    return max(_handed_out([costs.job + count * costs.whole for count in frames], [costs.model] * workers))


def film_seconds(shots: Sequence[int], costs: Costs, workers: int) -> float:
    """One film: cuts, tracking in parts of whole shots, persons and voice, sampling in parts, writing."""
    frames, part = sum(shots), round(PART_SECONDS * FPS)
    now = costs.job + frames * costs.shots
    tracked = [costs.job + count * costs.faces for count in _parts_of_shots(shots, part)]
    now = max(_handed_out(tracked, [now] * workers))
    now += costs.model + costs.job + frames * costs.voice
    sampled = [costs.job + min(part, frames - first) * costs.sampling for first in range(0, frames, part)]
    # The worker that made the voice's features has the model by now.
    now = max(_handed_out(sampled, [now, *[now + costs.model] * (workers - 1)]))
    return now + costs.job + frames * costs.compositing


def _handed_out(jobs: Sequence[float], free_at: list[float]) -> list[float]:
    """When each worker that got a job is free again."""
    heap, used = [(at, number) for number, at in enumerate(free_at)], {}
    heapq.heapify(heap)
    for seconds in jobs:
        at, number = heapq.heappop(heap)
        used[number] = at + seconds
        heapq.heappush(heap, (at + seconds, number))
    return list(used.values())


def _parts_of_shots(shots: Sequence[int], part: int) -> list[int]:
    parts, current = [], 0
    for count in shots:
        current += count
        if current >= part:
            parts.append(current)
            current = 0
    return [*parts, current] if current else parts


def _film_shots(lengths: Sequence[int], frames: int, rng: random.Random) -> list[int]:
    shots: list[int] = []
    while sum(shots) < frames:
        shots.append(rng.choice(lengths))
    return shots


def _table(by_count: dict[int, float]) -> dict[str, dict[str, float]]:
    return {
        f"{count} workers": {
            "hours": round(by_count[count] / 3600, 2),
            "times one worker": round(by_count[1] / by_count[count], 1),
            "share of the ideal": round(by_count[1] / by_count[count] / count, 2),
        }
        for count in (1, *SHOWN)
    }


def _draw(seconds: dict[str, dict[int, float]], path: Path) -> None:
    """Speed against one worker over the number of workers, both logarithmic, with the ideal as a grey line."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    draw.font = ImageFont.load_default(TEXT_SIZE)
    steps = len(WORKERS) - 1

    def place(count: float, speed: float) -> tuple[float, float]:
        across, up = math.log2(count), math.log2(max(speed, 1.0))
        return MARGIN + across / steps * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - up / steps * (HEIGHT - 2 * MARGIN)

    for count in WORKERS:
        (x, bottom), (left, y) = place(count, 1), place(1, count)
        draw.line([(x, bottom), (x, MARGIN)], (235, 235, 235))
        draw.line([(left, y), (WIDTH - MARGIN, y)], (235, 235, 235))
        draw.text((x - 8, bottom + 8), str(count), "black")
        draw.text((left - 30, y - 6), str(count), "black")
    draw.line([place(1, 1), place(WORKERS[-1], WORKERS[-1])], (170, 170, 170), 2)
    for number, ((name, by_count), color) in enumerate(zip(seconds.items(), COLORS, strict=True)):
        draw.line([place(count, by_count[1] / by_count[count]) for count in WORKERS], color, 3)
        draw.text((MARGIN + 14, MARGIN + 12 + 18 * number), name, color)
    draw.text((MARGIN + 14, MARGIN + 48), "the ideal", (130, 130, 130))
    draw.text((WIDTH // 2 - 30, HEIGHT - 30), "workers", "black")
    draw.text((8, 20), "times as fast as one worker", "black")
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main()

"""One campaign: so many mutated inputs of every kind in turn, each in a child of this one warm process."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.fuzz.children import Ending, Outcome, run_in_child
from tests.fuzz.mutations import mutated
from tests.fuzz.readers import reader_of
from tests.fuzz.seeds import hostile_files, make_seeds


@dataclass(frozen=True)
class Tried:
    """One input and how reading it ended."""

    name: str  # of the seed file, below its folder
    seed: int | None  # of the mutation; None for a file as it is
    ending: Ending

    @property
    def kind(self) -> str:
        """The row of the table that it belongs to."""
        path = Path(self.name)
        return path.parent.name if path.parent.name else path.suffix[1:]

    @property
    def data(self) -> dict:
        """For a JSON report."""
        outcome, words = self.ending.outcome.value, self.ending.words
        return {"name": self.name, "seed": self.seed, "outcome": outcome, "words": words}


def campaign(count: int, seed: int, kept: Path | None = None) -> Iterator[Tried]:
    """Tries every seed file as it is, the hostile files, and `count` mutations, the kinds taking turns.

    What did harm is written into the folder `kept`, its traceback beside it.
    """
    torch.set_num_threads(1)  # threads don't live on in a forked child
    with TemporaryDirectory(prefix="latentsync_fuzz_") as place:
        folder = Path(place) / "seeds"
        folder.mkdir()
        seeds = make_seeds(folder)
        _warm_up(seeds, Path(place))
        chance = random.Random(seed)
        inputs = [(path.relative_to(folder).as_posix(), None, path.read_bytes()) for path in seeds]
        for name, number, data in [*inputs, *((name, None, data) for name, data in hostile_files().items())]:
            yield _try(name, number, data, Path(place), kept)
        by_kind: dict[str, list[str]] = defaultdict(list)
        for name, _, _ in inputs:
            by_kind[Tried(name, None, Ending(Outcome.RIGHT, "")).kind].append(name)
        kinds = sorted(by_kind)
        contents = {name: data for name, _, data in inputs}
        for number in range(count):
            name = chance.choice(by_kind[kinds[number % len(kinds)]])
            mutation = chance.randrange(2**31)
            data = mutated(contents[name], Path(name).suffix, mutation)
            yield _try(name, mutation, data, Path(place), kept)


def table(tried: list[Tried]) -> str:
    """Counts by kind and outcome, as Markdown."""
    columns = [outcome.value for outcome in Outcome]
    counts = Counter((one.kind, one.ending.outcome.value) for one in tried)
    lines = [f"| kind | inputs | {' | '.join(columns)} |", "| --- |" + " --- |" * (len(columns) + 1)]
    for kind in [*sorted({one.kind for one in tried}), "all"]:
        row = [
            sum(n for (of, what), n in counts.items() if what == column and kind in (of, "all")) for column in columns
        ]
        lines.append(f"| {kind} | {sum(row)} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def _try(name: str, number: int | None, data: bytes, place: Path, kept: Path | None) -> Tried:
    trial = place / "trial"
    path = trial / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    try:
        ending = run_in_child(lambda: _read(path))
    finally:
        shutil.rmtree(trial)
    if kept is not None and not ending.outcome.is_harmless:
        kept.mkdir(parents=True, exist_ok=True)
        stem = f"{ending.outcome.value.replace(' ', '_')}-{number}-{name.replace('/', '-')}"
        (kept / stem).write_bytes(data)
        (kept / f"{stem}.txt").write_text(ending.words, "utf-8")
    return Tried(name, number, ending)


def _read(path: Path) -> None:
    os.chdir(path.parent)
    os.environ["TMPDIR"] = str(path.parent)  # what a killed child leaves goes with the trial's folder
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain at length
    reader_of(path)(path)


def _warm_up(seeds: list[Path], place: Path) -> None:
    """Imports here, once, what every child would import."""
    for path in seeds:
        copy = place / "warm" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        if path.suffix in (".png", ".safetensors", ".pt", ".json"):
            reader_of(path)(copy)
    import av  # noqa: F401
    import torchaudio  # noqa: F401

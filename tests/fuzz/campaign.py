"""One campaign: so many mutated inputs of every kind in turn, each in a child of this one warm process."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.fuzz.children import ChildResult, Outcome, run_in_child
from tests.fuzz.hostile import hostile_files
from tests.fuzz.mutations import mutated
from tests.fuzz.readers import BY_FOLDER, reader_of
from tests.fuzz.seeds import make_seeds


@dataclass(frozen=True)
class Trial:
    """One input and how reading it ended."""

    name: str  # of the seed file or the file made on purpose, below its folder
    seed: int | None  # of the mutation; None for a file as it is
    expected: tuple[Outcome, ...]
    result: ChildResult

    @property
    def kind(self) -> str:
        """The row of the table that it belongs to."""
        return kind_of(self.name)

    @property
    def is_expected(self) -> bool:
        """Whether it did no harm, and ended as it was to."""
        return self.result.outcome in self.expected

    @property
    def data(self) -> dict:
        """For a JSON report."""
        return {
            "name": self.name,
            "kind": self.kind,
            "seed": self.seed,
            "expected": [outcome.value for outcome in self.expected],
            "outcome": self.result.outcome.value,
            "words": self.result.message,
            "seconds": round(self.result.seconds, 2),
        }


def kind_of(name: str) -> str:
    """The folder of a file that belongs to others, the suffix of any other file."""
    path = Path(name)
    return path.parent.name or path.suffix[1:]


def campaign(
    count: int, seed: int, kept: Path | None = None, seeds: Path | None = None, only: Collection[str] = ()
) -> Iterator[Trial]:
    """Tries every seed file as it is, the files made on purpose, and `count` mutations, the kinds taking turns.

    Args:
        kept: a folder for each input that ended otherwise than it was to, its traceback beside it.
        seeds: a folder with seed files; made where there is none.
        only: the kinds to try; all where empty.
    """
    torch.set_num_threads(1)  # threads don't live on in a forked child
    with TemporaryDirectory(prefix="latentsync_fuzz_") as place:
        trials = _Trials(seeds or Path(place) / "seeds", Path(place), kept)
        trials.warm_up()
        by_kind: dict[str, list[str]] = defaultdict(list)
        read_together: dict[str, Trial] = {}  # by their folder; each of its files leads to the same reading
        for name, data in trials.contents.items():
            if only and kind_of(name) not in only:
                continue
            by_kind[kind_of(name)].append(name)
            folder = Path(name).parent.name
            if folder in read_together:
                yield replace(read_together[folder], name=name)
                continue
            trial = trials.run(name, None, data, (Outcome.ACCEPTED,))
            if folder in BY_FOLDER:
                read_together[folder] = trial
            yield trial
        for name, file in hostile_files(trials.contents).items():
            if not only or kind_of(name) in only:
                yield trials.run(name, None, file.data, file.expected)
        rng, kinds = random.Random(seed), sorted(by_kind)
        for number in range(count):
            name = rng.choice(by_kind[kinds[number % len(kinds)]])
            mutation = rng.randrange(2**31)
            data = mutated(trials.contents[name], Path(name).suffix, mutation)
            yield trials.run(name, mutation, data, (Outcome.ACCEPTED, Outcome.REFUSED))


def table(tried: list[Trial]) -> str:
    """Counts by kind and outcome, as Markdown."""
    columns = [outcome.value for outcome in Outcome]
    counts = Counter((one.kind, one.result.outcome.value) for one in tried)
    lines = [f"| kind | inputs | {' | '.join(columns)} |", "| --- |" + " --- |" * (len(columns) + 1)]
    for kind in [*sorted({one.kind for one in tried}), "all"]:
        row = [
            sum(n for (of, what), n in counts.items() if what == column and kind in (of, "all")) for column in columns
        ]
        lines.append(f"| {kind} | {sum(row)} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


class _Trials:
    """The seed files, and a place where one input after the other is read."""

    def __init__(self, seeds: Path, place: Path, kept: Path | None) -> None:
        self._seeds, self._place, self._kept = seeds, place, kept
        if not seeds.is_dir():
            seeds.mkdir(parents=True)
            make_seeds(seeds)
        files = sorted(path for path in seeds.rglob("*") if path.is_file())
        self.contents = {path.relative_to(seeds).as_posix(): path.read_bytes() for path in files}

    def run(self, name: str, number: int | None, data: bytes, expected: tuple[Outcome, ...]) -> Trial:
        """Reads `data` as a file of that name in a child."""
        path = self._write_with_siblings(self._place / "trial", name, data)
        try:
            tried = Trial(name, number, expected, run_in_child(lambda: _read(path)))
        finally:
            shutil.rmtree(self._place / "trial")
        if self._kept is not None and not tried.is_expected:
            outcome = tried.result.outcome.value.replace(" ", "-")
            folder = self._kept / f"{outcome}-{number}-{name.replace('/', '-')}"
            shutil.rmtree(folder, ignore_errors=True)
            self._write_with_siblings(folder, name, data)
            (folder / "words.txt").write_text(tried.result.message, "utf-8")
        return tried

    def warm_up(self) -> None:
        """Imports here, once, what every child would import."""
        import av  # noqa: F401
        import torchaudio  # noqa: F401

        for name, data in self.contents.items():
            if Path(name).suffix in (".png", ".safetensors", ".pt", ".json", ".npz", ".patches"):
                path = self._write_with_siblings(self._place / "warm", name, data)
                reader_of(path)(path)
                shutil.rmtree(self._place / "warm")

    def _write_with_siblings(self, folder: Path, name: str, data: bytes) -> Path:
        """Writes the file, with those that it belongs to beside it."""
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        for other in self._seeds.glob(f"{path.parent.name}/*") if path.parent.name in BY_FOLDER else ():
            if other.name != path.name:
                shutil.copy(other, path.parent)
        return path


def _read(path: Path) -> None:
    os.chdir(path.parent)
    os.environ["TMPDIR"] = str(path.parent)  # what a killed child leaves goes with the trial's folder
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain at length
    reader_of(path)(path)

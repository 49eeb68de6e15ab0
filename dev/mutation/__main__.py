"""Mutation testing by one command: which small changes of the engine's code do its tests not see?

    python -m dev.mutation                # 300 mutants within an hour; the same command goes on where it stopped
    python -m dev.mutation --mutants 12 --target timeline --target "audio features"

Nothing in the checkout changes: mutants live in copies of it, and each is run against the tests that run its line
(`reach.py`). Survivors are listed at the end with their file and line. A survivor is a question, not always a fault:
some changes alter nothing that anyone could observe.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .campaign import KILLED, SURVIVED, TIMED_OUT, CampaignError, Outcome, Results, run_campaign
from .mutants import Target, sample_mutants

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".mutation" / "results.jsonl"
TIMELINE = "latentsync_core/sampling/timeline.py"
PIPELINE_TESTS = (  # beside its own folder
    "tests/cli/test_main_job.py",
    "tests/estimates/test_job_plan.py",
    "tests/sampling/test_sampler.py",
)
TARGETS = (
    Target("sampling", ("latentsync_core/sampling",), ("tests/sampling",), excluded=(TIMELINE,)),
    Target("compositing", ("latentsync_core/compositing",), ("tests/compositing",)),
    Target("timeline", (TIMELINE,), ("tests/sampling/test_timeline.py",)),
    Target("pipeline", ("latentsync_core/pipeline.py",), ("tests/pipeline", *PIPELINE_TESTS)),
    Target("audio features", ("latentsync_core/audio/features.py",), ("tests/audio/test_features.py",)),
)
PRELOADED = (  # what takes long to import is imported once; the project itself is imported by each run
    "torch",
    "av",
    "PIL.Image",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.schedulers.scheduling_ddim",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
    "diffusers.schedulers.scheduling_unipc_multistep",
    "hypothesis.extra.numpy",
    "psutil",
    "pytest",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the campaign; returns the exit code, 0 whatever survives."""
    parser = argparse.ArgumentParser(prog="python -m dev.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=300, help="how many, all targets together (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice (default %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="side by side (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="after which none is started (default %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file that keeps outcomes (default %(default)s)")
    parser.add_argument(
        "--target", action="append", choices=[target.name for target in TARGETS], help="of this part only; repeatable"
    )
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers share the cores
    for module in PRELOADED:
        importlib.import_module(module)
    targets = [target for target in TARGETS if not options.target or target.name in options.target]
    mutants = sample_mutants(ROOT, targets, options.mutants, options.seed)
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        try:
            outcomes = run_campaign(
                ROOT,
                mutants,
                Results(options.results),
                Path(scratch),
                options.workers,
                options.minutes * 60,
                lambda line: print(line, flush=True),
            )
        except CampaignError as problem:
            sys.exit(str(problem))
    print(summary(outcomes, len(mutants)))
    return 0


def summary(outcomes: Sequence[Outcome], wanted: int) -> str:
    """A table of what became of the mutants, and every survivor."""
    lines = ["", f"{'':16}{KILLED:>10}{TIMED_OUT:>11}{SURVIVED:>10}"]
    for name in dict.fromkeys(one.target for one in outcomes):
        counts = Counter(one.outcome for one in outcomes if one.target == name)
        lines.append(f"{name:16}{counts[KILLED]:10}{counts[TIMED_OUT]:11}{counts[SURVIVED]:10}")
    survivors = sorted((one for one in outcomes if one.outcome == SURVIVED), key=lambda one: (one.path, one.line))
    if survivors:
        lines += ["", "Survivors:", *(f"{one.path}:{one.line}: {one.change}" for one in survivors)]
    if len(outcomes) < wanted:
        lines += ["", f"{wanted - len(outcomes)} mutants are left; the same command goes on with them."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""The command: a table of outcomes, and every input that did harm in a folder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.fuzz.campaign import campaign, table
from tests.fuzz.readers import reader_of


def main() -> int:
    """Runs a campaign, or reads one kept input here, in the open."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="mutated inputs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=(), help="of the table's rows, all by default")
    parser.add_argument("--seeds", type=Path, help="a folder of seed files; made where there is none")
    parser.add_argument("--kept", type=Path, default=Path("fuzz"), help="where inputs that did harm go")
    parser.add_argument("--report", type=Path, help="a JSON file for every input's outcome")
    parser.add_argument("--replay", type=Path, help="read this one kept input instead, without a limit")
    options = parser.parse_args()
    if options.replay:
        reader_of(options.replay.resolve())(options.replay.resolve())
        return 0
    tried = []
    for one in campaign(options.count, options.seed, options.kept, options.seeds, options.kinds):
        tried.append(one)
        if not one.is_expected:
            last = (one.result.message.strip().splitlines() or [""])[-1]
            print(f"{one.result.outcome.value}: {one.name} mutation {one.seed}: {last}", file=sys.stderr, flush=True)
    if options.report:
        options.report.write_text(json.dumps([one.data for one in tried]), "utf-8")
    print(table(tried))
    return int(not all(one.is_expected for one in tried))


if __name__ == "__main__":
    sys.exit(main())

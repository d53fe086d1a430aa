"""Thousands of malformed spec texts, headers, indices, recipes, numbers: nothing but WeightSpaceError comes back.

python benchmarks/fuzz.py --draws 2000 --json runs/fuzz/results.json
"""

import sys

sys.path.append(sys.path.pop(0))  # operator.py beside this has the name of a standard module

import argparse
import json
import time
import traceback
from pathlib import Path

from fuzz_inputs import KINDS, try_one
from hypothesis import HealthCheck, Phase, given, seed, settings


def run(kind: str, draws: int, number: int) -> dict[str, object]:
    """How many inputs of a kind were sound, refused, or failed in another way."""
    found: dict[str, object] = {"kind": kind, "drawn": 0, "sound": 0, "refused": 0, "failed": []}
    failures: list[str] = []

    @seed(number)
    @settings(
        max_examples=draws,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn=KINDS[kind][0])
    def each(drawn: object) -> None:
        found["drawn"] += 1
        try:
            found["sound" if try_one(kind, drawn) else "refused"] += 1
        except Exception:
            last = traceback.format_exc().strip().splitlines()
            failures.append(f"{repr(drawn)[:300]}: {' | '.join(last[-3:])[:400]}")

    began = time.monotonic()
    each()
    return found | {"failed": failures[:20], "failures": len(failures), "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [run(kind, args.draws // len(KINDS), args.seed) for kind in KINDS]
    for row in rows:
        print(
            f"{row['kind']:<20} drawn {row['drawn']:>5}  sound {row['sound']:>5}  refused {row['refused']:>5}  "
            f"failures {row['failures']:>4}  {row['seconds']} s"
        )
        for line in row["failed"]:
            print(f"    {line}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"seed": args.seed, "rows": rows}, indent=1) + "\n")
    sys.exit(any(row["failures"] for row in rows))


if __name__ == "__main__":
    main()

"""Prints how many scales each architecture has, and writes them: ``python -m architectures.counts FILE [NAME...]``."""

import json
import sys
import time
from pathlib import Path

import torch

from architectures import ARCHITECTURES
from architectures.oracle import scaling_dimension


def main(path: str, *names: str) -> None:
    torch.set_num_threads(1)
    table: dict[str, dict[str, object]] = {}
    for name in names or ARCHITECTURES:
        entry = ARCHITECTURES[name]
        start = time.perf_counter()
        found = scaling_dimension(entry.factory(), entry.example())
        seconds = time.perf_counter() - start
        local = scaling_dimension(entry.factory(), entry.example(), one_point=True)
        table[name] = {"count": found.count, "gap": found.gap, "at_one_point": local.count, "unused": found.unused}
        print(  # noqa: T201
            f"{name:28} {found.count:4} (one point {local.count:4})  gap {found.gap:8.1e}  of {found.directions:4}  "
            f"{seconds:5.2f} s  {'; '.join(found.unused)}",
            flush=True,
        )
    Path(path).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

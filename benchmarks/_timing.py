"""Interleaved timing: on a shared machine only ratios taken side by side mean something."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch


def interleaved(
    works: Mapping[str, Callable[[], object]], rounds: int, seconds: float = 120.0
) -> dict[str, list[float]]:
    """Wall-clock seconds of each piece of work in each round, after one round that is not counted.

    Every round runs all of them once, so a neighbour that slows the machine slows them alike. Stops early, but
    never before three rounds, when another round would take longer than ``seconds`` allow in all.
    """
    began = time.perf_counter()
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        before = time.perf_counter()
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number:
                times[name].append(time.perf_counter() - start)
        now = time.perf_counter()
        if number >= 3 and now - began + (now - before) > seconds:
            break
    return times


def median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of ``slow / fast``."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def keep_freed_memory() -> None:
    """Starts the program again so that freed memory stays with the process, unless ``MALLOC_MMAP_MAX_`` is set.

    Otherwise tensors above 32 MB are given back and fetched again, page by page, at every operation.
    """
    if "MALLOC_MMAP_MAX_" not in os.environ:  # read once, when a process starts
        kept = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**36)}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | kept)


def high_water() -> int:
    """Bytes of the most memory that this process has had (Linux; what ``getrusage`` says includes the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def environment() -> dict[str, object]:
    """What the numbers depend on."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "malloc": "retained" if os.environ.get("MALLOC_MMAP_MAX_") == "0" else "default",
        "machine": platform.machine(),
    }


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns padded to their widest entry."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def write_json(path: Path | None, result: Mapping[str, object]) -> None:
    """The result as a file, if one was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")

"""Commands killed at random moments: typed again they end as if nothing had happened.

Every verb runs once to the end; then again and again it is killed with SIGKILL at a random moment of its running time
and the same command is typed until it ends. Counted: results that differ from the uninterrupted ones, files that were
there before and are not, and temporary files that stay.

    python benchmarks/kills.py --kills 40 --json runs/kills/results.json
"""

import sys

sys.path.append(sys.path.pop(0))  # operator.py beside this has the name of a standard module

import argparse
import json
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import weightspace as ws
import weightspace.run  # before the forks
from weightspace.cli import main

MODULE = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
"""
MODEL = ["--model", "killed_nets:make", "--input", "16,64"]
NETS = [f"nets/{k}.safetensors" for k in range(3)]
ONE = ["--out", "out.safetensors"]

VERBS = {
    "finetune": [
        *("finetune", "mlps", "--images", "digits", "--activation", "tanh", "--epochs", "3", "--chunk", "4"),
        *("--out", "out"),
    ],
    "align": ["align", *NETS[:2], *MODEL, "--element", "e.safetensors", *ONE],
    "merge": ["merge", *NETS, *MODEL, *ONE],
    "dedupe": ["dedupe", "nets", "--spec", "spec.txt", "--out", "out.csv"],
    "canonicalize": ["canonicalize", "nets", "--spec", "spec.txt", "--out", "out"],
    "zoo make": ["zoo", "make", "digits_mlp_tanh", "--num", "120", "--out", "out"],
}


def inputs(folder: Path) -> None:
    """Networks that the verbs read."""
    (folder / "killed_nets.py").write_text(MODULE)
    scope: dict[str, Any] = {}
    exec(MODULE, scope)
    (folder / "spec.txt").write_text(ws.to_text(ws.derive(scope["make"](), torch.zeros(2, 64))))
    torch.manual_seed(0)
    for name, make in (("nets", scope["make"]), ("mlps", lambda: ws.zoo.MLP((64, 32, 10), "tanh"))):
        (folder / name).mkdir()
        for k in range(24):
            save_file(make().state_dict(), folder / name / f"{k}.safetensors")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, what Python compiles left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def start(words: list[str], folder: Path) -> int:
    """The process of a command; a fork of this one, in which everything is imported already."""
    process = os.fork()
    if process:
        return process
    os.chdir(folder)
    with (folder.parent / f"{folder.name}.said").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    code = 1
    try:
        code = main(words)
    finally:
        os._exit(code)


def finished(words: list[str], folder: Path) -> tuple[int, str]:
    """Exit code of a command that runs to its end, and the last that it said."""
    _, status = os.waitpid(start(words, folder), 0)
    said = folder.parent / f"{folder.name}.said"
    text = said.read_text()
    said.unlink()
    return os.waitstatus_to_exitcode(status), text.strip()[-300:]


def plain(files: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """Files without what depends on where the folder lies."""
    return {name: data.replace(str(folder).encode(), b"FOLDER") for name, data in files.items() if ".cache" not in name}


def killed(verb: str, base: "Base", at: random.Random) -> dict[str, Any] | None:
    """One kill, the command typed again, and what is wrong afterwards; ``None`` if it ended before it was killed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs(folder)
        process, moment = start(VERBS[verb], folder), at.uniform(0.0, 1.05) * base.seconds
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(process, 0)[1]):
            return None
        done = all((folder / file).exists() for file in base.whole if file not in base.before)
        code, said = finished(VERBS[verb], folder)
        # A verb that does not resume refuses the result that the first run had finished before it was killed.
        ended = code == 0 or (code == 2 and done and "already" in said)
        after = contents(folder)
        found = plain(after, folder)
        row = {"verb": verb, "seconds": round(moment, 2), "done": done, "code": code, "ended": ended}
        return row | {
            "lost": sorted(file for file, data in base.before.items() if after.get(file) != data),
            "wrong": sorted(file for file, data in base.whole.items() if found.get(file) != data),
            "left": sorted(file for file in after if file.endswith((".tmp", ".unfinished"))),
            "said": "" if ended else said,
        }


@dataclass(frozen=True)
class Base:
    """An uninterrupted run: all files after it, those before it, and its seconds."""

    whole: dict[str, bytes]
    before: dict[str, bytes]
    seconds: float


def uninterrupted(verb: str) -> Base:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs(folder)
        before, began = contents(folder), time.monotonic()
        code, said = finished(VERBS[verb], folder)
        assert code == 0, f"{verb}: {said}"
        return Base(plain(contents(folder), folder), before, time.monotonic() - began)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="of all verbs together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    at, rows = random.Random(args.seed), []
    bases = {verb: uninterrupted(verb) for verb in VERBS}
    while len(rows) < args.kills:
        verb = list(VERBS)[len(rows) % len(VERBS)]
        row = killed(verb, bases[verb], at)
        if row is None:
            continue
        rows.append(row)
        print(json.dumps(row), flush=True)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({"seed": args.seed, "rows": rows}, indent=1) + "\n")
    bad = [row for row in rows if not row["ended"] or row["lost"] or row["wrong"] or row["left"]]
    print(f"{len(rows)} kills; {len(bad)} ended in another state")
    sys.exit(bool(bad))


if __name__ == "__main__":
    run()

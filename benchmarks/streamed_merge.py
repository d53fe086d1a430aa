"""Memory that a streamed merge takes, against its bound: two shards and one tensor.

    python benchmarks/streamed_merge.py --json runs/streamed_merge/benchmark.json

Three checkpoints of the same shape are written for each number type: some shards of a few large tensors, and one
tensor a shard (the hardest case: the bound is three tensors). Each is merged by ``weightspace merge`` (linear) in a
fresh process, once as stored and once with saved elements that move every network (permutations and positive scales). A
merge of small networks comes first, so that everything is loaded; what comes on top of the process's peak is measured,
and compared with the bound, with what ``--dry-run`` says, and with loading all networks.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import torch
from _timing import environment, print_table
from safetensors.torch import save_file

import weightspace as ws
from weightspace.files.elements import save_element

SIDE = 2048
"""Neurons of a layer: a tensor is 8.4 MB in half precision."""

LAYERS = 6
NAMES = "abc"

INSIDE = """
import sys, time
from weightspace.cli import main
peak = lambda: next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
assert main(["merge", sys.argv[1] + "/small.yaml", "--out", sys.argv[1] + "/small.safetensors"]) == 0
# Loading torch has a peak of its own: fill memory up to it, so that all that comes on top is seen.
ballast, start = [], peak()
while peak() < start + 2**20:
    ballast.append(b"x" * 2**18)
before, began = peak(), time.perf_counter()
if sys.argv[3] == "streamed":
    assert main(["merge", sys.argv[2], "--out", sys.argv[4]]) == 0
else:
    from pathlib import Path
    from weightspace.files.checkpoint import open_checkpoint
    kept = [open_checkpoint(Path(path)).load() for path in sys.argv[4:]]
print("measured", peak() - before, time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--side", type=int, default=SIDE)
    args = parser.parse_args()
    rows = []
    for dtype in ("float32", "bfloat16", "float16"):
        for per_shard in (3, 1):
            with tempfile.TemporaryDirectory() as folder:
                rows += measure(Path(folder), dtype, per_shard, args.side)
    header = ("numbers", "tensors a shard", "merge", "bound, MB", "taken, MB", "said, MB", "all loaded, MB", "seconds")
    print_table(header, [tuple(map(str, row.values())) for row in rows])
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        about = {"side": args.side, "layers": LAYERS, "networks": len(NAMES)}
        args.json.write_text(json.dumps(about | {"rows": rows, "environment": environment()}, indent=1) + "\n")


def measure(folder: Path, dtype: str, per_shard: int, side: int) -> list[dict[str, object]]:
    """Rows of one number type and one size of shards."""
    kind = getattr(torch, dtype)
    spaces = ["x fixed", *(f"h{k} positive" for k in range(LAYERS - 1)), "y fixed"]
    lines = [f"{space.split()[0]}[{side}] {space.split()[1]}" for space in spaces]
    names = [line.split("[")[0] for line in lines]
    spec = ws.parse("\n".join([*lines, "", *(f"w{k} {names[k + 1]} {names[k]}~" for k in range(LAYERS))]))
    generator = torch.Generator().manual_seed(0)
    for place, name in enumerate(NAMES):
        write(
            folder / name,
            {f"w{k}": torch.randn(side, side, generator=generator).to(kind) for k in range(LAYERS)},
            per_shard,
        )
        save_element(folder / f"{name}.element.safetensors", ws.sample(spec, place), spec, {})
    small = ws.parse("x[2] fixed\nh[2] positive\n\nw h x~")
    save_element(folder / "small.element.safetensors", ws.sample(small), small, {})
    save_file({"w": torch.ones(2, 2, dtype=kind)}, folder / "one.safetensors")
    recipe(folder / "small.yaml", [folder / "one.safetensors"] * 2, [None, folder / "small.element.safetensors"])
    paths = [folder / name for name in NAMES]
    tensor = side * side * kind.itemsize
    bound = (2 * per_shard + 1) * tensor
    loaded, _ = run(folder, folder / "small.yaml", "loaded", *paths)
    rows = []
    for how, elements in (
        ("as stored", [None] * len(NAMES)),
        ("moved", [folder / f"{name}.element.safetensors" for name in NAMES]),
    ):
        recipe(folder / "recipe.yaml", paths, elements)
        words = [
            sys.executable,
            "-m",
            "weightspace",
            "merge",
            folder / "recipe.yaml",
            "--out",
            folder / "dry",
            "--dry-run",
        ]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        number, unit = re.search(r"memory: about ([\d.]+) (MB|GB)", said).groups()
        taken, seconds = run(folder, folder / "recipe.yaml", "streamed", folder / f"out {how}")
        rows.append(
            {
                "numbers": dtype,
                "per shard": per_shard,
                "merge": how,
                "bound": round(bound / 1e6, 1),
                "taken": round(taken / 1e6, 1),
                "said": float(number) * (1000 if unit == "GB" else 1),
                "loaded": round(loaded / 1e6, 1),
                "seconds": round(seconds, 2),
            }
        )
    return rows


def run(folder: Path, recipe: Path, how: str, *more: Path) -> tuple[int, float]:
    """Bytes on top of the peak before, and seconds."""
    words = [sys.executable, "-c", INSIDE, str(folder), str(recipe), how, *map(str, more)]
    env = os.environ | {"PYTHONPATH": str(Path(ws.__file__).parents[1])}
    out = subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout
    _, taken, seconds = next(line for line in out.splitlines() if line.startswith("measured")).split()
    return int(taken), float(seconds)


def write(folder: Path, params: dict[str, torch.Tensor], per_shard: int) -> None:
    folder.mkdir()
    names, places = list(params), {}
    for start in range(0, len(names), per_shard):
        file = f"model-{start // per_shard + 1:05d}-of-{-(-len(names) // per_shard):05d}.safetensors"
        save_file({name: params[name] for name in names[start : start + per_shard]}, folder / file)
        places |= dict.fromkeys(names[start : start + per_shard], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def recipe(path: Path, networks: list[Path], elements: list[Path | None]) -> None:
    models = [
        {"model": str(network)} | ({} if element is None else {"element": str(element)})
        for network, element in zip(networks, elements, strict=True)
    ]
    path.write_text(json.dumps({"merge_method": "linear", "models": models}))  # JSON is YAML


if __name__ == "__main__":
    main()

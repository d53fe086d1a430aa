"""`same` and `align` on networks of real size: is a copy recognized, is one changed weight told apart, at what cost.

    python benchmarks/same_large.py [--width 1.0] [--networks resnet50 vit_s_16] [--json runs/same_large/benchmark.json]

ResNet-50 (25.6 million parameters) and ViT-S/16 (22 million), float32, with statistics and biases as trained ones have.
The copy is moved by a random element (scales in [1/4, 4]) in float64 and rounded to float32. Each question runs in a
process of its own with one thread: CPU seconds are those of the process from loaded networks to the answer, memory its
most. `align` must undo the element: the moved copy differs from the original by rounding only.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from _timing import environment, high_water, print_table, write_json
from large_networks import ResNet50, ViTSmall16, as_trained
from safetensors.torch import load_file, save_file

import weightspace as ws

NETWORKS = {"resnet50": (ResNet50, (1, 3, 64, 64)), "vit_s_16": (ViTSmall16, (1, 3, 224, 224))}
QUESTIONS = ("same, copy", "same, one weight changed by 1 %", "align, copy")


def make(name: str, width: float, folder: Path) -> int:
    """Writes the spec, a network and its copy; returns the number of parameters."""
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    module = as_trained(build(width), 0)
    spec = ws.derive(module, torch.zeros(shape), verify=False)
    params = {key: value.detach() for key, value in module.state_dict().items()}
    wide = {key: value.double() if value.is_floating_point() else value for key, value in params.items()}
    moved = ws.act(ws.sample(spec, 1, max_scale=4.0), wide, spec)
    copy = {key: value.to(params[key]).contiguous() for key, value in moved.items()}
    (folder / "spec.txt").write_text(ws.spec.to_text(spec))
    save_file({key: value.contiguous() for key, value in params.items()}, folder / "a.safetensors")
    save_file(copy, folder / "b.safetensors")
    return sum(value.numel() for value in module.parameters())


def answer(question: str, folder: Path) -> dict[str, object]:
    """One question, in this process."""
    torch.set_num_threads(1)
    spec = ws.parse((folder / "spec.txt").read_text())
    a, b = load_file(folder / "a.safetensors"), load_file(folder / "b.safetensors")
    if "changed" in question:
        name = max((key for key in b if b[key].ndim > 1), key=lambda key: b[key].numel())
        value = b[name].view(-1)
        value[int(value.abs().argmax())] *= 1.01
    start, wall = time.process_time(), time.perf_counter()
    if question.startswith("same"):
        found = ws.same(a, b, spec, progress=show)
        right, text = bool(found) == ("changed" not in question), str(found)
    else:
        aligned = ws.align(a, b, spec)
        gap = max(float((aligned.params[key] - a[key]).abs().max() / a[key].abs().max()) for key in a if a[key].any())
        right, text = gap < 1e-5, f"{aligned}; largest difference {gap:.2g} of the largest entry"
    seconds = {"cpu": time.process_time() - start, "wall": time.perf_counter() - wall}
    return {"right": right, "answer": text, "seconds": seconds, "bytes": high_water()}


def show(done: int, total: int, what: str) -> None:
    print(f"\r{what}: {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="share of the full width")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--answer", nargs=2, metavar=("QUESTION", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.answer:
        print(json.dumps(answer(args.answer[0], Path(args.answer[1]))))
        return
    result: dict[str, object] = {"environment": environment(), "width": args.width}
    rows = []
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            num = make(name, args.width, Path(folder))
            for question in QUESTIONS:
                command = [sys.executable, __file__, "--answer", question, folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(done.stdout)
                result[f"{name}: {question}"] = {"parameters": num, **found}
                cost = f"{found['seconds']['cpu']:.1f} s", f"{found['bytes'] / 2**30:.2f} GB"
                rows.append((name, f"{num:,}", question, str(found["right"]), *cost, found["answer"]))
    print_table(("network", "parameters", "question", "right", "CPU", "memory", "answer"), rows)
    write_json(args.json, result)


if __name__ == "__main__":
    main()

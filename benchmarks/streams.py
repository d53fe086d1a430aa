"""Networks with normalized residual streams from independent trainings, and the barriers between them.

    python benchmarks/streams.py make gpt --out NETWORKS
    python benchmarks/streams.py make vit --out NETWORKS --data DIR
    python benchmarks/streams.py table vit --networks NETWORKS --data DIR --out runs/streams

Three architectures: a byte-level GPT on the sources of Python's standard library, a ViT and a ResNet-18 with batch
normalization on Fashion-MNIST. `make` trains six of one, each from its own seed, and writes them as
NETWORKS/NAME_SEED.safetensors; a network that is there is not trained again. `table` takes them in pairs, 0 and 1, 2
and 3, 4 and 5, and measures the loss and accuracy at the midpoint: as given, matched by weights and by features, each
over the whole symmetry and over permutations only, as it is and with repaired or reestimated statistics; and how many
gains of normalizations change their signs. Writes OUT/NAME.json after each pair; what is there is not measured again.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from _stream_networks import TASKS, Task
from _timing import environment, print_table
from torch import Tensor, nn

import weightspace as ws
from weightspace.alignment import between, match_activations, reestimate, repair
from weightspace.files.atomic import load_tensors, save_tensors, write_json
from weightspace.spec import without_scales

Params = dict[str, Tensor]

NUM = 6
WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("make", "table"))
    parser.add_argument("network", choices=tuple(TASKS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", type=Path, help="folder that make wrote, for table")
    parser.add_argument("--data", type=Path, default=os.environ.get("WEIGHTSPACE_DATA"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(NUM)))
    args = parser.parse_args()
    task = TASKS[args.network](args.data)
    if args.verb == "make":
        make(args.network, task, args.out, args.seeds)
    elif args.networks is None:
        parser.error("table reads networks. Add --networks FOLDER")
    else:
        table(args.network, task, args.networks, args.out)


def make(name: str, task: Task, out: Path, seeds: list[int]) -> None:
    """Train what is not there yet."""
    for seed in seeds:
        path = out / f"{name}_{seed}.safetensors"
        if path.is_file():
            continue
        began = time.process_time()
        params = train(task, seed)
        loss, accuracy = task.evaluate(params)
        seconds = time.process_time() - began
        about = {"loss": f"{loss:.4f}", "accuracy": f"{accuracy:.4f}", "cpu seconds": f"{seconds:.0f}"}
        save_tensors(path, params, about)
        print(path.name, about, flush=True)


def train(task: Task, seed: int) -> Params:
    """One network; its weights and its batches come from the seed. The rate warms up, then falls to zero."""
    torch.manual_seed(seed)
    net, generator = task.build(), torch.Generator().manual_seed(seed)
    optimizer = task.optimizer(net)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP) * (1 - step / task.steps)
    )
    for _ in range(task.steps):
        x, y = task.draw(generator)
        loss = F.cross_entropy(net(x).flatten(0, -2), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return {name: value.detach().clone() for name, value in net.eval().state_dict().items()}


def table(name: str, task: Task, networks: Path, out: Path) -> None:
    """Measure what is not there yet, and print all pairs."""
    net = task.build().eval()
    spec = ws.derive(net, task.inputs[0][:2])
    path = out / f"{name}.json"
    pairs = json.loads(path.read_text())["pairs"] if path.is_file() else []
    for place in range(len(pairs), NUM // 2):
        a, b = (load_tensors(networks / f"{name}_{seed}.safetensors")[0] for seed in (2 * place, 2 * place + 1))
        pairs.append(measured(net, spec, task, a, b))
        write_json(path, {"network": name, "pairs": pairs, "environment": environment()})
    rows = [
        (
            row["method"],
            *(f"{pair['rows'][k]['barrier']:.3f} ({100 * pair['rows'][k]['accuracy']:.1f})" for pair in pairs),
        )
        for k, row in enumerate(pairs[0]["rows"])
    ]
    print_table(("method: nats above the ends (accuracy, %)", *(f"pair {k}" for k in range(len(pairs)))), rows)
    print(f"gains that changed their sign: {sum(row['turned'] for pair in pairs for row in pair['rows'])}")


def measured(net: nn.Module, spec: ws.SymmetrySpec, task: Task, a: Params, b: Params) -> dict[str, object]:
    """The ends of one pair, and a row for each method."""
    ends = [task.evaluate(params) for params in (a, b)]
    mean = (ends[0][0] + ends[1][0]) / 2
    names = [name for name, part in net.named_modules() if isinstance(part, (nn.LayerNorm, nn.BatchNorm2d))]
    rows = []
    for method, moved in ways(net, spec, task, a, b):
        turned = sum(int((moved[f"{name}.weight"] < 0).sum()) - int((b[f"{name}.weight"] < 0).sum()) for name in names)
        middle = between(a, moved, 0.5)
        results = {"": middle, " + repair": repair(net, middle, [a, moved], spec, task.inputs)}
        if any(isinstance(part, nn.BatchNorm2d) for part in net.modules()):
            results[" + reestimate"] = reestimate(net, middle, task.inputs)
        for after, params in results.items():
            loss, accuracy = task.evaluate(params)
            row = {"method": method + after, "barrier": loss - mean, "accuracy": accuracy, "turned": abs(turned)}
            print(row, flush=True)
            rows.append(row)
    return {"ends": ends, "rows": rows}


def ways(net: nn.Module, spec: ws.SymmetrySpec, task: Task, a: Params, b: Params) -> Iterator[tuple[str, Params]]:
    """By method, the second network moved."""
    order = without_scales(spec)
    yield "naive", b
    yield "weights, permutations only", ws.align(a, b, order).params
    yield "weights", ws.align(a, b, spec).params
    yield "features, permutations only", ws.act(match_activations(a, b, order, net, task.inputs), b, order)
    yield "features", ws.act(match_activations(a, b, spec, net, task.inputs), b, spec)


if __name__ == "__main__":
    main()

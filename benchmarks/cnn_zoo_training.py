"""Training of small CNNs for a zoo: groups of networks against a plain loop over networks.

    python benchmarks/cnn_zoo_training.py [--json FILE] [--threads 2] [--rounds 7]

Networks of the Small CNN Zoo (4,970 parameters), Adam, batches of 128 of 32x32 images (random: time does not depend on
their content), dropout of the last two convolutions. All three train as many networks as there are threads times
four, as many threads at a time as are asked for, each on one core:

* ours: ``train_cnns``, groups of four, columns of the images gathered beforehand, as the maker of zoos does;
* loop: an ``nn.Module`` and ``torch.optim`` with its fused step, one network after another;
* grouped: eight networks in one ``conv2d`` with as many groups, autograd, one fused optimizer.

Model-images per second, medians of interleaved rounds. Exits with 1 below 1.5 times the loop.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from _timing import environment, interleaved, median_ratio, print_table, write_json

from weightspace.zoo import CNNTarget, HyperSpace, activation_function, workers
from weightspace.zoo._cells import columns
from weightspace.zoo._hyper import draw_hyper
from weightspace.zoo._train_cnns import train_cnns

IMAGES, BATCH, RATE, TOGETHER, GROUPED, GOAL = 2560, 128, 0.25, 4, 8, 1.5
SPACE = HyperSpace(optimizers=("adam",), fractions=(1.0,), dropout=(RATE, RATE))


def loop(target: CNNTarget, x: torch.Tensor, y: torch.Tensor, seed: int) -> None:
    """The obvious way, for one network."""
    module, function = target.build(), activation_function(target.activation)
    step = torch.optim.Adam(module.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(seed))
    for index in order.split(BATCH):
        step.zero_grad()
        h = x.index_select(0, index).view(-1, 1, 32, 32)
        for layer, conv in enumerate(module.convs):
            h = function(conv(h))
            if layer:
                h = F.dropout(h, RATE)
        F.cross_entropy(module.head(h.mean((2, 3))), y.index_select(0, index)).backward()
        step.step()


def grouped(target: CNNTarget, x: torch.Tensor, y: torch.Tensor, seed: int) -> None:
    """Eight networks side by side, each with images of its own."""
    generator, function = torch.Generator().manual_seed(seed), activation_function(target.activation)
    modules = [target.build() for _ in range(GROUPED)]
    params = {name: torch.stack([module.state_dict()[name] for module in modules]) for name in target.shapes()}
    for value in params.values():
        value.requires_grad_()
    step = torch.optim.Adam(list(params.values()), lr=1e-3, weight_decay=1e-4, fused=True)
    order = torch.stack([torch.randperm(IMAGES, generator=generator) for _ in range(GROUPED)], dim=1)
    for index in order.split(BATCH):
        step.zero_grad()
        flat = index.flatten()
        h = x.index_select(0, flat).view(len(index), GROUPED, 32, 32)
        for layer in range(3):
            weight, bias = params[f"convs.{layer}.weight"].flatten(0, 1), params[f"convs.{layer}.bias"].flatten()
            h = function(F.conv2d(h, weight, bias, stride=2, groups=GROUPED))
            if layer:
                h = F.dropout(h, RATE)
        pooled = h.mean((2, 3)).view(len(index), GROUPED, -1)
        logits = torch.einsum("pbc,boc->pbo", pooled, params["head.weight"]) + params["head.bias"]
        (F.cross_entropy(logits.flatten(0, 1), y.index_select(0, flat), reduction="sum") / len(index)).backward()
        step.step()


def on_threads(work: Callable[[int], object], parts: int) -> None:
    """All parts, as many at a time as torch has threads."""
    with workers() as pool:
        list(pool.map(work, range(parts)))


def main() -> int:
    parser = argparse.ArgumentParser(description="training of small CNNs against a plain loop")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(IMAGES, 1024, generator=generator) * 2 - 1, torch.randint(10, (IMAGES,), generator=generator)
    read, group = columns(x, 32), [draw_hyper(SPACE, 0, run) for run in range(TOGETHER)]

    works: dict[str, Callable[[], object]] = {}
    networks = {"ours": TOGETHER * args.threads, "loop": TOGETHER * args.threads, "grouped": GROUPED * args.threads}
    kinds = ("tanh", "relu")
    for kind in kinds:
        target = CNNTarget(activation=kind)

        def ours(_: int, target: CNNTarget = target) -> None:
            train_cnns(group, target, read, y, batch_size=BATCH, checkpoints=(1,))

        def plain(seed: int, target: CNNTarget = target) -> None:
            loop(target, x, y, seed)

        def together(seed: int, target: CNNTarget = target) -> None:
            grouped(target, x, y, seed)

        works[f"ours {kind}"] = lambda ours=ours: on_threads(ours, args.threads)
        works[f"loop {kind}"] = lambda plain=plain: on_threads(plain, networks["loop"])
        works[f"grouped {kind}"] = lambda together=together: on_threads(together, args.threads)
    times = interleaved(works, args.rounds)

    rows, result = [], {"environment": environment(), "rounds": len(times["ours tanh"]), "goal": GOAL}
    for kind in kinds:
        each = {name: [s / (IMAGES * num) for s in times[f"{name} {kind}"]] for name, num in networks.items()}
        speed = {name: 1e-3 / statistics.median(seconds) for name, seconds in each.items()}
        ratios = {name: median_ratio(each[name], each["ours"]) for name in ("loop", "grouped")}
        result[kind] = {"thousand_model_images_per_second": speed, "ratio": ratios}
        rows.append(
            [kind, *(f"{value:.1f}" for value in speed.values()), *(f"{value:.2f}" for value in ratios.values())]
        )
    print(environment())
    print_table(["", "ours k/s", "loop k/s", "grouped k/s", "to the loop", "to grouped"], rows)
    write_json(args.json, result)
    return 0 if all(result[kind]["ratio"]["loop"] >= GOAL for kind in kinds) else 1


if __name__ == "__main__":
    sys.exit(main())

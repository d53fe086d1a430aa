"""Zoo training: networks side by side against a plain loop over networks.

    python benchmarks/zoo_training.py [--json FILE] [--threads 2] [--rounds 5]

MLPs 64-48-32-16-10 with tanh, batches of 64, one epoch of 50,000 images of 8x8 (random: time does not depend on
their content). Ours is ``weightspace.zoo.finetune`` on 64 networks, set-up included; the loop is an ``nn.Module``
and ``torch.optim``, one network after another, on one thread: a second one makes operations this small slower, a
hundred times on a busy machine. Model-images per second, medians of interleaved rounds. Exits
with 1 below 7 (SGD) or 10 (Adam) times the loop.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F
from _timing import environment, interleaved, median_ratio, print_table, write_json

from weightspace.spec import derive
from weightspace.zoo import MLP, Images, finetune

NETWORKS, LOOP_NETWORKS, IMAGES, BATCH = 64, 1, 50_000, 64
GOAL = {"sgd": 7.0, "adam": 10.0}


def loop(images: Images, optimizer: str, networks: int) -> None:
    """The obvious way: one network after another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    for seed in range(networks):
        module = MLP()
        step = kinds[optimizer](module.parameters(), lr=0.01)
        order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(seed))
        for index in order.split(BATCH):
            step.zero_grad()
            F.cross_entropy(module(images.train_x[index]), images.train_y[index]).backward()
            step.step()
    torch.set_num_threads(threads)


def main() -> int:
    parser = argparse.ArgumentParser(description="zoo training against a plain loop")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(IMAGES, 64, generator=generator) * 2 - 1, torch.randint(10, (IMAGES,), generator=generator)
    few = (x[:64], y[:64])
    images = Images("random", 10, x, y, *few, *few)
    spec = derive(MLP(), torch.zeros(1, 64))
    params = {name: torch.stack([MLP().state_dict()[name] for _ in range(NETWORKS)]) for name in MLP().state_dict()}

    works = {}
    for kind in ("sgd", "adam"):
        works[f"ours {kind}"] = lambda kind=kind: finetune(
            params, spec, images, optimizer=kind, epochs=1, batch_size=BATCH
        )
        works[f"loop {kind}"] = lambda kind=kind: loop(images, kind, LOOP_NETWORKS)
    times = interleaved(works, args.rounds)

    per_image = {
        name: [s / (IMAGES * (NETWORKS if name.startswith("ours") else LOOP_NETWORKS)) for s in seconds]
        for name, seconds in times.items()
    }
    rows, result = [], {"environment": environment(), "rounds": len(times["ours sgd"])}
    for kind, goal in GOAL.items():
        ours, plain = per_image[f"ours {kind}"], per_image[f"loop {kind}"]
        speed = {"ours": 1e-6 / statistics.median(ours), "loop": 1e-6 / statistics.median(plain)}
        ratio = median_ratio(plain, ours)
        result[kind] = {"million_model_images_per_second": speed, "ratio": ratio, "goal": goal}
        rows.append([kind, f"{speed['ours']:.2f}", f"{speed['loop']:.3f}", f"{ratio:.1f}", f"{goal:g}"])
    print(environment())
    print_table(["optimizer", "ours M/s", "loop M/s", "ratio", "goal"], rows)
    write_json(args.json, result)
    return 0 if all(result[kind]["ratio"] >= goal for kind, goal in GOAL.items()) else 1


if __name__ == "__main__":
    sys.exit(main())

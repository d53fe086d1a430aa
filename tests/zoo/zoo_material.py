"""Small image sets and runs shared by the tests of the zoo."""

from collections.abc import Sequence
from pathlib import Path

import torch

from weightspace.zoo import HyperSpace, Images, MLPTarget, ZooConfig
from weightspace.zoo._hyper import Hyper, draw_hyper

TINY = MLPTarget(widths=(64, 8, 6, 10))


def random_images(num: int = 300, pixels: int = 64, classes: int = 10, dtype: torch.dtype = torch.float32) -> Images:
    """Images whose labels a network can learn."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(num + 200, pixels, generator=generator, dtype=torch.float64) * 2 - 1).to(dtype)
    y = (x @ torch.randn(pixels, classes, generator=generator, dtype=torch.float64).to(dtype)).argmax(1)
    return Images(
        "random", classes, x[:num], y[:num], x[num : num + 100], y[num : num + 100], x[num + 100 :], y[num + 100 :]
    )


def draws(num: int, seed: int = 0, **space: object) -> list[Hyper]:
    """Hyper-parameters of the first runs of a zoo."""
    hyper = HyperSpace.model_validate(space)
    return [draw_hyper(hyper, seed, run) for run in range(num)]


def tiny_config(**changes: object) -> ZooConfig:
    """A zoo that takes a second: twelve small networks on digits, two checkpoints."""
    fields = {"images": "digits", "target": TINY, "num": 12, "checkpoints": (1, 2), "shard": 5, **changes}
    return ZooConfig.model_validate(fields)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def places_by_run(hypers: Sequence[Hyper], group: Sequence[Hyper]) -> list[int]:
    """Where the runs of ``group`` stand in ``hypers``."""
    ids = [hyper.id for hyper in hypers]
    return [ids.index(hyper.id) for hyper in group]

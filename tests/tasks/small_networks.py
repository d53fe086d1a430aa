"""Small stacked classifiers and images for the tests of tasks."""

import torch

from weightspace.spec import SymmetrySpec, parse


def mlp_spec(widths: tuple[int, ...], scale: str) -> SymmetrySpec:
    """Spec of an MLP with parameters ``layers.0.weight``, ``layers.0.bias``, ..."""
    last = len(widths) - 2
    names = ["in", *[f"h{index}" for index in range(last)], "out"]
    lines = [
        f"{name}[{size}] {scale if name.startswith('h') else 'fixed'}" for name, size in zip(names, widths, strict=True)
    ]
    lines.append("")
    for index in range(last + 1):
        lines.append(f"layers.{index}.weight {names[index + 1]} {names[index]}~")
        lines.append(f"layers.{index}.bias {names[index + 1]}")
    return parse("\n".join(lines))


def networks(spec: SymmetrySpec, num: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random stacked networks."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.5 * torch.randn(num, *spec.shape(name), generator=generator) for name in spec.axes}


def images(num: int, width: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images with labels that a network can partly learn."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num, width, generator=generator)
    return x, (x @ torch.randn(width, classes, generator=generator)).argmax(1)

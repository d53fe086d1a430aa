"""Networks to align: chains of dense layers with a group for each hidden space."""

import itertools

import torch
from torch import Tensor

from weightspace.spec import SymmetrySpec, parse


def chain(inputs: int, hidden: list[tuple[int, str]], outputs: int) -> SymmetrySpec:
    """The spec of a chain of dense layers, named as in ``nn.Sequential`` with activations between."""
    lines = [f"in[{inputs}] fixed"]
    lines += [f"h{k}[{size}] {'' if group == 'trivial' else group}" for k, (size, group) in enumerate(hidden)]
    lines += [f"out[{outputs}] fixed", ""]
    names = ["in", *(f"h{k}" for k in range(len(hidden))), "out"]
    for k, (before, after) in enumerate(itertools.pairwise(names)):
        lines += [f"{2 * k}.weight {after} {before}~", f"{2 * k}.bias {after}"]
    return parse("\n".join(lines))


def draw(spec: SymmetrySpec, seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Standard normal parameters: fan-in and fan-out of one size, which is hard for a start from the identity."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(spec.shape(name), generator=generator, dtype=torch.float64).to(dtype) for name in spec.axes
    }

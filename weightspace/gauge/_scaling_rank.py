"""How many continuous scales a module has, counted from its derivatives without looking at its structure.

A candidate direction multiplies, for one tensor, axis and index, all entries there by ``1 + t``. In the span of all
candidates we look for the directions that leave the outputs alone to first order. A scale of the architecture does
so whatever the parameters are, so the derivatives of several random networks are stacked; at a single one, more
directions may (those of a linear network that are no scales of neurons).
"""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from .._errors import SpecMismatch

_ROWS = 16
"""Random sums of the outputs taken from one network; the derivative of each is one row."""

_NETWORKS = 40
"""Networks at least that are not constant."""

_ATTEMPTS = 1000
"""Networks at most."""

_ZERO = 1e-9
"""Singular values below this part of the largest are counted as zero; rounding leaves about 1e-14."""

_UNUSED = 1e-13
"""Entries whose derivatives are below this part of the largest do not reach the outputs."""

_INPUT_SIZES = (1.0, 2.0, 5.0, 16.0)
"""Large inputs too: an activation that is clipped looks linear near zero."""


@final
@dataclass(frozen=True)
class ScalingRank:
    """Dimension of the scalings that keep a network's outputs, and how surely it is known.

    Attributes:
        count: The dimension.
        gap: Smallest singular value that counts as a change of the outputs, over the largest that counts as none.
        directions: Dimension of all scalings looked at.
        unused: Tensors of which some entry never reaches an output, with how many; these entries are left out.
    """

    count: int
    gap: float
    directions: int
    unused: tuple[str, ...]


def scaling_rank(module: nn.Module, example: Tensor | tuple[Tensor, ...], *, seed: int = 0) -> ScalingRank:
    """The number of independent scalings of axes of the parameters that leave all outputs of ``module`` alone.

    For small networks: takes a singular value decomposition of as many columns as all tensors have axis entries.

    Args:
        module: A copy of it in float64 and eval mode is probed, with random parameters and running statistics.
        example: Its inputs; floating-point ones are redrawn, whole numbers too, up to their largest.
        seed: Of parameters and inputs.

    Raises:
        SpecMismatch: if the singular values leave no clear gap (a factor of 100), so that no number can be given.
    """
    example = example if isinstance(example, tuple) else (example,)
    module = copy.deepcopy(module).double().eval()
    generator = torch.Generator().manual_seed(seed)
    needed = 16 + 5 * sum(sum(value.shape) for value in _tensors(module).values()) // 4
    found: list[dict[str, Tensor]] = []
    rows = alive = 0
    for number in range(_ATTEMPTS):
        found.append(_derivatives(module, _probe(example, generator, number), generator))
        # A network of a few ReLU units is often constant, which says nothing about its scales.
        some = torch.stack([block.reshape(len(block), -1).abs().amax(1) for block in found[-1].values()]).amax(0) > 0
        rows, alive = rows + int(some.sum()), alive + bool(some.any())
        if alive >= _NETWORKS and rows >= needed:
            break
    derivatives = {name: torch.cat([block[name] for block in found]) for name in found[0]}
    largest = max(float(rows.abs().max()) for rows in derivatives.values() if rows.numel())
    blocks, unused = [], []
    for name, rows in derivatives.items():
        if rows.ndim == 1:
            continue  # a single number has no axis
        # Relative to all tensors: one whose derivatives cancel (the key bias of attention) leaves rounding errors.
        used = rows.abs().amax(0) > _UNUSED * largest
        if not used.all():
            unused.append(f"{name}: {int((~used).sum())} of {used.numel()}")
        candidates = _incidence(used, _groups(module, name))
        # Candidates of one tensor depend on each other (all rows, all columns); this is a basis of their span.
        values, basis = torch.linalg.eigh(candidates.T @ candidates)
        blocks.append(rows.flatten(1) @ candidates @ basis[:, values > 1e-9 * values[-1].clamp_min(1e-30)])
    change = torch.cat(blocks, 1)
    change = change / change.norm(dim=1, keepdim=True).clamp_min(1e-30)
    values = torch.linalg.svdvals(change)
    values = (values / values[:1].clamp_min(1e-30)).clamp_min(1e-17)
    kept = int((values > _ZERO).sum())
    gap = float(values[kept - 1] / (values[kept] if kept < len(values) else 1e-17)) if kept else float("inf")
    if gap < 100:
        near = ", ".join(f"{float(value):.1e}" for value in values[max(kept - 2, 0) : kept + 2])
        raise SpecMismatch(
            f"the singular values around {_ZERO:.0e} have no clear gap ({near}), so scales cannot be counted. "
            f"Give inputs that exercise the network, or another seed: scaling_rank(net, example, seed={seed + 1})."
        )
    return ScalingRank(change.shape[1] - kept, gap, change.shape[1], tuple(unused))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics, each once."""
    running = {
        name: value
        for name, value in module.named_buffers()
        if name.rpartition(".")[2] in ("running_mean", "running_var")
    }
    return {**dict(module.named_parameters()), **running}


def _derivatives(
    module: nn.Module, inputs: tuple[Tensor, ...], generator: torch.Generator
) -> dict[str, Float[Tensor, "rows ..."]]:
    """Derivatives of random sums of the outputs of a random network, by the logarithm of every entry."""
    drawn = {name: _draw(name, value, generator).requires_grad_() for name, value in _tensors(module).items()}
    with _WrittenOutNorms(), sdpa_kernel(SDPBackend.MATH):
        # Ties are kept: a tensor that has several names is given under its first.
        result = functional_call(module, drawn, inputs)
    leaves = [out.flatten() for out in tree_leaves(result) if isinstance(out, Tensor) and out.is_floating_point()]
    outputs = torch.cat(leaves)
    sums = torch.randn(min(_ROWS, len(outputs)), len(outputs), generator=generator, dtype=torch.float64)
    grads = torch.autograd.grad(outputs, [*drawn.values()], sums, is_grads_batched=True, allow_unused=True)
    moved: dict[str, Tensor] = {}
    for (name, value), grad in zip(drawn.items(), grads, strict=True):
        grad = torch.zeros(len(sums), *value.shape, dtype=torch.float64) if grad is None else grad
        owner, _, kind = name.rpartition(".")
        # A scale s of what a normalization reads makes v + eps s^2 times as large.
        eps = getattr(module.get_submodule(owner), "eps", 0.0)
        step = 2 * (value + eps) if kind == "running_var" else value
        moved[name] = grad * step.detach()
    return moved


def _draw(name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    """Entries of either sign away from 0 and 1, variances positive; gains large enough to reach where others clip."""
    kind = name.rpartition(".")[2]
    low, high = (0.5, 2.0) if kind == "running_var" else (0.3, 3.0 if value.ndim == 1 and kind == "weight" else 1.5)
    drawn = low + (high - low) * torch.rand(value.shape, generator=generator, dtype=torch.float64)
    if kind != "running_var":
        drawn *= 2.0 * torch.randint(2, value.shape, generator=generator) - 1.0
    return drawn / max(value[0].numel() if value.ndim > 1 else 1, 1) ** 0.5


def _probe(example: tuple[Tensor, ...], generator: torch.Generator, number: int) -> tuple[Tensor, ...]:
    size = _INPUT_SIZES[number % len(_INPUT_SIZES)]
    return tuple(
        size * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.is_floating_point()
        else torch.randint(int(value.max()) + 1, value.shape, generator=generator)
        for value in example
    )


def _groups(module: nn.Module, name: str) -> int:
    owner, _, kind = name.rpartition(".")
    return getattr(module.get_submodule(owner), "groups", 1) if kind == "weight" else 1


def _incidence(used: Bool[Tensor, "..."], groups: int) -> Float[Tensor, "entries candidates"]:
    """Which used entries each candidate moves.

    The second axis of a grouped convolution stands for other neurons in each group.
    """
    place = torch.meshgrid(*(torch.arange(size) for size in used.shape), indexing="ij")
    columns = []
    for axis, size in enumerate(used.shape):
        index = place[axis]
        if axis == 1 and groups > 1:
            index, size = index + size * (place[0] * groups // used.shape[0]), size * groups
        columns.append(functional.one_hot(index.flatten(), size))
    return torch.cat(columns, 1).double() * used.reshape(-1, 1)


@final
class _WrittenOutNorms(TorchFunctionMode):
    """torch has no derivatives by running statistics, so normalizations that use them are written out."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (functional.batch_norm, functional.instance_norm):
            given = inspect.signature(func).bind(*args, **kwargs)
            given.apply_defaults()
            x, mean, var, weight, bias, from_input, _, eps = given.arguments.values()
            if not from_input and mean is not None:
                return _normalized(x, mean, var + eps, weight, bias)
        return func(*args, **kwargs)


def _normalized(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shift, spread, gain, offset = (
        None if value is None else value.view(-1, *[1] * (x.ndim - 2)) for value in (mean, var, weight, bias)
    )
    assert shift is not None, "running statistics come in pairs"
    assert spread is not None, "running statistics come in pairs"
    normal = (x - shift) * spread.rsqrt()
    normal = normal if gain is None else normal * gain
    return normal if offset is None else normal + offset

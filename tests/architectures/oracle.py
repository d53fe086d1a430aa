"""How many continuous scales a network has, counted from derivatives alone.

A candidate multiplies, for every parameter and axis, the entries of index ``i`` by ``exp(t a)``. The exponents ``a``
are a vector ``v``, and moving along them changes the outputs by ``J D v``: ``J`` holds the derivatives by the
parameters, ``D`` the parameters themselves, each entry in one column per axis. The group's dimension is that of the
``v`` that change nothing, less the ``v`` that do not even move a parameter. A scale works whatever the parameters are,
so ``v`` must do so at several random ones; at a single one, more do (a bias and the running mean that is taken from it
may move against each other, but by ratios that depend on both).

What is counted can exceed what permutation-and-scale labels, one space per set of neurons, say at first sight:

- A batch norm has a scale of its own for ``v + eps``, which its gain takes up, besides those of input and output.
- An entry of shape ``[1]``, or all entries of a tensor at once, can be scaled where its neurons one by one cannot (the
  lengths of a weight norm, gains before a mixer of tokens, an attended map read through its mean over channels).
- A vector that is only read normalized (weight norm, cosine attention) has no length.

Numbers without an axis are not candidates.
"""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

ROWS_PER_PROBE, PROBES = 16, 12  # at most and at least


@dataclass(frozen=True)
class Count:
    """A number of scales and how surely it is known.

    Attributes:
        count: Dimension of the group of scales.
        gap: Smallest singular value that counts as change, over the largest that counts as none; the decision is
            safe if it is large.
        directions: Candidates, in number.
        unused: Parameters whose change never reaches an output; left out.
    """

    count: int
    gap: float
    directions: int
    unused: tuple[str, ...]


def scaling_dimension(module: nn.Module, example: tuple[Tensor, ...], *, one_point: bool = False) -> Count:
    """The dimension of the group of scales (one exponent per parameter, axis and index) that keeps the outputs.

    Args:
        module: A copy of it in float64, with random parameters, is probed in eval mode.
        example: Its inputs; floating-point ones are redrawn, integers below their largest.
        one_point: Probe at one parameter vector, for the rank deficiency there, instead of a new one per probe.

    Raises:
        AssertionError: if the singular values have no clear gap.
    """
    module = copy.deepcopy(module).double().eval()
    sizes = [sum(value.shape) for value in scaled(module).values()]
    rows = _derivatives(module, example, at_least=24 + 5 * sum(sizes) // 4, one_point=one_point)
    columns, unused, rank = [], [], 0
    largest = max(float(value.abs().max()) for value in rows.values())
    for name, value in rows.items():
        if value.dim() == 1:
            continue  # a number without an axis
        used = value.abs().amax(0) > 1e-14 * largest
        if not used.all():
            unused.append(f"{name}: {int((~used).sum())} of {used.numel()}")
        moved = _incidence(used, _groups(module, name))
        rank += int(torch.linalg.matrix_rank(moved.T @ moved))
        column = value.flatten(1) @ moved
        # A sum that cancels down to rounding errors is a direction that changes nothing.
        terms = (value.flatten(1).abs() @ moved).amax(0)
        columns.append(column[:, (column.abs().amax(0) > 1e-11 * terms)])
    change = torch.cat(columns, dim=1)
    change = change / change.norm(dim=0)
    change = change / change.norm(dim=1, keepdim=True).clamp_min(1e-30)
    values = torch.linalg.svdvals(change)
    values = (values / values[0]).clamp_min(1e-17)
    kept = int((values > 1e-10).sum())
    assert kept <= rank, f"{kept} directions change the outputs, {rank} move the parameters"
    gap = float(values[kept - 1] / (values[kept] if kept < len(values) else 1e-17))
    assert gap > 100, f"no clear gap: {values[max(kept - 3, 0) : kept + 3].tolist()}"
    return Count(rank - kept, gap, sum(sizes), tuple(unused))


def random_state(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Values for the ``state_dict`` of ``module`` at which nothing is special, in float64.

    No weight is near 0, no gain is 1, no shift, token or running mean is 0, running variances lie in [0.5, 2]. Integer
    buffers and constant tables stay as they are; tied entries stay tied.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float, sign: bool = False) -> Tensor:
        value = low + (high - low) * torch.rand(like.shape, generator=generator, dtype=torch.float64)
        return value * (torch.randint(0, 2, like.shape, generator=generator) * 2 - 1) if sign else value

    learned = {id(value) for value in module.parameters()}
    drawn: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        kind = name.rpartition(".")[2]
        if id(value) in drawn:
            pass
        elif kind == "running_var":
            drawn[id(value)] = uniform(value, 0.5, 2)
        elif kind == "running_mean":
            drawn[id(value)] = uniform(value, 0.1, 0.6, sign=True)
        elif id(value) not in learned:
            drawn[id(value)] = value.detach().double() if value.is_floating_point() else value.detach()
        elif value.dim() > 1:
            drawn[id(value)] = uniform(value, 0.5, 1.5, sign=True) / (value[0].numel() ** 0.5)
        else:
            drawn[id(value)] = uniform(value, 0.1, 0.6, sign=True) if "bias" in kind else uniform(value, 0.5, 1.5)
        state[name] = drawn[id(value)]
    return state


def scaled(module: nn.Module) -> dict[str, Tensor]:
    """The tensors whose axes are scaled, each once: parameters and running statistics."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    learned = {id(value) for value in module.parameters()}
    for name, value in module.state_dict(keep_vars=True).items():
        running = name.rpartition(".")[2] in ("running_mean", "running_var")
        if id(value) not in seen and (id(value) in learned or (running and value.is_floating_point())):
            found[name] = value
        seen.add(id(value))
    return found


def _derivatives(
    module: nn.Module, example: tuple[Tensor, ...], *, at_least: int, one_point: bool
) -> dict[str, Tensor]:
    """Derivatives of random sums of the outputs by log-scale of every entry, ``[rows, *shape]`` per parameter."""
    generator = torch.Generator().manual_seed(1)
    names = list(scaled(module))
    blocks: list[dict[str, Tensor]] = []
    done = 0
    while done < at_least or len(blocks) < PROBES:
        state = random_state(module, 0 if one_point else len(blocks))
        free = {name: state[name].requires_grad_() for name in names}
        with RunningStatistics(), sdpa_kernel(SDPBackend.MATH):
            result = torch.func.functional_call(module, state, _probe(example, generator, len(blocks)))
        outputs = torch.cat([out.flatten() for out in tree_leaves(result) if isinstance(out, Tensor)])
        rows = min(ROWS_PER_PROBE, outputs.numel())
        sums = torch.randn(rows, outputs.numel(), generator=generator, dtype=torch.float64)
        found = torch.autograd.grad(outputs, list(free.values()), sums, is_grads_batched=True, allow_unused=True)
        moved = [_moves(module, name, value.detach()) for name, value in free.items()]
        blocks.append(
            {
                name: torch.zeros(rows, *by.shape, dtype=torch.float64) if gradient is None else gradient * by
                for name, gradient, by in zip(names, found, moved, strict=True)
            }
        )
        done += rows
    return {name: torch.cat([block[name] for block in blocks]) for name in names}


def _moves(module: nn.Module, name: str, value: Tensor) -> Tensor:
    """What an entry moves by, per unit of log-scale: itself, and for a variance 2 (v + eps)."""
    owner, _, kind = name.rpartition(".")
    if kind != "running_var":
        return value
    eps = module.get_submodule(owner).eps
    assert isinstance(eps, float), f"{owner} has running statistics and no eps"
    return 2 * (value + eps)


def _groups(module: nn.Module, name: str) -> int:
    owner, _, kind = name.rpartition(".")
    owner = owner.removesuffix(".parametrizations.weight")
    return getattr(module.get_submodule(owner), "groups", 1) if kind in ("weight", "original1") else 1


def _incidence(used: Tensor, groups: int) -> Tensor:
    """Which entries (rows, those not used are zero) each axis and index touches (columns).

    A grouped convolution reads other neurons in each group, so an index of its second axis is one per group.
    """
    parts = []
    for axis, size in enumerate(used.shape):
        index = torch.arange(size).view(-1, *(1,) * (used.dim() - axis - 1)).expand(used.shape)
        if axis == 1 and groups > 1:
            group = torch.arange(used.shape[0]) // (used.shape[0] // groups)
            index, size = index + size * group.view(-1, *(1,) * (used.dim() - 1)), size * groups
        parts.append(F.one_hot(index.flatten(), size))
    return torch.cat(parts, dim=1).double() * used.reshape(-1, 1)


def _probe(example: tuple[Tensor, ...], generator: torch.Generator, number: int) -> tuple[Tensor, ...]:
    # Large inputs too: clipped activations are linear near zero.
    size = (1.0, 3.0, 8.0)[number % 3]
    return tuple(
        size * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.is_floating_point()
        else torch.randint(int(value.max()) + 1, value.shape, generator=generator)
        for value in example
    )


class RunningStatistics(TorchFunctionMode):
    """torch has no derivatives by running statistics; its norms in eval mode are written out here."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.batch_norm, F.instance_norm):
            given = inspect.signature(func).bind(*args, **kwargs)
            given.apply_defaults()
            x, mean, var, weight, bias, from_input, _, eps = given.arguments.values()
            if not from_input:
                return _norm(x, mean, var, weight, bias, eps)
        return func(*args, **kwargs)


def _norm(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    shape = (-1, *(1,) * (x.dim() - 2))
    y = (x - mean.view(shape)) / (var.view(shape) + eps).sqrt()
    y = y if weight is None else y * weight.view(shape)
    return y if bias is None else y + bias.view(shape)

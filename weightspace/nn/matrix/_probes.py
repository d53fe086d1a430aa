"""Learned inputs that run through the networks themselves: their activations are states of the neurons.

Whatever a network computes moves with its gauge, so activations are channels beside those that messages make, for
every kind of layer, with its own nonlinearity and constants. Gradients of the outputs are such channels as well.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import tree_leaves

from ..._errors import ConfigError
from ..._types import Params
from ...gauge import act, reciprocal_or_zero, safe_norm, sample
from ...spec import SymmetrySpec, without_scales
from ...view import Field
from .._interfaces import Architecture
from ._captures import Capture, captures, moved
from ._nodes import Nodes

MOST_CHANNELS = 64
"""Positions times probes that are channels of their own; of more, a mean and two learned sums over positions are."""
SUMS = 2


@final
@dataclass(frozen=True, eq=False)
class Probing:
    """How many inputs are learned, and the networks they run through; see :class:`Probes`."""

    num: int
    module: nn.Module | None
    example: Tensor | None
    derivatives: bool = False

    def build(self, spec: SymmetrySpec, nodes: Nodes | None) -> "Probes":
        """The probes that read states of these nodes (outputs alone, if there are none)."""
        return Probes(Architecture(spec, self.module, self.example), nodes, self.num, derivatives=self.derivatives)


@final
class Probes(nn.Module):
    """Activations of every network on ``num`` learned inputs.

    Args:
        architecture: With a module and an example input of numbers.
        nodes: Fields of the networks, or ``None`` if outputs alone are read.
        num: How many inputs.
        derivatives: Gradients of learned sums of the outputs by the activations, too.

    Raises:
        ConfigError: if the module or the example is missing, or the input is no tensor of numbers.
    """

    def __init__(self, architecture: Architecture, nodes: Nodes | None, num: int, *, derivatives: bool) -> None:
        super().__init__()
        module, example = architecture.module, architecture.example
        if module is None or example is None:
            raise ConfigError(
                f"probes={num} runs the networks, which takes a module of theirs and an example input. "
                "Give both to Architecture(spec, module, example), or set probes=0."
            )
        if not example.is_floating_point():
            raise ConfigError(
                f"probes={num} learns inputs, and these are whole numbers ({example.dtype}), which are not learned. "
                "Set probes=0."
            )
        self.spec, self.num, self.derivatives = architecture.spec, num, derivatives
        # In a list: its parameters are not ours. Buffers that are in no state_dict move with us, see _apply.
        self._module = [copy.deepcopy(module).eval().requires_grad_(False)]
        own = next((value.dtype for value in module.parameters()), torch.float32)
        example = example.detach()
        size = example.std() if example.numel() > 1 and float(example.std()) > 0 else torch.ones_like(example.mean())
        start = example.mean() + size * torch.randn(num, *example.shape[1:], device=example.device, dtype=own)
        self.inputs = nn.Parameter(start.to(torch.get_default_dtype()))
        params = {name: value.detach()[None] for name, value in self._module[0].state_dict().items()}
        self._captures: list[Capture] = []
        self._shapes: dict[int, torch.Size] = {}
        with torch.no_grad():
            found = list(captures(self.spec, module)) if nodes is not None else []
            outputs, states = self._run(params, start, found, None)
            self.num_outputs = outputs.shape[-1]
            self._captures = self._lawful(params, start, found, states)
            if nodes is not None:
                self._captures = [one for one in self._captures if one.field in nodes.rows]
            _, states = self._run(params, start, self._captures, None)
        self.cotangent = nn.Parameter(torch.randn(self.num_outputs)) if derivatives and self._captures else None
        self.places = nn.ParameterDict(
            {
                str(k): torch.randn(state.shape[-1], SUMS) / state.shape[-1] ** 0.5
                for k, state in enumerate(states)
                if num * state.shape[-1] > MOST_CHANNELS
            }
        )
        self.channels: dict[Field, int] = {}
        for k, (one, state) in enumerate(zip(self._captures, states, strict=True)):
            each = num * (1 + SUMS if str(k) in self.places else state.shape[-1])
            self.channels[one.field] = self.channels.get(one.field, 0) + each * (2 if derivatives else 1)
        self.num_context = self.num_outputs + len(states)

    def forward(self, params: Mapping[str, Tensor]) -> tuple[dict[Field, Tensor], Float[Tensor, "b o"]]:
        """Channels by field, in units of each capture, and context: outputs and the logarithms of the units."""
        params = {name: params[name] for name in self.spec.axes}
        outputs, states = self._run(params, self.inputs, self._captures, self.cotangent)
        found: dict[Field, list[Tensor]] = {}
        logs = []
        for k, state in enumerate(states):
            place = k % len(self._captures)
            unit = safe_norm(state.flatten(1)) / state[0].numel() ** 0.5
            if k < len(self._captures):
                logs.append((unit + 1e-3).log())
            state = state * reciprocal_or_zero(unit).view(-1, 1, 1, 1)
            if str(place) in self.places:
                sums = state @ self.places[str(place)]
                state = torch.cat([state.mean(-1, keepdim=True), sums], -1)
            found.setdefault(self._captures[place].field, []).append(state.flatten(2))
        channels = {field: torch.cat(parts, -1) for field, parts in found.items()}
        context = torch.cat([outputs, torch.stack(logs, 1)], 1) if logs else outputs
        return channels, context

    def _run(
        self, params: Mapping[str, Tensor], x: Tensor, found: list[Capture], cotangent: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Flat outputs of stacked networks and the states captured, then their gradients if asked for."""
        sites = list(dict.fromkeys((one.module, one.output) for one in found))
        module, shapes = self._module[0], self._shapes

        def call(own: Params, shifts: dict[int, Tensor] | None) -> tuple[Tensor, dict[int, Tensor]]:
            taken: dict[int, Tensor] = {}
            handles = []
            for number, (name, output) in enumerate(sites):
                hook = _hook(taken, number, None if shifts is None else shifts[number], output)
                part = module.get_submodule(name)
                register: Any = part.register_forward_hook if output else part.register_forward_pre_hook
                handles.append(register(hook))
            try:
                result = functional_call(module, own, (x,))
            finally:
                for handle in handles:
                    handle.remove()
            outputs = [value.flatten() for value in tree_leaves(result) if isinstance(value, Tensor)]
            return torch.cat(outputs), taken

        def one(own: Params) -> tuple[Tensor, dict[int, Tensor], dict[int, Tensor]]:
            if cotangent is None:
                outputs, taken = call(own, None)
                return outputs, taken, {}
            zeros = {number: x.new_zeros(shape) for number, shape in shapes.items()}
            made: Any = vjp(lambda shifts: call(own, shifts), zeros, has_aux=True)
            outputs, pull, taken = made
            return outputs, taken, pull(cotangent)[0]

        outputs, taken, gradients = vmap(one, randomness="same")(dict(params))
        self._shapes = {number: value.shape[1:] for number, value in taken.items()}
        order = {site: number for number, site in enumerate(sites)}
        states = []
        for values in (taken, gradients) if cotangent is not None else (taken,):
            states += [capture.take(values[order[capture.module, capture.output]]) for capture in found]
        return outputs, states

    def _lawful(self, params: Params, x: Tensor, found: list[Capture], states: list[Tensor]) -> list[Capture]:
        """The captures that move as their labels say, tried on one network."""
        rigid = without_scales(self.spec, keep_signs=True)
        element = sample(rigid, 0)
        _, there = self._run(act(element, params, rigid), x, found, None)
        kept = []
        for capture, here, got in zip(found, states, there, strict=True):
            want = moved(element, capture.field, here[0])
            if float((got[0] - want).abs().max()) <= 1e-3 * float(want.abs().max()):
                kept.append(capture)
        return kept

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Probes":
        super()._apply(fn, recurse)
        self._module[0]._apply(fn, recurse)
        return self


def _hook(taken: dict[int, Tensor], number: int, shift: Tensor | None, output: bool) -> Callable[..., Any]:
    """Keeps a tensor of the first call of a module, shifted if asked for."""

    def keep(value: Tensor) -> Tensor:
        if number in taken:  # a module that is called again: the first call stands for it
            return value
        value = value if shift is None else value + shift
        taken[number] = value
        return value

    def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (keep(args[0]), *args[1:])

    def after(_: nn.Module, __: tuple[Any, ...], result: Tensor) -> Tensor:
        return keep(result)

    return after if output else before

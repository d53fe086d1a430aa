"""``derive`` with a proof: the symmetry that was found is tried on the network before it is returned."""

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from .._errors import SpecError
from ..spec import Inputs, Rules, SymmetrySpec, untouched, without_caches
from ..spec import derive as derive_unverified
from ._act import act
from ._element import sample
from ._on_meta import LIMIT, materialized, size, stand_in
from ._verify import same_function

if TYPE_CHECKING:
    Network = nn.Module
    from ..spec import Example

    OnUnknown = Literal["refuse", "pin"]
else:
    Network = Example = OnUnknown = object

_LIMIT = 50_000_000
"""Parameters up to which a float64 copy of the network is made."""


def derive(
    module: Network,
    example: Example,
    *,
    on_unknown: OnUnknown = "refuse",
    rules: Rules | None = None,
    verify: bool = True,
) -> SymmetrySpec:
    """The symmetry of a network: which neurons may be permuted and rescaled together, proven on the network.

    See :func:`weightspace.spec.derive` for what is read and how spaces are named. The largest group of
    permutations and scales that the reading can show to act is returned, never a wrong one: with ``verify`` two
    random elements are applied to a float64 copy of the network with random parameters (trained ones may hide
    an error: zero biases, equal gains), and the outputs must stay.

    Args:
        module: The network, on any device; left as it was. On ``meta`` random stand-ins for its parameters and
            buffers are tried, up to 2e8 numbers.
        example: Its input: a tensor, a tuple of tensors, a dict of keyword arguments (tensors, and settings such as
            ``"use_cache": False``), or a tuple that ends with one. Only shapes and types matter, and integers are used
            as they are.
        on_unknown: ``"refuse"`` or ``"pin"``: see :func:`weightspace.spec.derive`.
        rules: How layers of your own move, by type: ``{MyLayer: "out in~"}`` or ``{MyLayer: "h"}``.
        verify: Whether to try the symmetry. Two forward passes for each of two elements.

    Returns:
        The spec. If it was not tried, it says so: :attr:`weightspace.spec.SymmetrySpec.unproven` and the first line
        of its text.

    Raises:
        SpecError: naming operation, place and the way on, if a part cannot be read; if the outputs change.
    """
    spec = derive_unverified(module, example, on_unknown=on_unknown, rules=rules)
    inputs = Inputs.of(example)
    if not spec.free:
        return replace(spec, unproven="")
    if not verify:
        return replace(spec, unproven="read off the graph with verify=False")
    if any(value.is_meta for value in (*module.parameters(), *module.buffers(), *inputs.tensors)):
        if (num := size(module)) > LIMIT:
            return replace(spec, unproven=f"read on meta, and {num:.2g} numbers are more than the {LIMIT:.0e} tried")
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                module, inputs = materialized(module), inputs.map(stand_in)
            gap, limit = _gap(module, spec, inputs)
        except Exception as error:  # whatever forward raises on numbers that mean nothing to it
            kind = type(error).__name__
            return replace(spec, unproven=f"read on meta, and forward fails on random stand-ins with {kind}")
    else:
        gap, limit = _gap(module, spec, inputs)
    if not gap <= limit:
        raise SpecError(
            f"the symmetry read off {type(module).__name__} changes its outputs by {gap:.2g} of their size, so "
            "this network does something that was read wrongly. Please report it; until then leave the part out: "
            "derive a smaller network, or write the spec by hand and type ws.parse(text)."
        )
    return replace(spec, unproven="")


def _gap(module: nn.Module, spec: SymmetrySpec, given: Inputs) -> tuple[float, float]:
    """Largest relative change of the outputs, and what rounding explains."""
    module = without_caches(module, given)  # before it gets other parameters
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if sum(value.numel() for value in module.state_dict().values()) <= _LIMIT:
            try:
                net = copy.deepcopy(module).double().eval()
                inputs = given.map(lambda arg: _noise(arg) if arg.is_floating_point() else arg)
                net.load_state_dict(_random_state(net))
                with torch.no_grad(), untouched(net) as trial:
                    inputs.call(trial)
                return _largest(net, spec, inputs), 1e-6
            except (RuntimeError, TypeError, ValueError):
                pass  # not every network runs in float64, or can be copied
        return _largest(module, spec, given), 1e-2


def _largest(net: nn.Module, spec: SymmetrySpec, inputs: Inputs) -> float:
    params = {name: value.detach() for name, value in net.state_dict().items()}
    moved = (act(sample(spec, seed, max_scale=2.0), params, spec) for seed in (0, 1))
    gaps = [same_function(net, twin, inputs.example) for twin in moved]
    return float(torch.tensor(gaps).max())


def _noise(arg: Tensor) -> Tensor:
    return torch.randn(arg.shape, dtype=torch.float64).to(arg.device)


def _random_state(net: nn.Module) -> dict[str, Tensor]:
    """Parameters without special values; variances positive, other buffers as they are."""
    learned = {name for name, _ in net.named_parameters(remove_duplicate=False)}
    state = {}
    for name, value in net.state_dict().items():
        if not value.is_floating_point():
            state[name] = value
        elif name.endswith("running_var"):
            state[name] = torch.rand_like(value) + 0.5
        elif name in learned or name.endswith("running_mean"):
            fan_in = max(1, value[0].numel()) if value.ndim > 1 else 4
            state[name] = torch.randn_like(value) * fan_in**-0.5
        else:
            state[name] = value
    return state

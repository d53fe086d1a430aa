"""Statistics of a merged network: the mean of weights has features that vary less than those of either network.

Channels of a mean of two networks have a smaller variance than in either (they agree in part only), layer after layer,
until the last layers see nearly constants. Running statistics averaged from the networks are wrong for it as well.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec
from ._batches import Inputs, check_batches
from ._shares import shares

CONSTANT = 1e-6
"""Deviation of a channel, relative to the one wanted, below which it is constant and is shifted only."""


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation of every channel over samples and places."""

    mean: Float[Tensor, " n"]
    deviation: Float[Tensor, " n"]


def has_running_statistics(module: nn.Module) -> bool:
    """Whether the module has batch normalization with running statistics, which no mean of weights has right."""
    return any(isinstance(part, _BatchNorm) and part.track_running_stats for part in module.modules())


def reestimate(module: nn.Module, params: Mapping[str, Tensor], batches: Inputs) -> Params:
    """The parameters with running statistics of batch normalization measured anew, as their average over the batches.

    Everything else is as given, and so is a network without batch normalization. Batches count the same whatever their
    size, as in training; dropout is off.

    Args:
        module: The architecture; left as it was.
        params: Parameters of one network.
        batches: Inputs, at least two samples each.

    Raises:
        ConfigError: if there is no batch, or one is too small for batch normalization.
    """
    check_batches(batches)
    probe = copy.deepcopy(module).eval()
    fresh = {name: value.clone() for name, value in params.items()}
    for name, part in probe.named_modules():
        if isinstance(part, _BatchNorm) and part.track_running_stats:
            part.train()
            part.momentum = None  # the cumulative average
            for key, start in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
                fresh[_key(name, key)].fill_(start)
    try:
        _run(probe, fresh, batches)
    except ValueError as error:
        raise ConfigError(f"a batch is too small for batch normalization: {error}. Give larger batches.") from error
    return fresh


def repair(
    module: nn.Module,
    params: Mapping[str, Tensor],
    endpoints: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    batches: Inputs,
    *,
    weights: Sequence[float] | None = None,
) -> Params:
    """The parameters corrected so that every hidden channel has the mean and deviation that the endpoints have.

    What is wanted is the weighted mean of the endpoints' channel means, and of their deviations. Layer by layer, in the
    order of the forward pass, each channel of a linear or convolutional layer is scaled and shifted, which its weight
    and bias take up; where batch normalization follows, its running statistics are measured and its gain and bias take
    it up. So the architecture stays what it is.

    Left alone: layers whose outputs are the network's, transposed convolutions, weights shared by several layers, and a
    normalization without gain and bias (its running statistics are measured). A layer without bias is scaled only.

    Args:
        module: The architecture; left as it was. It runs in eval mode.
        params: The merged network.
        endpoints: The networks it is the mean of, aligned: in its gauge (:meth:`Merged.moved`).
        spec: The symmetry; it says which layers write to outputs.
        batches: Inputs. One pass for each layer, so a few thousand samples are plenty.
        weights: What each endpoint counts. Default: all the same.

    Raises:
        ConfigError: if there is no batch or no endpoint, or the weights are not one for each, finite and at least 0.
        SpecMismatch: if ``params`` or an endpoint does not fit the spec.

    Source: REPAIR, Jordan et al. 2022, arXiv:2211.08403, who normalize all layers in one pass with batch statistics; we
    correct them one after the other, so later layers are measured on what earlier ones have become.
    """
    check_batches(batches)
    if not endpoints:
        raise ConfigError("there is no endpoint to take statistics from. Give the networks that were merged.")
    share = shares(weights, len(endpoints)).tolist()
    for what in (params, *endpoints):
        if spec.check_values(what) is not None:
            raise SpecMismatch("statistics are repaired for one network at a time, not for a stack. Take one of them.")
    probe = copy.deepcopy(module).eval()
    sites = _sites(probe, params, spec, batches)
    ends = [_moments(probe, end, sites, batches) for end in endpoints]
    fixed = {name: value.clone() for name, value in params.items()}
    for site in sites:
        wanted = Moments(
            _weighted(share, [end[site].mean for end in ends]), _weighted(share, [end[site].deviation for end in ends])
        )
        part = probe.get_submodule(site)
        before = isinstance(part, _BatchNorm)
        here = _moments(probe, fixed, [site], batches, inputs=before)[site]
        fixed |= _after_norm(site, part, fixed, here, wanted) if before else _in_layer(site, fixed, here, wanted)
    return fixed


def _in_layer(site: str, params: Params, here: Moments, wanted: Moments) -> Params:
    """Weight and bias of a layer whose outputs have the wanted moments."""
    weight, bias = params[_key(site, "weight")], params.get(_key(site, "bias"))
    factor = _factor(here, wanted)
    new = {_key(site, "weight"): (weight.double() * factor.view(-1, *[1] * (weight.ndim - 1))).to(weight)}
    if bias is not None:
        new[_key(site, "bias")] = (factor * (bias.double() - here.mean) + wanted.mean).to(bias)
    return new


def _after_norm(site: str, part: _BatchNorm, params: Params, here: Moments, wanted: Moments) -> Params:
    """What a normalization needs so that its outputs have the wanted moments, given those of its inputs."""
    mean, var = params[_key(site, "running_mean")], params[_key(site, "running_var")]
    square = here.deviation.square()
    new = {_key(site, "running_mean"): here.mean.to(mean), _key(site, "running_var"): square.to(var)}
    gain, bias = params.get(_key(site, "weight")), params.get(_key(site, "bias"))
    if gain is None or bias is None:
        return new
    out = gain.double().abs() * (square / (square + part.eps)).sqrt()
    factor = _factor(Moments(bias.double(), out), wanted)
    return new | {_key(site, "weight"): (gain.double() * factor).to(gain), _key(site, "bias"): wanted.mean.to(bias)}


def _factor(here: Moments, wanted: Moments) -> Float[Tensor, " n"]:
    """What each channel is multiplied by: 1 where it is constant, since no factor makes it vary."""
    alive = here.deviation > CONSTANT * wanted.deviation
    return (wanted.deviation / here.deviation.where(alive, 1.0)).where(alive, 1.0)


def _sites(probe: nn.Module, params: Mapping[str, Tensor], spec: SymmetrySpec, batches: Inputs) -> list[str]:
    """Names of the layers to correct, in the order in which they run."""
    names = {part: name for name, part in probe.named_modules()}
    order: list[str] = []
    made: list[tuple[str, Tensor]] = []  # keeps the tensors alive, so that none is taken for another one
    normed: set[str] = set()

    def note(part: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(part, _BatchNorm):
            normed.update(name for name, value in made if value is args[0])
        made.append((names[part], output))
        if names[part] not in order:
            order.append(names[part])

    with _hooked(probe, [*names.values()], note):
        _run(probe, params, batches[:1])
    tied = [id(value) for _, value in probe.named_parameters(remove_duplicate=False)]
    chosen = []
    for name in order:
        part, key = probe.get_submodule(name), _key(name, "weight")
        if isinstance(part, _BatchNorm):
            chosen.extend([name] if part.track_running_stats else [])
        elif name not in normed and key in params and tied.count(id(part.weight)) == 1 and not _is_output(key, spec):
            chosen.append(name)
    return chosen


def _is_output(key: str, spec: SymmetrySpec) -> bool:
    """Whether the weight writes to a space that no weight reads."""
    spaces = {part.space for part in spec.axes[key][0].parts}
    read = {part.space for _, axes in spec.params for axis in axes for part in axis.parts if part.power < 0}
    return all(space is None or (spec.space[space].fixed and space not in read) for space in spaces)


def _moments(
    probe: nn.Module, params: Mapping[str, Tensor], sites: Sequence[str], batches: Inputs, *, inputs: bool = False
) -> dict[str, Moments]:
    """Moments of what each site puts out (or takes in), over all batches and all its calls."""
    names = {probe.get_submodule(name): name for name in sites}
    sums: dict[str, tuple[int, Tensor, Tensor]] = {}

    def note(part: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        value = (args[0] if inputs else output).detach()
        rows = value.movedim(-1 if isinstance(part, nn.Linear) else 1, 0).flatten(1).double()
        count, first, second = sums.get(names[part], (0, torch.zeros(()), torch.zeros(())))
        sums[names[part]] = (count + rows.shape[1], first + rows.sum(1), second + rows.square().sum(1))

    with _hooked(probe, sites, note):
        _run(probe, params, batches)
    found = {}
    for name, (count, first, second) in sums.items():
        mean = first / count
        found[name] = Moments(mean, (second / count - mean.square()).clamp_min(0).sqrt())
    return found


@contextmanager
def _hooked(probe: nn.Module, names: Sequence[str], note: Callable[..., None]) -> Iterator[None]:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, _BatchNorm)
    parts = [probe.get_submodule(name) for name in names]
    handles = [part.register_forward_hook(note) for part in parts if isinstance(part, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run(probe: nn.Module, params: Mapping[str, Tensor], batches: Inputs) -> None:
    with torch.no_grad():
        for batch in batches:
            args = batch if isinstance(batch, tuple) else (batch,)
            functional_call(probe, dict(params), tuple(arg.clone() for arg in args), tie_weights=False)


def _weighted(share: list[float], values: list[Tensor]) -> Tensor:
    return torch.stack([part * value for part, value in zip(share, values, strict=True)]).sum(0)


def _key(name: str, entry: str) -> str:
    return f"{name}.{entry}" if name else entry

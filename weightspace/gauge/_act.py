"""The action of the gauge on parameters."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec
from ._element import Element


def act(element: Element, params: Mapping[str, Tensor], spec: SymmetrySpec) -> Params:
    """The parameters moved by ``element``: other numbers, the same network function.

    One element moves one network or every network of a stack; a batch of ``b`` elements moves ``b`` stacked
    networks one by one, or one network to ``b`` places.

    Raises:
        SpecMismatch: if the parameters or the element do not fit the spec.
    """
    num = spec.check(params)
    batch = _check(element, spec)
    if num is not None and batch is not None and num != batch:
        raise SpecMismatch(
            f"{batch} elements cannot act on {num} stacked networks. Sample as many: ws.sample(spec, num={num})."
        )
    moved = {}
    for name, axes in spec.params:
        value = params[name]
        lead = int(num is not None or batch is not None)
        if batch is not None and num is None:
            value = value.expand(batch, *value.shape)
        for dim, axis in enumerate(axes):
            if axis.space is None or spec.space[axis.space].fixed:
                continue
            space = spec.space[axis.space]
            scale = None if space.scale == "trivial" else element.scale[space.name] ** axis.power
            value = _move(value, dim + lead, element.perm[space.name], scale, axis.repeat)
        moved[name] = value
    return moved


def _move(value: Tensor, dim: int, perm: Tensor, scale: Tensor | None, repeat: int) -> Tensor:
    """Permute and scale the neurons on axis ``dim``, each owning ``repeat`` consecutive entries."""
    perm = perm.to(value.device)
    value = value.unflatten(dim, (perm.shape[-1], repeat))
    shape = [1] * value.ndim
    shape[dim] = perm.shape[-1]
    if perm.ndim == 2:
        shape[0] = perm.shape[0]
        value = value.gather(dim, perm.view(shape).expand_as(value))
    else:
        value = value.index_select(dim, perm)
    if scale is not None:
        value = value * scale.to(value).view(shape)
    return value.flatten(dim, dim + 1)


def _check(element: Element, spec: SymmetrySpec) -> int | None:
    batch: int | None = None
    for space in spec.free:
        perm, scale = element.perm.get(space.name), element.scale.get(space.name)
        if perm is None or scale is None or perm.shape != scale.shape or perm.shape[-1] != space.size:
            have = None if perm is None else list(perm.shape)
            raise SpecMismatch(
                f"the element has shape {have} on space {space.name!r}, the spec needs [{space.size}]. "
                "Sample it from this spec: ws.sample(spec)."
            )
        batch = perm.shape[0] if perm.ndim == 2 else batch
    return batch


def stack(networks: list[Mapping[str, Tensor]]) -> Params:
    """Stacked parameters ``[b, *shape]`` of a list of networks of one architecture.

    Raises:
        SpecMismatch: if the list is empty or two networks differ in a name or shape.
    """
    if not networks:
        raise SpecMismatch("there is no network to stack. Give at least one: ws.gauge.stack([net.state_dict()]).")
    first = {name: value.shape for name, value in networks[0].items()}
    for place, network in enumerate(networks):
        for name in [*first, *network]:
            if name not in first or name not in network or network[name].shape != first[name]:
                raise SpecMismatch(
                    f"network {place} differs from network 0 at parameter {name!r}. "
                    "Stack networks of one architecture only."
                )
    return {name: torch.stack([network[name] for network in networks]) for name in networks[0]}

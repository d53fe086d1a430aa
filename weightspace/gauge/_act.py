"""The action of the gauge on parameters."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params
from ..spec import Axis, SymmetrySpec
from ._axis import Reading, read_axis
from ._element import Element


def act(element: Element, params: Mapping[str, Tensor], spec: SymmetrySpec) -> Params:
    """The parameters moved by ``element``: other numbers, the same network function.

    One element moves one network or every network of a stack; a batch of ``b`` elements moves ``b`` stacked
    networks one by one, or one network to ``b`` places. Where nothing moves, the tensor given is returned, no copy.

    Raises:
        SpecMismatch: if the parameters or the element do not fit the spec, or whole numbers would be scaled.
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
        # An axis that holds one block is read last: which block is said by another axis, once that one has moved.
        for dim, axis in sorted(enumerate(axes), key=lambda item: any(part.over for part in item[1].parts)):
            if isinstance(axis, Axis) and axis.plain:
                if axis.space is None or spec.space[axis.space].fixed:
                    continue
                space = spec.space[axis.space]
                scale = None if space.scale == "trivial" else element.scale[space.name] ** axis.power
                value = _move(value, dim + lead, element.perm[space.name], scale, axis.repeat, name)
            else:
                value = _move_any(value, dim, lead, read_axis(element, spec, name, dim), name)
        moved[name] = value
    return moved


def scaled(value: Tensor, scale: Tensor, name: str, offset: float = 0.0) -> Tensor:
    """The entries of the named parameter times a scale that fits its axes; whole numbers may be moved only.

    Raises:
        SpecMismatch: if the entries are whole numbers and a scale is not 1: rounding would change the function.
    """
    if not value.is_floating_point():
        if bool((scale == 1).all()):
            return value
        word = str(value.dtype).removeprefix("torch.")
        raise SpecMismatch(
            f"parameter {name!r} is {word}, and a scale or sign would act on it: whole numbers can only change places. "
            f"Convert it first, e.g. params[{name!r}].float(), or use a spec that permutes only."
        )
    scale = scale.to(value)
    return (value + offset) * scale - offset if offset else value * scale


def _move(value: Tensor, dim: int, perm: Tensor, scale: Tensor | None, repeat: int, name: str) -> Tensor:
    """Permute and scale the neurons on axis ``dim``, each owning ``repeat`` consecutive entries."""
    # What stays is not copied: most steps of an alignment move one space of many.
    stays = bool((perm == torch.arange(perm.shape[-1], device=perm.device)).all())
    if stays and (scale is None or bool((scale == 1).all())):
        return value
    perm = perm.to(value.device)
    value = value.unflatten(dim, (perm.shape[-1], repeat))
    shape = [1] * value.ndim
    shape[dim] = perm.shape[-1]
    if perm.ndim == 2:
        shape[0] = perm.shape[0]
    if not stays:
        one = perm.ndim == 1
        value = value.index_select(dim, perm) if one else value.gather(dim, perm.view(shape).expand_as(value))
    if scale is not None:
        value = scaled(value, scale.view(shape).to(value.device), name)
    return value.flatten(dim, dim + 1)


def _move_any(value: Tensor, dim: int, lead: int, reading: Reading, name: str) -> Tensor:
    """Move the entries of axis ``dim`` as ``reading`` says, which may differ along another axis."""
    along = [dim] if reading.other is None else [reading.other, dim]

    def placed(table: Tensor) -> Tensor:
        """``[*b, (other,) entries]`` with its axes where those of ``value`` are."""
        if reading.other is not None and reading.other > dim:
            table = table.transpose(-1, -2)
        shape = [1] * value.ndim
        for axis, size in zip(sorted(along), table.shape[table.ndim - len(along) :], strict=True):
            shape[axis + lead] = size
        if table.ndim > len(along):
            shape[0] = table.shape[0]
        return table.reshape(shape).to(value.device)

    value = value.gather(dim + lead, placed(reading.source).expand_as(value))
    return value if reading.scale is None else scaled(value, placed(reading.scale), name, reading.offset)


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

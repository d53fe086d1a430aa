"""Kernels of grouped convolutions: their short axis 1 names other neurons for every group of indices along axis 0."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from torch.fx import Node

from .._values import Call, Param, shape_of
from ._store import Store
from ._value import Field, Term, Value


def grouped(calls: Iterable[Call], params: Mapping[Node, Param]) -> dict[str, int]:
    """By parameter, the number of groups of the convolution whose kernel it is, or from which this is computed.

    A weight norm reads the parameter before the convolution does, so what its axes are must be known beforehand.
    """
    found: dict[str, int] = {}
    for call in calls:
        groups = call.args.get("groups", 1)
        if not call.name.startswith("conv") or groups == 1:
            continue
        shape = shape_of(call.args["weight"])[:2]
        seen, queue = {call.args["weight"]}, [call.args["weight"]]
        while queue:
            node = queue.pop()
            if node in params:
                if shape_of(node)[:2] == shape:
                    found.setdefault(params[node].name, groups)
                continue
            near = [other for other in node.all_input_nodes if other not in seen]
            seen.update(near)
            queue += near
    return found


def by_group(store: Store, weight: Value, groups: int) -> Value:
    """A kernel with units of its own along axis 1 for every group along axis 0."""
    shared = next((label for label in weight.fields if label.dims == (1,) or label.home == 1), None)
    if shared is None:
        return weight
    fields = [label for label in weight.fields if label is not shared]
    terms = [term for term in weight.terms if term.home != 1]
    if shared.ids.size > 1:
        rows, size = weight.shape[0] // groups, weight.shape[1]
        units = np.repeat(store.units(groups * size).reshape(groups, size), rows, 0)
        units = units.reshape(*units.shape, *[1] * (len(weight.shape) - 2))
        scales = np.repeat(store.scales(units.reshape(groups, -1, size)[:, 0]), rows, 0).reshape(units.shape)
        around = np.repeat(store.units(groups), rows).reshape(-1, *[1] * (len(weight.shape) - 1))
        store.block(units, around)
        for label in fields:
            if label.dims == (0,):
                store.block(label.ids, around)
        fields.append(Field(units))
        terms.append(Term(scales))
    return replace(weight, fields=tuple(fields), terms=tuple(terms))

"""The layers of an ONNX graph: which constants are weights and biases, in the layout that torch has.

Exporters keep a layer as one operation or write it out (a layer normalization as a dozen of them), name tensors as
they please, and store matrices as rows or as columns. What they agree on is the order of the computation: layers are
named by it, ``layers.0.weight``, ``layers.0.bias``, and so on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

_ROLES = {
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "BatchNormalization": ("", "weight", "bias", "running_mean", "running_var"),
    "LayerNormalization": ("", "weight", "bias"),
    "InstanceNormalization": ("", "weight", "bias"),
    "GroupNormalization": ("", "weight", "bias"),
    "PRelu": ("", "weight"),
    "Gather": ("weight", ""),
    "Gemm": ("", "weight", "bias"),
    "MatMul": ("", "weight"),
}
"""What the inputs of an operation are, if they are constants; nothing for data."""

_FOLDED: dict[str, Callable[[Tensor, Mapping[str, Any]], Tensor]] = {
    "Identity": lambda value, _: value,
    "Transpose": lambda value, about: value.permute(*about.get("perm", range(value.ndim)[::-1])),
}
"""Operations that exporters leave on constants."""


class Unreadable(Exception):
    """What keeps a graph from being read."""


@dataclass
class Node:
    """One operation."""

    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    about: Mapping[str, Any]


@dataclass
class Layers:
    """Tensors by name in the order of the computation, and the exporter's name of each.

    ``branch`` says why the order alone does not tell which layer is which; empty in a chain.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)
    branch: str = ""


class Walk:
    """Reads a graph, operation by operation."""

    def __init__(self, constants: Mapping[str, Tensor]) -> None:
        self.constants = dict(constants)
        self.found = Layers()
        self._layer: dict[str, int] = {}  # by value, the last layer that it has been through
        self._count = 0

    def visit(self, node: Node) -> None:
        """Take one operation; those before it have been taken.

        Raises:
            Unreadable: if a constant with several entries is used in a way that is not known here.
        """
        data = [name for name in node.inputs if name and name not in self.constants]
        if not data:
            self._fold(node)
            return
        if node.kind == "Transpose":
            self.found.branch = "moves axes, so that the order of entries may differ from that in torch"
        before = max((self._layer.get(name, -1) for name in data), default=-1)
        weights = {place: name for place, name in enumerate(node.inputs) if self._is_weight(node, place)}
        if node.kind in _ROLES and weights:
            self._open(node, weights, before)
        elif node.kind in ("Mul", "Add", "Sub") and weights:
            self._elementwise(node, next(iter(weights.values())), before)
        elif weights:
            name = next(iter(weights.values()))
            shape = list(self.constants[name].shape)
            raise Unreadable(f"{name!r} {shape} is used by {node.kind}, which is not read here")
        else:
            self._pass(node, before)

    def _is_weight(self, node: Node, place: int) -> bool:
        name = node.inputs[place]
        if name not in self.constants or not self.constants[name].is_floating_point():
            return False
        value = self.constants[name]
        # A layer with one output has a bias of one entry; other single numbers are no parameters.
        lonely = node.kind in _ROLES or (node.kind == "Add" and self._wants_bias(node, value))
        return value.numel() > 1 or (value.ndim > 0 and lonely)

    def _wants_bias(self, node: Node, value: Tensor) -> bool:
        layer = max((self._layer.get(name, -1) for name in node.inputs), default=-1)
        weight = self.found.tensors.get(f"layers.{layer}.weight")
        return (
            value.ndim == 1
            and weight is not None
            and f"layers.{layer}.bias" not in self.found.tensors
            and (weight.shape[0] == len(value))
        )

    def _fold(self, node: Node) -> None:
        """An operation on constants alone."""
        names = [name for name in node.inputs if name]
        if node.kind in _FOLDED and len(names) == 1:
            self.constants[node.outputs[0]] = _FOLDED[node.kind](self.constants[names[0]], node.about)
        elif any(self.constants[name].is_floating_point() and self.constants[name].numel() > 1 for name in names):
            raise Unreadable(f"{names[0]!r} is computed from constants by {node.kind}, which is not read here")

    def _open(self, node: Node, weights: Mapping[int, str], before: int) -> None:
        """A layer of its own: one operation with its parameters."""
        layer = self._next(before)
        for place, name in weights.items():
            role = _ROLES[node.kind][place] if place < len(_ROLES[node.kind]) else ""
            if not role:
                raise Unreadable(f"{name!r} is a constant where {node.kind} has its data")
            self._add(layer, role, name, self._in_torch(node, role, self.constants[name]))
        if "weight" not in {_ROLES[node.kind][place] for place in weights}:
            raise Unreadable(f"the weight of {node.kind} at {node.outputs[0]!r} is computed, not stored")
        self._pass(node, layer)

    def _in_torch(self, node: Node, role: str, value: Tensor) -> Tensor:
        if node.kind == "Gemm":
            if node.about.get("alpha", 1.0) != 1.0 or node.about.get("beta", 1.0) != 1.0 or node.about.get("transA"):
                raise Unreadable(f"Gemm at {node.outputs[0]!r} has factors, which are not read here")
            if role == "weight":
                return value if node.about.get("transB") else value.T
            return value.reshape(-1)
        if node.kind == "MatMul":
            if value.ndim != 2:
                raise Unreadable(f"MatMul at {node.outputs[0]!r} has a weight with {value.ndim} axes")
            return value.T
        return value.reshape(-1) if node.kind == "PRelu" else value

    def _elementwise(self, node: Node, name: str, before: int) -> None:
        """Gains and biases that stand alone: of a matrix product, or of a normalization that is written out."""
        value = self.constants[name]
        if sum(size > 1 for size in value.shape) > 1:
            raise Unreadable(f"{name!r} {list(value.shape)} is used by {node.kind}, which is not read here")
        if node.kind == "Sub" and node.inputs[0] != name:
            raise Unreadable(f"{name!r} is subtracted, which is not read here")
        if node.kind == "Mul":
            layer, role = self._next(before), "weight"
        else:
            role = "bias"
            layer = before if before >= 0 and f"layers.{before}.bias" not in self.found.tensors else self._next(before)
        self._add(layer, role, name, value.reshape(-1))
        self._pass(node, layer)

    def _next(self, before: int) -> int:
        if before != self._count - 1:
            self.found.branch = self.found.branch or "branches"
        self._count += 1
        return self._count - 1

    def _add(self, layer: int, role: str, name: str, value: Tensor) -> None:
        self.found.tensors[f"layers.{layer}.{role}"] = value.contiguous()
        self.found.exported[f"layers.{layer}.{role}"] = name

    def _pass(self, node: Node, layer: int) -> None:
        for name in node.outputs:
            self._layer[name] = layer


def walk(nodes: Sequence[Node], constants: Mapping[str, Tensor]) -> Layers:
    """The layers of a graph whose operations are in the order of the computation.

    Raises:
        Unreadable: naming what is not known here.
    """
    state = Walk(constants)
    for node in nodes:
        state.visit(node)
    names = sorted(state.found.tensors, key=_place)
    state.found.tensors = {name: state.found.tensors[name] for name in names}
    return state.found


def _place(name: str) -> tuple[int, int]:
    _, layer, role = name.split(".")
    return int(layer), ("weight", "bias", "running_mean", "running_var").index(role)

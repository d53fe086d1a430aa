"""Which tensors of a traced network share memory, so that a write to one of them changes what the others hold."""

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Graph, Node

from .._values import Call
from ._value import Value

_PASSED_ON = frozenset(["dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"])
"""What returns its operand itself in eval mode, though neither its schema nor the tracer says so."""


@final
class Memory:
    """Nodes by the memory they name: the tracer's tensors share storage where those of the network do."""

    def __init__(self, graph: Graph) -> None:
        self._root: dict[object, object] = {}
        self._keys: dict[Node, list[object]] = {}
        for node in graph.nodes:
            self._keys[node] = [value.untyped_storage()._cdata for value in _tensors(node.meta.get("val"))] or [node]
            source = _source(node)
            if source is not None:
                self._root[self._find(self._keys[node][0])] = self._find(self._keys[source][0])
        self._named: dict[object, set[Node]] = {}
        for node, keys in self._keys.items():
            for key in keys:
                self._named.setdefault(self._find(key), set()).add(node)

    def _find(self, key: object) -> object:
        while (above := self._root.get(key, key)) != key:
            key = above
        return key

    def of(self, node: Node) -> set[Node]:
        """All nodes that name memory of ``node``, itself among them."""
        return set[Node]().union(*(self._named[self._find(key)] for key in self._keys[node]))


def written(call: Call) -> list[Node]:
    """Operands that the operator changes; for one that does not say, all that it reads."""
    if not isinstance(call.node.target, OpOverload):
        return [] if call.name == "getitem" else call.operands
    nodes: list[Node] = []
    for name in call.writes:
        arg = call.args[name]
        nodes += [node for node in (arg if isinstance(arg, list | tuple) else [arg]) if isinstance(node, Node)]
    return nodes


def versions(node: Node) -> set[Node]:
    """Nodes that are the tensor itself: before and after earlier writes in place."""
    same = {node}
    while node.op == "call_function" and Call.of(node).writes:
        first = node.args[0]
        assert isinstance(first, Node), "what is written is a tensor"
        node = first
        same.add(node)
    return same


def same_labels(x: Value, y: Value) -> bool:
    """Whether all names of a tensor keep their labels when ``x`` becomes ``y``."""
    fields = len(x.fields) == len(y.fields) and all(a.ids is b.ids for a, b in zip(x.fields, y.fields, strict=True))
    terms = len(x.terms) == len(y.terms) and all(
        a.ids is b.ids and (a.size, a.sign) == (b.size, b.sign) for a, b in zip(x.terms, y.terms, strict=True)
    )
    return fields and terms and not x.param and x.moved and x.zero == y.zero


def _tensors(value: object) -> Iterator[Tensor]:
    for part in value if isinstance(value, list | tuple) else [value]:
        if isinstance(part, Tensor) and part.layout == torch.strided:
            yield part


def viewed(node: Node) -> Node | None:
    """The operand that the node is surely a view of."""
    if node.op != "call_function":
        return None
    call = Call.of(node)
    above = call.first if call.name == "getitem" else _source(node)
    if not isinstance(above, Node):
        return None
    here, there = ({part.untyped_storage()._cdata for part in _tensors(n.meta.get("val"))} for n in (node, above))
    return above if here & there or call.name in _PASSED_ON else None


def _source(node: Node) -> Node | None:
    """The operand whose memory the node names as well."""
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return None
    call = Call.of(node)
    shared = call.name in _PASSED_ON or any(ret.alias_info is not None for ret in node.target._schema.returns)
    source = call.args[call.writes[0]] if call.writes else call.first
    return source if shared and isinstance(source, Node) else None

"""What ``derive`` knows about the tensors of a traced network, and how it reads one operator of the graph."""

from dataclasses import dataclass
from typing import Any, final

from torch import SymFloat, SymInt, Tensor
from torch._ops import OpOverload
from torch.fx import Node
from torch.fx.node import map_arg

_FIRST_ONLY = frozenset(["to", "type_as", "view_as", "reshape_as"])
"""Operators that take nothing but a type or a shape from their second operand."""


class Refused(Exception):
    """Short reason why an operator cannot be read; ``derive`` adds what was called, on what, and where."""


@final
@dataclass(frozen=True)
class Param:
    """An entry of the ``state_dict`` as it enters the graph."""

    name: str
    learned: bool
    floating: bool
    numel: int


@final
@dataclass(frozen=True)
class Call:
    """One operator of the graph, its arguments by name."""

    node: Node
    name: str
    overload: str
    args: dict[str, Any]
    writes: tuple[str, ...] = ()  # names of the arguments changed in place

    @classmethod
    def of(cls, node: Node) -> "Call":
        target = node.target
        if not isinstance(target, OpOverload):
            args = {str(index): arg for index, arg in enumerate(node.args)}
            return cls(node, getattr(target, "__name__", str(target)), "", {**args, **node.kwargs})
        schema = target._schema
        args = {
            arg.name: node.args[index] if index < len(node.args) else node.kwargs.get(arg.name, arg.default_value)
            for index, arg in enumerate(schema.arguments)
        }
        writes = tuple(arg.name for arg in schema.arguments if arg.alias_info and arg.alias_info.is_write)
        name = schema.name.split("::")[-1]
        if writes and name.endswith("_"):
            name = name[:-1]
        return cls(node, name, schema.overload_name, args, writes)

    @property
    def first(self) -> object:
        """The tensor operated on: by the conventions of ATen the first argument."""
        return next(iter(self.args.values()), None)

    @property
    def operands(self) -> list[Node]:
        """Graph nodes whose values are read, each as often as it occurs among the arguments."""
        if self.name in _FIRST_ONLY and isinstance(self.first, Node):
            return [self.first]
        nodes: list[Node] = []
        map_arg((self.node.args, self.node.kwargs), lambda node: nodes.append(node) or node)
        return nodes

    @property
    def place(self) -> str:
        """Path and class of the module that made the call."""
        stack = list((self.node.meta.get("nn_module_stack") or {"": ("", "the network")}).values())
        path, kind = stack[-1]
        kind = (kind if isinstance(kind, str) else kind.__name__).rsplit(".", 1)[-1]
        return f"{path!r} ({kind})" if path else kind


def shape_of(node: object) -> tuple[int, ...]:
    """Shape of the tensor or number at ``node``; results of other kinds have none and give ``(-1,)``."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return () if isinstance(value, int | float | SymInt | SymFloat) else (-1,)

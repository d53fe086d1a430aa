"""Writes in place, through any name of the memory: what the other names hold afterwards."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from torch.fx import Node

from .._values import Call, Refused, shape_of
from ._memory import versions, viewed
from ._move import MOVES, SAME, join, move
from ._store import Store
from ._value import Value, cut, insert

_PARTS = frozenset(["select", "slice", "unbind", "split", "split_with_sizes", "chunk"])

Values = dict[Node, Value | tuple[Value, ...]]


def after_write(
    store: Store, target: Node, result: Value, names: Iterable[Node], before: Callable[[Node], Value], read: set[Node]
) -> Values:
    """What all names of a memory hold after ``target``, one of them, became ``result``.

    Args:
        store: What is known.
        target: The tensor that is written to.
        result: What it holds then.
        names: All nodes so far that name the memory, in forward order.
        before: The value of a name until then.
        read: Those that are read later on.

    Raises:
        Refused: if a name that is read later sees the memory in a way that is not followed.
    """
    found: Values = dict.fromkeys(versions(target), result)
    node = _first(target)
    while (place := _place(node)) is not None:
        whole, dim, start, stop = place
        part = found[node]
        assert isinstance(part, Value), "a tensor is written to"
        if len(part.shape) < len(shape_of(whole)):
            part = insert(part, [dim])
        node = _first(whole)
        found |= dict.fromkeys(versions(whole), put(store, before(node), dim, start, stop, part))
    for name in names:
        above = viewed(name)
        if name not in found and above is not None and above in found:
            again = _again(Call.of(name), found[above])
            if again is not None:
                found[name] = again
    if any(name in read and name not in found for name in names):
        raise Refused("it writes to a tensor in place")
    return found


def put(store: Store, whole: Value, dim: int, start: int, stop: int, part: Value) -> Value:
    """``whole`` with ``part`` in place of its entries from ``start`` to ``stop`` along axis ``dim``."""
    size = whole.shape[dim]
    if (start, stop) == (0, size):
        return replace(part, shape=whole.shape)
    around = [cut(whole, dim, 0, start), part, cut(whole, dim, stop, size)]
    return replace(join(store, around, dim, whole.shape), param=False)


def span(call: Call, size: int) -> tuple[int, int]:
    """First and last entry (exclusive) that a slice or a selection names, of an axis of that size.

    Raises:
        Refused: if they are not whole numbers, or lie apart.
    """
    if call.name.startswith("select"):
        index = call.args["index"]
        if not isinstance(index, int):
            raise Refused("it reads positions from a tensor")
        return index % size, index % size + 1
    start, stop, step = (call.args[key] for key in ("start", "end", "step"))
    if any(isinstance(value, Node) for value in (start, stop, step)) or step != 1:
        raise Refused("it writes to entries that do not follow each other")
    start, stop, _ = slice(start, stop).indices(size)
    return start, stop


def _place(node: Node) -> tuple[Node, int, int, int] | None:
    """What ``node`` is a part of, and where: axis, start and stop."""
    above = viewed(node)
    if above is None:
        return None
    call, parts = Call.of(node), Call.of(node)
    if call.name == "getitem" and above.op == "call_function":
        parts, above = Call.of(above), viewed(above)
    if above is None or 0 in shape_of(above):
        return None
    shape = shape_of(above)
    if call.name in SAME:
        return above, 0, 0, shape[0]
    dim = parts.args.get("dim")
    if not isinstance(dim, int) or parts.name not in _PARTS:
        return None
    dim %= len(shape)
    if call.name != "getitem":
        return above, dim, *span(call, shape[dim])
    place = call.args["1"]
    sizes = [1 if parts.name == "unbind" else part.shape[dim] for part in parts.node.meta["val"]]
    return above, dim, sum(sizes[:place]), sum(sizes[: place + 1])


def _first(node: Node) -> Node:
    """The tensor before all writes to it."""
    while node.op == "call_function" and Call.of(node).writes:
        above = node.args[0]
        assert isinstance(above, Node), "what is written is a tensor"
        node = above
    return node


def _again(call: Call, known: Value | tuple[Value, ...]) -> Value | tuple[Value, ...] | None:
    """A name of the memory, made again of what its source holds now."""
    if call.name == "getitem" and isinstance(known, tuple):
        return known[call.args["1"]]
    if call.name in MOVES and isinstance(known, Value) and not call.writes:
        return move(call, known)
    return None

"""Activations that the exporter writes as several operators."""

from torch.fx import Graph, Node


def composites(graph: Graph) -> dict[Node, tuple[str, Node]]:
    """Activations that the exporter writes as several operators: for each of their nodes the name and the operand.

    These are ``x / (1 + |x|)`` and ``x - tanh(x)``. The intermediate results must have no other reader, since
    taken one by one they pass less than the whole.
    """
    found: dict[Node, tuple[str, Node]] = {}
    for node in graph.nodes:
        operands = [arg for arg in node.args if isinstance(arg, Node)]
        if len(operands) != 2 or len(node.args) != 2 or node.kwargs:
            continue
        x, inner = operands
        if _is(node, "aten.sub.Tensor") and _is(inner, "aten.tanh.default") and inner.args == (x,):
            members, name = [inner, node], "tanhshrink"
        elif _is(node, "aten.div.Tensor") and _is(inner, "aten.add.Tensor") and inner.args[1:] == (1,):
            size = inner.args[0]
            if inner.kwargs or not isinstance(size, Node) or not _is(size, "aten.abs.default") or size.args != (x,):
                continue
            members, name = [size, inner, node], "softsign"
        else:
            continue
        if all(len(member.users) == 1 for member in members[:-1]):
            found |= dict.fromkeys(members, (name, x))
    return found


def _is(node: Node, name: str) -> bool:
    return node.op == "call_function" and str(node.target) == name

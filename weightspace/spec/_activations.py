"""Which rescalings of a neuron each activation lets pass.

An activation passes a group when ``act(s * z) == s * act(z)`` for every ``s`` in it. What a space may be rescaled
by is the intersection over everything applied to it.

Source: Godfrey et al. 2022, arXiv:2205.14258 (intertwiner groups); Kalogeropoulos et al. 2024, arXiv:2406.10685.
"""

from collections.abc import Mapping

from torch.fx import Graph, Node

from ._spec import ScaleName

Group = frozenset[str]
"""A scale group as the set of its generators, so that the intersection of groups is that of sets."""

TRIVIAL: Group = frozenset()
SIGN: Group = frozenset({"sign"})
POSITIVE: Group = frozenset({"positive"})
NONZERO: Group = SIGN | POSITIVE

SCALE_NAME: dict[Group, ScaleName] = {TRIVIAL: "trivial", SIGN: "sign", POSITIVE: "positive", NONZERO: "nonzero"}

_GROUPS: dict[Group, str] = {
    POSITIVE: "relu leaky_relu abs absolute",
    SIGN: "tanh sin erf special_erf hardtanh hardshrink softshrink softsign tanhshrink",
    TRIVIAL: "gelu silu elu selu relu6 mish hardswish sigmoid special_expit softplus",
}
ACTIVATIONS: dict[str, Group] = {name: group for group, names in _GROUPS.items() for name in names.split()}
"""Group by operator name (without the trailing underscore of the in-place form)."""


def passes(name: str, args: Mapping[str, object]) -> Group:
    """The group that the named activation, called with ``args``, lets pass."""
    if name == "hardtanh":
        low, high = args["min_val"], args["max_val"]
        assert isinstance(low, int | float), "limits of hardtanh are numbers"
        return SIGN if high == -low else TRIVIAL  # nn.ReLU6(inplace=True) is hardtanh(0, 6)
    return ACTIVATIONS[name]


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

"""``derive``: the symmetry of a network, read off its traced graph.

Every tensor of the forward pass is followed with the axis that holds neurons, if it has one. A Linear or
convolution reads the space of its operand and makes a new one; what lies in between shrinks the space's group
to the rescalings it lets pass; an operator that no rule covers is refused, never guessed.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import final

from torch import Tensor
from torch.fx import Node

from .._errors import SpecError
from ._activations import SCALE_NAME, composites
from ._rules import BETWEEN_FIXED, COMMUTATIVE, ELEMENTWISE, LAYERS, NOT_YET, RULES, Rule, activation
from ._spec import Axis, NeuronSpace, SymmetrySpec
from ._trace import Example, Network, OnUnknown, Trace, trace
from ._values import Call, Param, Refused, Space, Value, shape_of

_Axes = tuple[tuple[Space | None, int, int], ...]  # (space, power, repeat) of each axis


def derive(module: Network, example: Example, *, on_unknown: OnUnknown = "refuse") -> SymmetrySpec:
    """The symmetry of a feed-forward network: which neurons may be permuted and rescaled together.

    The spec holds for inputs of the example's shape: a network that reshapes its hidden values may be another
    one on other shapes. With a batch of two or more, mixing of examples is noticed and refused. The symmetry
    found may be smaller than the network's own, never larger.

    Args:
        module: The network, on any device, ``meta`` included. Traced in eval mode and left as it was.
        example: Its input, or a tuple of its inputs; only shapes and types matter.
        on_unknown: What to do at an operation that cannot be read: ``"refuse"`` raises, ``"pin"`` leaves the
            neurons it touches out of the symmetry (their spaces become fixed) and goes on.

    Returns:
        The spec; its parameters are the entries of ``module.state_dict()`` in their order. Spaces are ``in``
        (``in1``, ...), ``h0``, ``h1``, ... and ``out`` in forward order; hidden features that are also
        returned are fixed.

    Raises:
        SpecError: naming the operation, its place and the way on, if a part of the network cannot be read; or
            if forward cannot be traced on ``example``.

    Source: the axis labels are the permutation spec of Ainsworth et al. 2023, arXiv:2209.04836, App. A, with
    powers of a scale; Godfrey et al. 2022, arXiv:2205.14258, for the groups. Both write the spec by hand.
    """
    if on_unknown not in ("refuse", "pin"):
        raise SpecError(f'on_unknown must be "refuse" or "pin", got {on_unknown!r}. Type: on_unknown="pin".')
    traced = trace(module, example)
    walk = _Walk(traced, pin=on_unknown == "pin")
    for call in traced.calls:
        walk.visit(call)
    walk.finish(type(module).__name__)
    return walk.spec()


@final
@dataclass
class _Walk:
    """One pass over the graph."""

    traced: Trace
    pin: bool
    values: dict[Node, "Value | Param | tuple[Value, ...]"] = field(default_factory=dict)
    spaces: list[Space] = field(default_factory=list)
    inputs: dict[tuple[str, int], Space] = field(default_factory=dict)  # by origin and size
    uses: dict[str, list[tuple[str, _Axes | None]]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.composites = composites(self.traced.calls[0].node.graph) if self.traced.calls else {}

    def visit(self, call: Call) -> None:
        try:
            self.values[call.node] = self._read(call)
        except Refused as reason:
            spaces = self._free(call)
            if not self.pin:
                on = f" on {', '.join(map(str, spaces))}" if spaces else ""
                raise SpecError(_message(call.place, f"it calls {call.name}{on}; {reason}")) from reason
            for space in spaces:
                space.fixed = True
            # A layer that reads a space it cannot follow may still make a space of its own.
            try:
                self.values[call.node] = self._layer(call) if call.name in LAYERS else self._unread(call)
            except Refused:
                self.values[call.node] = self._unread(call)

    def finish(self, name: str) -> None:
        """What is returned as it is must not be moved."""
        for node in self.traced.outputs:
            value = self._value(node)
            if isinstance(value, Param):
                try:
                    self._use(value, None)
                except Refused as reason:
                    raise SpecError(_message(name, f"forward returns it as well; {reason}")) from reason
            assert isinstance(value, Param) or not self._spaces_of(value), "outputs are fixed when they are made"

    def spec(self) -> SymmetrySpec:
        axes = dict(uses[0] for uses in self.uses.values())
        params: list[tuple[str, tuple[Axis, ...]]] = []
        seen: set[Space] = set()
        for name, shape in self.traced.shapes.items():
            labels: _Axes = axes.get(name) or tuple((None, 0, size) for size in shape)
            seen |= {space for space, _, _ in labels if space is not None}
            axis = [Axis(space.name if space else None, power, repeat) for space, power, repeat in labels]
            params.append((name, tuple(axis)))
        spaces = [
            NeuronSpace(space.name, space.size, "trivial" if space.fixed else SCALE_NAME[space.group], space.fixed)
            for space in self.spaces
            if space in seen
        ]
        return SymmetrySpec(tuple(spaces), tuple(params))

    # -- reading one call -------------------------------------------------------------------------------------

    def _read(self, call: Call) -> "Value | tuple[Value, ...]":
        if call.name == "getitem" and isinstance(parts := self._value(call.args["0"]), tuple):
            return parts[call.args["1"]]
        if call.name in LAYERS:
            return self._layer(call)
        rule = RULES.get(call.name)
        if call.node in self.composites:
            name, operand = self.composites[call.node]
            x = self._value(operand)
            # The parts of a composite have no reader but the last one, which stands for the whole.
            if isinstance(x, Value) and x.space is not None:
                return self._apply(replace(call, name=name, hidden=operand), x, activation)
        hidden = [node for node in call.operands if isinstance(v := self._value(node), Value) and v.free]
        if any(isinstance(self._value(node), tuple) for node in call.operands):
            raise Refused("it reads all results of a pooling at once")
        if not hidden:
            return self._between_fixed(call, rule)
        for node in call.operands:
            if isinstance(param := self._value(node), Param):
                self._use(param, None)
                if param.numel > 1:
                    raise Refused(NOT_YET.get(call.name, f"it reads {param.name!r}, which has one number per neuron"))
        if len(hidden) > 1:
            raise Refused(NOT_YET.get(call.name, _combined(call.name)))
        if rule is None:
            raise Refused(NOT_YET.get(call.name, "no rule says what it does to hidden neurons"))
        if call.first is not hidden[0] and call.name not in COMMUTATIVE:
            raise Refused("the hidden neurons are not its first argument")
        written = [call.args[name] for name in call.writes]
        if written and (written != hidden or call.name not in ELEMENTWISE):
            # Other names of the memory written would keep labels that no longer hold.
            raise Refused("it writes to a tensor in place")
        x = self._value(hidden[0])
        assert isinstance(x, Value), "hidden operands are values"
        return self._apply(replace(call, hidden=hidden[0]), x, rule)

    def _apply(self, call: Call, x: Value, rule: Rule) -> "Value | tuple[Value, ...]":
        if x.is_index:
            raise Refused("it reads the positions that a max pooling returned")
        result = rule(call, x)
        val = call.node.meta["val"]
        if not (val if isinstance(val, Tensor) else val[0]).is_floating_point():
            raise Refused("its result is not of a floating-point type")
        return result

    def _between_fixed(self, call: Call, rule: Rule | None) -> "Value | tuple[Value, ...]":
        """An operator on what the gauge does not move: anything goes, but learned layers need a rule."""
        values = [(node, self._value(node)) for node in call.operands]
        data = [node for node, value in values if isinstance(value, Value)]
        for _, param in values:
            if isinstance(param, Param):
                self._use(param, None)
                shaped = any(shape_of(node) == shape_of(call.node) for node in data)
                if param.learned and param.numel > 1 and not (call.name in BETWEEN_FIXED and shaped):
                    raise Refused(NOT_YET.get(call.name, f"it computes with the parameter {param.name!r}"))
        labelled = [(node, v) for node, v in values if isinstance(v, Value) and v.space is not None]
        if rule is not None and len(labelled) == 1 and labelled[0][0] is call.first:
            try:
                return self._apply(replace(call, hidden=labelled[0][0]), labelled[0][1], rule)
            except Refused:
                pass  # fixed neurons need not be followed
        return self._unread(call)

    def _unread(self, call: Call) -> Value:
        """The result of an operator that was not followed; nothing it reads is moved."""
        values = [(node, self._value(node)) for node in call.operands]
        for _, value in values:
            if isinstance(value, Param):
                self._use(value, None)
        for node, value in values:
            if isinstance(value, Value) and value.space is not None and shape_of(node) == shape_of(call.node):
                return replace(value, is_index=False)
        origins = {value.origin for _, value in values if isinstance(value, Value) and value.space is None}
        return Value(origin=origins.pop() if len(origins) == 1 else call.node.name)

    # -- layers -----------------------------------------------------------------------------------------------

    def _layer(self, call: Call) -> "Value | tuple[Value, ...]":
        """Linear and convolutions: from the space of their operand to a new one."""
        x, weight, bias = (
            self._value(arg) if isinstance(arg := call.args[key], Node) else None for key in ("input", "weight", "bias")
        )
        shape, spatial = shape_of(call.args["weight"]), LAYERS[call.name]
        if isinstance(x, Value) and isinstance(weight, Value) and not self._free(call):
            return self._between_fixed(call, None)  # a constant transform of an input
        if not isinstance(x, Value):
            raise Refused("it reads a parameter as its input")
        if not isinstance(weight, Param) or not (bias is None or isinstance(bias, Param)):
            raise Refused("its weight or bias is computed, not an entry of the state_dict")
        if call.args.get("groups", 1) != 1:
            raise Refused(f"grouped convolutions (groups={call.args['groups']}) are not supported yet")
        if len(shape) != 2 + spatial:
            raise Refused(f"its weight has shape {list(shape)}")
        space, repeat = self._source(x, len(shape_of(call.args["input"])) - 1 - spatial, shape[1])
        fixed, last = call.node in self.traced.returned, call.node in self.traced.last
        out = self._space("out" if fixed and last else "h", shape[0], fixed=fixed)
        self._use(weight, ((out, 1, 1), (space, -1, repeat), *((None, 0, size) for size in shape[2:])))
        if bias is not None:
            self._use(bias, ((out, 1, 1),))
        return Value(out, len(shape_of(call.node)) - 1 - spatial)

    def _source(self, x: Value, dim: int, size: int) -> tuple[Space, int]:
        """The space that a layer reads on axis ``dim``, and the entries per neuron."""
        if x.is_index:
            raise Refused("it reads the positions that a max pooling returned")
        # All entries belong to the neuron of a space that has one only, whichever axis it was followed to.
        if x.space is not None and (x.dim == dim or x.space.size == 1):
            return x.space, size // x.space.size
        if x.free:
            raise Refused(f"it reads axis {dim}, but the neurons are on axis {x.dim}")
        origin = x.origin or str(x.space)
        if (origin, size) not in self.inputs:
            self.inputs[origin, size] = self._space("in", size, fixed=True)
        return self.inputs[origin, size], 1

    def _space(self, kind: str, size: int, *, fixed: bool) -> Space:
        count = self.counts[kind]
        self.counts[kind] += 1
        self.spaces.append(Space(f"h{count}" if kind == "h" else f"{kind}{count or ''}", size, fixed))
        return self.spaces[-1]

    # -- bookkeeping ------------------------------------------------------------------------------------------

    def _value(self, node: Node) -> "Value | Param | tuple[Value, ...]":
        if node in self.traced.params:
            return self.traced.params[node]
        return self.values.setdefault(node, Value(origin=node.name))

    def _use(self, param: Param, axes: _Axes | None) -> None:
        """Notes that ``param`` is read, as a layer's weight or bias if ``axes`` are given.

        A parameter that a layer reads may not be read a second time, under its own or another name: it would
        have to be moved in two ways.
        """
        names = self.traced.shared[param.name]
        uses = self.uses[names[0]]
        uses.append((param.name, axes))
        if all(labels is None for _, labels in uses) or (len(uses) == 1 and len(names) == 1):
            return
        if not self.pin:
            others = [name for name in names if name != param.name]
            shares = f"shares its memory with {', '.join(map(repr, others))}" if others else "is used more than once"
            raise Refused(f"the parameter {param.name!r} {shares}, and tied parameters are not supported yet")
        for _, labels in uses:
            for space, _, _ in labels or ():
                if space is not None:
                    space.fixed = True

    def _free(self, call: Call) -> list[Space]:
        """Spaces that the call touches and the gauge would move."""
        found = [space for node in call.operands for space in self._spaces_of(self._value(node))]
        return list(dict.fromkeys(found))

    @staticmethod
    def _spaces_of(value: "Value | Param | tuple[Value, ...]") -> list[Space]:
        parts = value if isinstance(value, tuple) else (value,)
        return [part.space for part in parts if isinstance(part, Value) and part.free and part.space]


def _combined(name: str) -> str:
    if name in ("add", "sub"):
        return "it adds two hidden values (a residual connection), which is not supported yet"
    if name in ("mul", "div"):
        return "it multiplies two hidden values, so s and 1/s do not cancel"
    return "it combines several hidden values"


def _message(place: str, what: str) -> str:
    return (
        f"cannot derive the symmetry of {place}: {what}.\n"
        '  Leave these neurons out of the symmetry: ws.derive(net, example, on_unknown="pin").'
    )

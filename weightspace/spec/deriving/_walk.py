"""One pass over the graph of a network, operator by operator."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import final

from torch import SymInt, Tensor
from torch.fx import Node

from ..._errors import SpecError
from .._trace import Trace
from .._values import Call, Param, Refused, shape_of
from ._composites import composites
from ._kernels import by_group, grouped
from ._memory import Memory, same_labels, versions, written
from ._pointwise import Passing, let_pass
from ._store import Store
from ._value import Field, Term, Value
from ._writes import after_write

Result = Value | tuple[Value, ...]
Rule = Callable[["Walk", Call], Result]


@final
@dataclass
class Walk:
    """What is known after the operators read so far.

    Attributes:
        traced: The network as a graph.
        rules: How to read each operator, by name.
        pin: Whether to go on at what cannot be read, with the neurons it touches left in place.
        leaves: Parameters and buffers as values, by name (of the first, for tied ones).
        offsets: By parameter, what is added to it before it is scaled (the eps of a running variance).
        order: Place of each operator in the forward pass.
        composites: See :func:`weightspace.spec.deriving._composites.composites`.
        memory: Which nodes name the same memory.
        groups: By name of a kernel of a grouped convolution, the number of groups.
    """

    traced: Trace
    rules: dict[str, Rule]
    pin: bool
    store: Store = field(default_factory=Store)
    values: dict[Node, Result] = field(default_factory=dict)
    leaves: dict[str, Value] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    order: dict[Node, int] = field(default_factory=dict)
    composites: dict[Node, tuple[str, Node]] = field(default_factory=dict)
    memory: Memory | None = None
    groups: dict[str, int] = field(default_factory=dict)
    tables: set[Node] = field(default_factory=set)

    def run(self) -> None:
        """Reads all operators, and fixes what is returned.

        Raises:
            SpecError: at an operator that cannot be read, unless ``pin``.
        """
        self.groups = grouped(self.traced.calls, self.traced.params)
        self.composites = composites(self.traced.calls[0].node.graph) if self.traced.calls else {}
        self.order = {call.node: index for index, call in enumerate(self.traced.calls)}
        self.memory = Memory(self.traced.calls[0].node.graph) if self.traced.calls else None
        for call in self.traced.calls:
            self.store.clock += 1
            try:
                self.values[call.node] = self._read(call)
            except Refused as reason:
                moved = [node for node in call.operands if self._is_moved(node)]
                tail = call.node in self.traced.returned and call.node in self.traced.last and not call.writes
                unread = tail and not any(node in self.traced.params for node in moved)
                if not (self.pin or unread or all(self._is_table(node) for node in moved)):
                    hidden = dict.fromkeys(str(list(shape_of(n))) for n in moved if n not in self.traced.params)
                    names = [repr(self.traced.params[n].name) for n in moved if n in self.traced.params]
                    on = f" on hidden values of shape {', '.join(hidden)}" if hidden else ""
                    on = f" on the parameter {names[0]}" if names and not hidden else on
                    raise SpecError(message(call.place, f"it calls {call.name}{on}; {reason}")) from reason
                for node in call.operands:
                    self.freeze(node)
                self._taint(call)
                self.values[call.node] = self._unlabelled(call)
            if all(self._is_table(node) or not self._is_moved(node) for node in call.operands):
                self.tables.add(call.node)
        for node in self.traced.outputs:
            if node in self.traced.params and self._is_moved(node) and not self.pin:
                name = self.traced.params[node].name
                raise SpecError(message("the network", f"forward returns the parameter {name!r} as well"))
            self.freeze(node, returned=True)

    def value(self, arg: object) -> Value:
        """The value of an operand: of a node, or a number."""
        if not isinstance(arg, Node):
            return Value((), zero=arg == 0)
        if arg in self.traced.params and arg not in self.values:
            return self.leaf(self.traced.params[arg])
        found = self.values.setdefault(arg, Value(shape_of(arg), origin=arg.name))
        if isinstance(found, tuple):
            raise Refused("it reads all results of an operator at once")
        if found.index:
            raise Refused("it reads the positions that a pooling or sorting returned")
        return found

    def leaf(self, param: Param) -> Value:
        """A parameter or buffer: units of its own along every axis; scales as well if it is learned."""
        names = self.traced.shared[param.name]
        name = next(iter(names))
        if name in self.leaves:
            return self.leaves[name]
        shape = self.traced.shapes[param.name]
        if not param.floating:
            return Value(shape, origin=param.name)
        fields: list[Field] = []
        terms: list[Term] = []
        for dim, size in enumerate(shape):
            ids = self.store.units(size).reshape([size if d == dim else 1 for d in range(len(shape))])
            fields.append(Field(ids, dim))
            if param.learned and size > 1:
                terms.append(Term(self.store.scales(ids), home=dim))
        if param.learned and shape == (1,):
            terms.append(Term(self.store.scales(fields[0].ids), home=0))
        self.leaves[name] = Value(shape, tuple(fields), tuple(terms), param=True)
        if groups := next((self.groups[other] for other in names if other in self.groups), 0):
            self.leaves[name] = by_group(self.store, self.leaves[name], groups)
        if any(other not in self.traced.shapes or self.traced.shapes[other] != shape for other in names):
            self._freeze_value(self.leaves[name])
            others = ", ".join(repr(other) for other in names if other != param.name)
            if not self.pin:
                raise Refused(f"the parameter {param.name!r} shares its memory with {others}, not as a whole")
        return self.leaves[name]

    def relearn(self, node: object, value: Value) -> None:
        """Replaces the labels of a parameter by ``value``."""
        assert isinstance(node, Node), "parameters enter at nodes"
        if node in self.traced.params and node not in self.values:
            self.leaves[self.traced.shared[self.traced.params[node].name][0]] = value
        else:
            self.values[node] = value

    def freeze(self, node: Node, *, returned: bool = False) -> None:
        """Nothing that the value at ``node`` depends on may be moved."""
        found = self.values.get(node)
        if found is None and node in self.traced.params:
            try:
                found = self.leaf(self.traced.params[node])
            except Refused:
                found = None
        for part in found if isinstance(found, tuple) else [found] if found else []:
            self._freeze_value(part)
            if returned:
                self.store.outputs.extend(label.ids.ravel() for label in part.fields)

    def _freeze_value(self, value: Value) -> None:
        for label in value.fields:
            self.store.tell_apart(label.ids)
        self.store.pin(*(term.power for term in value.terms))

    def _is_table(self, node: Node) -> bool:
        """Whether what moves it are buffers: tables of constants, which may as well stay in place."""
        return node in self.tables or (node in self.traced.params and not self.traced.params[node].learned)

    def _is_moved(self, node: Node) -> bool:
        found = self.values.get(node)
        if found is None and node in self.traced.params:
            return self.leaf(self.traced.params[node]).moved
        return any(part.moved for part in (found if isinstance(found, tuple) else [found] if found else []))

    def _read(self, call: Call) -> Result:
        val = call.node.meta.get("val")
        if call.name == "getitem" and isinstance(parts := self.values.get(call.args["0"]), tuple):
            return parts[call.args["1"]]
        for node in call.operands:
            if node in self.traced.params:
                self.leaf(self.traced.params[node])
        if any(_is_open(node) for node in (call.node, *call.operands)):
            raise Refused(
                "how many rows it reads or gives depends on numbers; multiply by a mask instead of choosing rows"
            )
        if isinstance(val, Tensor) and not val.numel() and not call.writes:
            return Value(shape_of(call.node), zero=True)
        moved = any(self._is_moved(node) for node in call.operands)
        rule = self.rules.get(call.name)
        if call.node in self.composites:
            # The parts of a composite have no reader but the last one, which stands for the whole.
            name, operand = self.composites[call.node]
            assert name in ("softsign", "tanhshrink"), "both are odd"
            return let_pass(self.store, self.value(operand), Passing(None, 1))
        unread = rule is None or not isinstance(val, Tensor) or not val.is_floating_point()
        if not moved and (unread or call.writes):
            self._taint(call)
            return self._unlabelled(call)
        if rule is None:
            raise Refused("no rule says what it does to hidden neurons")
        for part in [val] if isinstance(val, Tensor) else []:
            if part.is_complex():
                raise Refused("its result is complex")
        before = self.value(call.first) if call.writes and call.writes[0] != "out" else None
        try:
            result = rule(self, call)
        except Refused:
            if moved:
                raise
            return self._unlabelled(call)  # of constants and inputs only, whatever it computes
        if call.writes:
            if before is None or not isinstance(result, Value) or not same_labels(before, result):
                self._write(call, result)
            else:
                self.values |= dict.fromkeys(versions(written(call)[0]), result)
        for part in result if isinstance(result, tuple) else [result]:
            for label in part.fields:
                self.store.play(label.ids)
        if isinstance(result, Value) and not result.moved:
            result = replace(self._unlabelled(call), zero=result.zero, even=result.even)
        return result

    def _unlabelled(self, call: Call) -> Value:
        origins = set()
        for node in call.operands:
            found = self.values.get(node)
            if isinstance(found, Value) and node not in self.traced.params:
                origins.add(found.origin)
            elif found is None:
                origins.add(node.name)
        return Value(shape_of(call.node), origin=origins.pop() if len(origins) == 1 else call.node.name)

    def _taint(self, call: Call) -> None:
        """What an operator wrote in a way that was not followed stays in place, under all names of the memory."""
        for node in written(call):
            for name in self._names(node, call):
                self.freeze(name)
                self.values[name] = Value(shape_of(name), origin=call.node.name)

    def _names(self, node: Node, call: Call) -> list[Node]:
        """Nodes before ``call`` that name memory of ``node``."""
        assert self.memory is not None, "there are operators"
        here = self.order[call.node]
        return [name for name in self.memory.of(node) if name.op == "placeholder" or self.order.get(name, here) < here]

    def _write(self, call: Call, result: Result) -> None:
        """All names of the memory that ``call`` wrote to hold something else afterwards."""
        targets = written(call)
        if targets != [call.first] or not isinstance(result, Value):
            raise Refused("it writes to a tensor in place")
        here, names = self.order[call.node], self._names(targets[0], call)
        if any(node.op == "placeholder" for node in names) and any(self._is_moved(node) for node in call.operands):
            raise Refused("it writes to a tensor in place")
        names.sort(key=lambda node: self.order.get(node, -1))
        later = {n for n in names if any(user.op == "output" or self.order.get(user, -1) > here for user in n.users)}
        self.values |= after_write(self.store, targets[0], result, names, self.value, later)


def message(place: str, what: str) -> str:
    """What ``derive`` could not read, where, and the way on."""
    return (
        f"cannot derive the symmetry of {place}: {what}.\n"
        '  Leave these neurons out of the symmetry: ws.derive(net, example, on_unknown="pin").'
    )


def _is_open(node: Node) -> bool:
    """Whether the shape of a tensor is known only once the network runs."""
    val = node.meta.get("val")
    parts = val if isinstance(val, list | tuple) else [val]
    return any(isinstance(part, Tensor) and any(isinstance(size, SymInt) for size in part.shape) for part in parts)

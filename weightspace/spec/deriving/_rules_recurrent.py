"""Rules of recurrent layers: one step is written out, and the state that leaves it is the one that enters it.

What follows: the units of a layer are permuted together in all gates. An LSTM, a GRU and an RNN of tanh have a sign
for each unit (its candidate, its state and all readers of the state turn, the gates stay), an RNN of ReLU a positive
scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from .._values import Call, Refused, shape_of
from . import _contract
from ._move import join
from ._pointwise import Passing, let_pass, unscaled
from ._registry import made, rule
from ._store import Store
from ._value import Field, Term, Value, add, cut, drop, insert, multiply, pieces, settle
from ._walk import Result, Walk

_ODD, _POSITIVE = Passing(None, 1), Passing(1, None)

State = tuple[Value, ...]
"""What a step hands on, ``[b, h]`` each: ``h``, and ``c`` of an LSTM."""


@final
@dataclass(frozen=True, eq=False)
class Cell:
    """The parameters of one step: of the input, of the state, and of the projection of an LSTM."""

    w_ih: Value
    w_hh: Value
    b_ih: Value | None = None
    b_hh: Value | None = None
    w_hr: Value | None = None


Step = Callable[[Store, Value, State, Cell], State]


def _read(store: Store, x: Value, h: Value, cell: Cell) -> tuple[Value, Value]:
    """What the gates get from the input and from the state."""
    return _contract.linear(store, x, cell.w_ih, cell.b_ih), _contract.linear(store, h, cell.w_hh, cell.b_hh)


def _lstm(store: Store, x: Value, state: State, cell: Cell) -> State:
    h, c = state
    i, f, g, o = pieces(add(store, *_read(store, x, h, cell)), 1, 4)
    i, f, o = (unscaled(store, gate) for gate in (i, f, o))
    c = add(store, multiply(store, f, c), multiply(store, i, let_pass(store, g, _ODD)))
    h = multiply(store, o, let_pass(store, c, _ODD))
    return h if cell.w_hr is None else _contract.linear(store, h, cell.w_hr, None), c


def _gru(store: Store, x: Value, state: State, cell: Cell) -> State:
    (h,) = state
    (r, z, n), (r_h, z_h, n_h) = (pieces(part, 1, 3) for part in _read(store, x, h, cell))
    r, z = (unscaled(store, add(store, here, there)) for here, there in ((r, r_h), (z, z_h)))
    n = let_pass(store, add(store, n, multiply(store, r, n_h)), _ODD)
    return (add(store, multiply(store, z, n), multiply(store, z, h)),)


def _rnn(passing: Passing) -> Step:
    def step(store: Store, x: Value, state: State, cell: Cell) -> State:
        return (let_pass(store, add(store, *_read(store, x, state[0], cell)), passing),)

    return step


_STEPS: dict[str, Step] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn(_ODD), "rnn_relu": _rnn(_POSITIVE)}


def _run(walk: Walk, step: Step, x: Value, first: State, cell: Cell) -> State:
    """The state ``[b, h]`` after any number of steps: it is the one before them."""
    before = tuple(_fresh(walk.store, value.shape) for value in first)
    after = step(walk.store, x, before, cell)
    for given, old, new in zip(first, before, after, strict=True):
        add(walk.store, old, new)
        add(walk.store, old, given)
    return before


def _fresh(store: Store, shape: tuple[int, ...]) -> Value:
    units = store.units(shape[1]).reshape(1, -1)
    return Value(shape, (Field(units, 1),), (Term(store.scales(units), home=1),))


def _cell(walk: Walk, params: Sequence[object], *, biases: bool) -> Cell:
    weights = [walk.value(node) for node in params]
    for place, weight in enumerate(weights):
        if len(weight.shape) == 2 and params[place] in walk.traced.params:
            made(walk, weight, 0)
            weights[place] = _contract.whole(walk.store, weight)
            walk.relearn(params[place], weights[place])
    if biases:
        return Cell(*weights)
    return Cell(*weights[:2], w_hr=weights[2] if len(weights) > 2 else None)


@rule("lstm gru rnn_tanh rnn_relu")
def recurrent(walk: Walk, call: Call) -> Result:
    """All layers and directions, over a padded sequence."""
    if call.args["train"] and call.args["dropout"] > 0:
        raise Refused("its dropout stays on in eval mode")
    store, params = walk.store, call.args["params"]
    given = call.args["hx"] if call.name == "lstm" else [call.args["hx"]]
    states = [walk.value(node) for node in given]
    directions = 2 if call.args["bidirectional"] else 1
    layers = call.args["num_layers"]
    each = len(params) // (layers * directions)
    time = 1 if call.args["batch_first"] else 0
    x = walk.value(call.args["input"])
    x = settle(store, x, [time])
    x = drop(replace(x, shape=(*x.shape[:time], 1, *x.shape[time + 1 :])), [time])
    ends: list[State] = []
    for layer in range(layers):
        outs: list[Value] = []
        for place in range(layer * directions, (layer + 1) * directions):
            cell = _cell(walk, params[place * each : (place + 1) * each], biases=call.args["has_biases"])
            first = tuple(drop(settle(store, cut(state, 0, place, place + 1), [0]), [0]) for state in states)
            ends.append(_run(walk, _STEPS[call.name], x, first, cell))
            outs.append(ends[-1][0])
        x = outs[0] if directions == 1 else join(store, outs, 1, (x.shape[0], sum(out.shape[1] for out in outs)))
    shapes = [tuple(part.shape) for part in call.node.meta["val"]]
    last = [_stacked([end[k] for end in ends], shapes[1 + k]) for k in range(len(states))]
    return (replace(insert(x, [time]), shape=shapes[0]), *last)


def _stacked(ends: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """States ``[b, h]`` of layers and directions, which have neurons of their own, one after the other."""
    fields = np.stack([end.fields[0].ids for end in ends])
    scales = np.stack([end.terms[0].ids for end in ends])
    home = 2 if fields.size == 1 else None
    return Value(shape, (Field(fields, home),), (Term(scales, home=home),))


@rule("lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell")
def cell(walk: Walk, call: Call) -> Result:
    """One step; its states have labels of their own, so that a loop says whether they are the same."""
    name = call.name.removesuffix("_cell")
    given = call.args["hx"] if name == "lstm" else [call.args["hx"]]
    states = tuple(walk.value(node) for node in given)
    params = [call.args[key] for key in ("w_ih", "w_hh", "b_ih", "b_hh")]
    found = _cell(walk, [node for node in params if node is not None], biases=params[2] is not None)
    after = _STEPS[name](walk.store, walk.value(call.args["input"]), states, found)
    return after if name == "lstm" else replace(after[0], shape=shape_of(call.node))

"""Rules of operators that work entry by entry."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.fx import Node

from .._values import Call, Refused, shape_of
from . import _norm
from ._pointwise import Passing, apply, let_pass, unscaled
from ._registry import RULES, rule
from ._value import Value, add, insert, meet, multiply, pieces, ranked
from ._walk import Result, Walk


def _pair(walk: Walk, call: Call, first: str = "self", second: str = "other") -> tuple[Value, Value]:
    x, y = walk.value(call.args[first]), walk.value(call.args[second])
    ndim = len(shape_of(call.node))
    return ranked(x, ndim), ranked(y, ndim)


@rule("mul multiply", entrywise=True)
def mul(walk: Walk, call: Call) -> Result:
    left, right = call.args["self"], call.args["other"]
    if left is right:
        return let_pass(walk.store, walk.value(left), Passing(2, 0))
    x, y = _pair(walk, call)
    if x.param and not x.zero and not isinstance(right, Node):
        return x
    if y.param and x.moved and not x.param:
        return _norm.scaled(walk.store, x, y)
    if x.param and y.moved and not y.param:
        return _norm.scaled(walk.store, y, x)
    return multiply(walk.store, x, y)


@rule("div divide true_divide", entrywise=True)
def div(walk: Walk, call: Call) -> Result:
    if call.args.get("rounding_mode") is not None:
        raise Refused("it rounds")
    x, y = _pair(walk, call)
    if x.param and not isinstance(call.args["other"], Node):
        return x
    inverse = let_pass(walk.store, y, Passing(-1, 1))
    return multiply(walk.store, x, inverse)


@rule("add sub subtract rsub", entrywise=True)
def plus(walk: Walk, call: Call) -> Result:
    x, y = _pair(walk, call)
    if x.param and y.param:
        raise Refused("it adds two parameters")
    return replace(add(walk.store, x, y), param=False, shape=shape_of(call.node))


@rule("maximum minimum fmax fmin")
def extreme(walk: Walk, call: Call) -> Result:
    x, y = _pair(walk, call)
    out = add(walk.store, x, y) if not (x.zero or y.zero) else (y if x.zero else x)
    return let_pass(walk.store, out, Passing(1, None))


@rule("where")
def where(walk: Walk, call: Call) -> Result:
    if "other" not in call.args:
        raise Refused("it finds positions")
    ndim = len(shape_of(call.node))
    condition, x, y = (ranked(walk.value(call.args[key]), ndim) for key in ("condition", "self", "other"))
    walk.store.pin(*(term.power for term in condition.terms))
    return multiply(walk.store, replace(condition, terms=(), zero=False), add(walk.store, x, y))


@rule("masked_fill")
def masked_fill(walk: Walk, call: Call) -> Result:
    ndim = len(shape_of(call.node))
    x, mask = (ranked(walk.value(call.args[key]), ndim) for key in ("self", "mask"))
    filled = add(walk.store, x, ranked(walk.value(call.args["value"]), ndim))
    return multiply(walk.store, replace(mask, terms=(), zero=False), filled)


@rule("dropout feature_dropout alpha_dropout feature_alpha_dropout", entrywise=True)
def dropout(walk: Walk, call: Call) -> Result:
    if call.args["train"] and call.args["p"] > 0:
        raise Refused("it stays random in eval mode; pass training=self.training")
    return walk.value(call.first)


@rule("prelu")
def prelu(walk: Walk, call: Call) -> Result:
    x, slope = walk.value(call.args["self"]), walk.value(call.args["weight"])
    if slope.shape != (1,):
        slope = ranked(insert(slope, range(1, len(x.shape) - 1)), len(x.shape))
    else:
        slope = ranked(slope, len(x.shape))
    walk.store.pin(*(term.power for term in slope.terms))
    x = let_pass(walk.store, x, Passing(1, None))
    return replace(x, fields=meet(walk.store, x, slope))


@rule("glu")
def glu(walk: Walk, call: Call) -> Result:
    x = walk.value(call.args["self"])
    dim = call.args["dim"] % len(x.shape)
    parts = pieces(x, dim, 2)
    gate = unscaled(walk.store, parts[1])
    for part in parts:
        for label in part.fields:
            walk.store.play(label.ids)
    return multiply(walk.store, parts[0], gate)


def pointwise(walk: Walk, call: Call) -> Result:
    """A function of one tensor, entry by entry."""
    tensors = [arg for arg in call.args.values() if isinstance(arg, Node) and isinstance(arg.meta.get("val"), Tensor)]
    target = call.node.target
    if len(set(tensors)) != 1 or not callable(target) or not isinstance(call.node.meta["val"], Tensor):
        raise Refused("it combines several tensors")
    node = tensors[0]
    if call.node.meta["val"].dtype not in (torch.bool,) and not call.node.meta["val"].is_floating_point():
        raise Refused("its result is not of a floating-point type")
    x = walk.value(node)
    place = next(index for index, arg in enumerate(call.node.args) if arg is node)
    before, after = call.node.args[:place], call.node.args[place + 1 :]
    return apply(walk.store, x, target, before, after, dict(call.node.kwargs))


_POINTWISE = """
relu leaky_relu abs absolute tanh sin erf special_erf hardtanh hardshrink softshrink tanhshrink gelu silu elu
selu relu6 mish hardswish hardsigmoid sigmoid special_expit softplus celu log_sigmoid logit threshold clamp
clip clamp_min clamp_max cos exp expm1 log log1p sqrt rsqrt reciprocal square pow sign sgn neg negative
positive sinh cosh asinh atan arctan tan erfc sinc round floor ceil trunc frac gt lt ge le eq ne greater less
isnan logical_not nan_to_num rrelu_with_noise float_power exp2 log2 log10 acos asin
"""
RULES.update(dict.fromkeys(_POINTWISE.split(), pointwise))

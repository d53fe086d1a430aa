"""Rules of products: matrices, einsum, attention."""

from dataclasses import replace

import numpy as np

from .._values import Call, Refused, shape_of
from . import _contract
from ._pointwise import unscaled
from ._registry import made, maybe, rule
from ._value import Value, add, drop, ranked, settle
from ._walk import Result, Walk


@rule("matmul mm bmm mv dot")
def matmul(walk: Walk, call: Call) -> Result:
    x, y = (
        walk.value(call.args["self"]),
        walk.value(call.args.get("other", call.args.get("mat2", call.args.get("vec", call.args.get("tensor"))))),
    )
    return replace(_matmul(walk, x, y), shape=shape_of(call.node))


def _matmul(walk: Walk, x: Value, y: Value) -> Value:
    x_letters, y_letters = "ak", "kb"
    if len(x.shape) == 1:
        x_letters = "k"
    if len(y.shape) == 1:
        y_letters = "k"
    lead = "ABCDEFGH"[: max(len(x.shape) - len(x_letters), len(y.shape) - len(y_letters))]
    for value, letters in ((x, x_letters), (y, y_letters)):
        if value.param and len(value.shape) == 2:
            walk.store.read.update(int(label.ids.flat[0]) for label in value.fields if label.at(letters.index("k")))
    x_letters = lead[len(lead) - (len(x.shape) - len(x_letters)) :] + x_letters
    y_letters = lead[len(lead) - (len(y.shape) - len(y_letters)) :] + y_letters
    if y.param and len(y.shape) == 2:
        made(walk, y, 1)
        y = _contract.whole(walk.store, y)
    output = lead + "".join(letter for letter in "ab" if letter in x_letters + y_letters)
    return _contract.contract(walk.store, [x, y], [x_letters, y_letters], output)


@rule("addmm baddbmm")
def addmm(walk: Walk, call: Call) -> Result:
    first, second = ("mat1", "mat2") if call.name == "addmm" else ("batch1", "batch2")
    out = _matmul(walk, walk.value(call.args[first]), walk.value(call.args[second]))
    return replace(
        add(walk.store, out, ranked(walk.value(call.args["self"]), len(out.shape))), shape=shape_of(call.node)
    )


@rule("_grouped_mm grouped_mm grouped_mm_fallback")
def grouped(walk: Walk, call: Call) -> Result:
    """Rows sorted by expert, each times the matrix of its expert: the experts stay in place."""
    x, weight, ends = (walk.value(node) for node in list(call.args.values())[:3])
    if len(x.shape) != 2 or len(weight.shape) != 3 or ends.moved:
        raise Refused("it multiplies groups of columns")
    x, weight = settle(walk.store, x, [0]), drop(settle(walk.store, weight, [0]), [0])
    made(walk, weight, 1)
    return replace(_contract.contract(walk.store, [x, weight], ["sk", "kn"], "sn"), shape=shape_of(call.node))


@rule("einsum")
def einsum(walk: Walk, call: Call) -> Result:
    """The contraction that the equation says; none with an ellipsis or a diagonal."""
    equation, nodes = call.args["equation"].replace(" ", ""), call.args["tensors"]
    if "." in equation:
        raise Refused("einsum with an ellipsis is not read; name the axes")
    inputs, _, output = equation.partition("->")
    letters = inputs.split(",")
    if "->" not in equation:
        output = "".join(sorted(letter for letter in set(inputs) - {","} if inputs.count(letter) == 1))
    if any(len(set(word)) < len(word) for word in letters):
        raise Refused("einsum takes a diagonal")
    values = [walk.value(node) for node in nodes]
    for value, word in zip(values, letters, strict=True):
        for dim, letter in enumerate(word):
            if value.param and letter in output:
                made(walk, value, dim)
    return replace(_contract.contract(walk.store, values, letters, output), shape=shape_of(call.node))


@rule("bilinear")
def bilinear(walk: Walk, call: Call) -> Result:
    """A product of two inputs and a weight with an axis for each, and its bias."""
    one, two, weight = (walk.value(call.args[key]) for key in ("input1", "input2", "weight"))
    made(walk, weight, 0)
    lead = "ABCDEFG"[: len(one.shape) - 1]
    out = _contract.contract(walk.store, [one, two, weight], [lead + "i", lead + "j", "oij"], lead + "o")
    bias = maybe(walk, call.args["bias"])
    return out if bias is None else _contract.plus_bias(walk.store, out, bias, len(out.shape) - 1)


@rule("scaled_dot_product_attention")
def attention(walk: Walk, call: Call) -> Result:
    """Values weighted by what queries and keys say; heads of keys and values repeated where they are grouped."""
    query, key, value = (walk.value(call.args[name]) for name in ("query", "key", "value"))
    if call.args.get("enable_gqa"):
        heads = query.shape[-3] // key.shape[-3]
        key, value = (_repeated(x, len(x.shape) - 3, heads) for x in (key, value))
    lead = "ABCDEF"[: len(query.shape) - 2]
    scores = _contract.contract(walk.store, [query, key], [lead + "qd", lead + "kd"], lead + "qk")
    mask = maybe(walk, call.args.get("attn_mask"))
    scores = unscaled(walk.store, scores)
    if mask is not None:
        scores = unscaled(walk.store, add(walk.store, scores, ranked(mask, len(scores.shape))))
    return _contract.contract(walk.store, [scores, value], [lead + "qk", lead + "kd"], lead + "qd")


def _repeated(x: Value, dim: int, times: int) -> Value:
    def copied(ids: np.ndarray) -> np.ndarray:
        return np.repeat(ids, times, dim) if ids.shape[dim] > 1 else ids

    return replace(
        x,
        shape=(*x.shape[:dim], x.shape[dim] * times, *x.shape[dim + 1 :]),
        fields=tuple(replace(label, ids=copied(label.ids), copied=True) for label in x.fields),
        terms=tuple(replace(term, ids=copied(term.ids)) for term in x.terms),
        even=x.even | ({dim} if x.shape[dim] == 1 else frozenset()),
    )

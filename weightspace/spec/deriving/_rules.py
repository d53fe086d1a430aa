"""One rule per operator: the labels of its result, and what it says about those of its operands."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from .._values import Call, Refused, shape_of
from . import _contract, _norm
from ._move import MOVES, join, move
from ._pointwise import Passing, apply, let_pass, unscaled
from ._store import FIXED, ZERO
from ._value import Field, Term, Value, add, drop, insert, meet, multiply, ranked, settle, total
from ._walk import Result, Rule, Walk

RULES: dict[str, Rule] = {}


def rule(names: str):  # noqa: ANN201
    """Registers a rule under operator names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


def _pair(walk: Walk, call: Call, first: str = "self", second: str = "other") -> tuple[Value, Value]:
    x, y = walk.value(call.args[first]), walk.value(call.args[second])
    ndim = len(shape_of(call.node))
    return ranked(x, ndim), ranked(y, ndim)


# -- entry by entry ---------------------------------------------------------------------------------------------


@rule("mul multiply")
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


@rule("div divide true_divide")
def div(walk: Walk, call: Call) -> Result:
    if call.args.get("rounding_mode") is not None:
        raise Refused("it rounds")
    x, y = _pair(walk, call)
    if x.param and not isinstance(call.args["other"], Node):
        return x
    inverse = let_pass(walk.store, y, Passing(-1, 1))
    return multiply(walk.store, x, inverse)


@rule("add sub subtract rsub")
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


@rule("dropout feature_dropout alpha_dropout feature_alpha_dropout")
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
    parts = _sliced(x, dim, 2)
    gate = unscaled(walk.store, parts[1])
    for part in parts:
        for label in part.fields:
            walk.store.play(label.ids)
    return multiply(walk.store, parts[0], gate)


def _sliced(x: Value, dim: int, num: int) -> list[Value]:
    size = x.shape[dim] // num
    shape = (*x.shape[:dim], size, *x.shape[dim + 1 :])

    def cut(label: Field | Term, start: int) -> np.ndarray:
        ids = label.ids
        return ids if ids.shape[dim] == 1 else np.take(ids, range(start, start + size), dim)

    return [
        replace(
            x,
            shape=shape,
            fields=tuple(replace(label, ids=cut(label, k * size)) for label in x.fields),
            terms=tuple(replace(term, ids=cut(term, k * size)) for term in x.terms),
        )
        for k in range(num)
    ]


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


# -- along axes -------------------------------------------------------------------------------------------------


def _dims(call: Call, ndim: int) -> tuple[int, ...]:
    dims = call.args.get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims or range(ndim))
    return tuple(sorted(dim % ndim for dim in dims))


_REDUCTIONS = {
    "sum": Passing(1, 1), "mean": Passing(1, 1), "nansum": Passing(1, 1), "amax": Passing(1, None),
    "amin": Passing(1, None), "max": Passing(1, None), "min": Passing(1, None), "median": Passing(1, None),
    "linalg_vector_norm": Passing(1, 0), "norm": Passing(1, 0), "std": Passing(1, 0), "var": Passing(2, 0),
    "logsumexp": Passing(None, None), "prod": Passing(None, None),
}  # fmt: skip


@rule(" ".join(_REDUCTIONS))
def reduce(walk: Walk, call: Call) -> Result:
    if call.overload in ("other", "correction_names", "dim_DimnameList"):
        raise Refused("it compares two tensors")
    x = walk.value(call.first)
    if not x.shape:
        return let_pass(walk.store, x, _REDUCTIONS[call.name])
    dims = _dims(call, len(x.shape))
    out = total(walk.store, let_pass(walk.store, x, _REDUCTIONS[call.name]), dims)
    out = replace(out, param=False)
    out = out if call.args.get("keepdim") else drop(out, dims)
    if isinstance(call.node.meta["val"], Tensor):
        return out
    return out, replace(out, index=True)


@rule("softmax log_softmax _softmax _log_softmax softmin")
def softmax(walk: Walk, call: Call) -> Result:
    return unscaled(walk.store, walk.value(call.first))


@rule("cumsum logcumsumexp cumprod sort topk argsort")
def along(walk: Walk, call: Call) -> Result:
    x = walk.value(call.first)
    dim = (call.args["dim"] if call.args.get("dim") is not None else -1) % len(x.shape)
    if any(label.at(dim) for label in x.fields if label.ids.size > 1):
        raise Refused(f"it works along the neurons (axis {dim}), which then differ by their places")
    passed = {"cumsum": Passing(1, 1), "sort": Passing(1, None), "topk": Passing(1, None)}
    out = let_pass(walk.store, x, passed.get(call.name, Passing(None, None)))
    if isinstance(call.node.meta["val"], Tensor):
        return replace(out, shape=shape_of(call.node))
    return out, replace(out, index=True)


def _spatial(names: str, spatial: int, *, largest: bool = False) -> None:
    @rule(names)
    def pool(walk: Walk, call: Call) -> Result:
        x = walk.value(call.first)
        dims = range(len(x.shape) - spatial, len(x.shape))
        for label in (*x.fields, *x.terms):
            for dim in dims:
                if label.ids.shape[dim] > 1:
                    raise Refused(f"it mixes the neurons on axis {dim}")
        out = let_pass(walk.store, x, Passing(1, None)) if largest else x
        val = call.node.meta["val"]
        out = replace(out, shape=tuple((val if isinstance(val, Tensor) else val[0]).shape), param=False)
        return out if isinstance(val, Tensor) else (out, replace(out, index=True))


for _n in (1, 2, 3):
    _spatial(f"avg_pool{_n}d adaptive_avg_pool{_n}d upsample_nearest{_n}d _upsample_nearest_exact{_n}d", _n)
    _spatial(f"reflection_pad{_n}d replication_pad{_n}d", _n)
    _spatial(f"max_pool{_n}d max_pool{_n}d_with_indices adaptive_max_pool{_n}d", _n, largest=True)
_spatial("upsample_linear1d", 1)
_spatial("upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa", 2)
_spatial("upsample_trilinear3d", 3)


@rule("pad constant_pad_nd")
def pad(walk: Walk, call: Call) -> Result:
    x = walk.value(call.first)
    sizes, ndim = call.args["pad"], len(x.shape)
    value = call.args.get("value") or 0
    if call.args.get("mode", "constant") != "constant":
        value = 0
        if any(x_label.ids.shape[ndim - 1 - k // 2] > 1 for x_label in (*x.fields, *x.terms)
               for k, size in enumerate(sizes) if size):
            raise Refused("it pads the neurons with copies of others")
    if value:
        walk.store.relate(*(term.power for term in x.terms))
    widths = [(0, 0)] * ndim
    for k in range(0, len(sizes), 2):
        widths[ndim - 1 - k // 2] = (sizes[k], sizes[k + 1])
    def padded(label: Field | Term) -> np.ndarray:
        ids = label.ids
        here = [width if ids.shape[dim] > 1 else (0, 0) for dim, width in enumerate(widths)]
        for dim, (before, after) in enumerate(here):
            ids = ids.take(range(max(0, -before), ids.shape[dim] - max(0, -after)), dim)  # negative padding cuts
        wide = [(max(0, before), max(0, after)) for before, after in here]
        return np.pad(ids, wide, constant_values=FIXED if value else ZERO)

    return replace(
        x,
        shape=shape_of(call.node),
        fields=tuple(replace(label, ids=padded(label)) for label in x.fields),
        terms=tuple(replace(term, ids=padded(term)) for term in x.terms),
        param=False,
    )


@rule("cat concat concatenate hstack vstack stack")
def cat(walk: Walk, call: Call) -> Result:
    tensors = call.first
    assert isinstance(tensors, (list, tuple)), "concatenation takes a list"
    values = [walk.value(node) for node in tensors]
    shape = shape_of(call.node)
    if call.name == "stack":
        dim = call.args.get("dim", 0) % len(shape)
        values = [insert(value, [dim]) for value in values]
    else:
        dim = {"hstack": min(1, len(shape) - 1), "vstack": 0}.get(call.name, call.args.get("dim", 0)) % len(shape)
    return join(walk.store, values, dim, shape)


@rule("index_select")
def index_select(walk: Walk, call: Call) -> Result:
    x = walk.value(call.args["self"])
    dim = call.args["dim"] % len(x.shape)
    return replace(settle(walk.store, x, [dim]), shape=shape_of(call.node), param=False)


@rule("index")
def index(walk: Walk, call: Call) -> Result:
    x, places = walk.value(call.args["self"]), call.args["indices"]
    used = [dim for dim, place in enumerate(places) if place is not None]
    if len(used) != 1 or walk.value(places[used[0]]).moved:
        raise Refused("it reads entries at several positions at once")
    (dim,) = used
    out = drop(replace(settle(walk.store, x, [dim]), shape=(*x.shape[:dim], 1, *x.shape[dim + 1 :])), [dim])
    out = insert(out, range(dim, dim + len(shape_of(places[dim]))))
    return replace(out, shape=shape_of(call.node), param=False)


@rule("embedding")
def embedding(walk: Walk, call: Call) -> Result:
    table = walk.value(call.args["weight"])
    _made(walk, table, 1)
    row = drop(replace(settle(walk.store, table, [0]), shape=(1, *table.shape[1:])), [0])
    places = shape_of(call.args["indices"])
    return replace(insert(row, range(len(places))), shape=shape_of(call.node), param=False)


# -- layers -----------------------------------------------------------------------------------------------------


def _made(walk: Walk, weight: Value, dim: int) -> None:
    """Notes that a layer makes the neurons along axis ``dim`` of its weight."""
    walk.store.made.update(int(label.ids.flat[0]) for label in weight.fields if weight.param and label.at(dim))


def _maybe(walk: Walk, arg: object) -> Value | None:
    return None if arg is None else walk.value(arg)


def _weights(walk: Walk, call: Call) -> tuple[Value, Value, Value | None]:
    """Input, weight (with scales also along axes of size 1, remembered for other readers) and bias."""
    weight = walk.value(call.args["weight"])
    grouped = call.args.get("groups", 1) > 1
    if not grouped and call.args["weight"] in walk.traced.params:
        weight = _contract.whole(walk.store, weight)
        walk.relearn(call.args["weight"], weight)
    bias = _maybe(walk, call.args.get("bias"))
    return walk.value(call.args["input"]), weight, bias


@rule("linear")
def linear(walk: Walk, call: Call) -> Result:
    x, weight, bias = _weights(walk, call)
    _made(walk, weight, 0)
    out = _contract.linear(walk.store, x, weight, bias)
    return replace(out, shape=shape_of(call.node))


def _conv(spatial: int, *, transposed: bool) -> None:
    @rule(f"conv_transpose{spatial}d" if transposed else f"conv{spatial}d")
    def conv(walk: Walk, call: Call) -> Result:
        x, weight, bias = _weights(walk, call)
        groups = call.args.get("groups", 1)
        if groups > 1 and weight.param:
            weight = _contract.by_group(walk.store, weight, groups)
            walk.relearn(call.args["weight"], weight)
        _made(walk, weight, 1 if transposed and groups == 1 else 0)
        out = _contract.convolution(
            walk.store, x, weight, bias, groups=groups, spatial=spatial, transposed=transposed
        )
        return replace(out, shape=shape_of(call.node))


for _n in (1, 2, 3):
    _conv(_n, transposed=False)
    _conv(_n, transposed=True)


@rule("batch_norm")
def batch_norm(walk: Walk, call: Call) -> Result:
    if call.args["training"] or call.args["running_mean"] is None:
        return _by_batch(walk, call)
    x = walk.value(call.args["input"])
    stats = []
    for key in ("running_mean", "running_var"):
        node = call.args[key]
        stat = walk.value(node)
        if not stat.terms and stat.fields:
            stat = replace(stat, terms=(Term(walk.store.scales(stat.fields[0].ids), home=0),))
            walk.relearn(node, stat)
        stats.append(stat)
    param = walk.traced.params.get(call.args["running_var"])
    if param is not None:
        walk.offsets[param.name] = call.args["eps"]
    gain, shift = _maybe(walk, call.args["weight"]), _maybe(walk, call.args["bias"])
    return _norm.batch_norm(walk.store, x, gain, shift, *stats)


def _by_batch(walk: Walk, call: Call) -> Result:
    """Normalization by the statistics of the batch itself."""
    x = unscaled(walk.store, walk.value(call.args["input"]))
    gain, shift = _maybe(walk, call.args["weight"]), _maybe(walk, call.args["bias"])
    return _norm.affine(walk.store, x, gain, shift, tuple(range(len(x.shape) - 2)))


@rule("instance_norm")
def instance_norm(walk: Walk, call: Call) -> Result:
    if not call.args["use_input_stats"]:
        raise Refused("it uses running statistics; turn track_running_stats off")
    gain, shift = _maybe(walk, call.args["weight"]), _maybe(walk, call.args["bias"])
    return _norm.instance_norm(walk.store, walk.value(call.args["input"]), gain, shift)


@rule("layer_norm rms_norm")
def layer_norm(walk: Walk, call: Call) -> Result:
    gain, shift = _maybe(walk, call.args["weight"]), _maybe(walk, call.args.get("bias"))
    return _norm.layer_norm(walk.store, walk.value(call.args["input"]), len(call.args["normalized_shape"]), gain, shift)


@rule("group_norm")
def group_norm(walk: Walk, call: Call) -> Result:
    gain, shift = _maybe(walk, call.args["weight"]), _maybe(walk, call.args["bias"])
    return _norm.group_norm(walk.store, walk.value(call.args["input"]), call.args["num_groups"], gain, shift)


@rule("_weight_norm")
def weight_norm(walk: Walk, call: Call) -> Result:
    v, g = walk.value(call.args["v"]), walk.value(call.args["g"])
    dims = tuple(dim for dim in range(len(v.shape)) if dim != call.args["dim"] % len(v.shape))
    size = total(walk.store, let_pass(walk.store, v, Passing(1, 0)), dims)
    unit = multiply(walk.store, v, let_pass(walk.store, size, Passing(-1, 1)))
    return replace(multiply(walk.store, unit, g), param=True)


# -- products ---------------------------------------------------------------------------------------------------


@rule("matmul mm bmm mv dot")
def matmul(walk: Walk, call: Call) -> Result:
    x, y = walk.value(call.args["self"]), walk.value(call.args.get("other", call.args.get("mat2", call.args.get("vec", call.args.get("tensor")))))  # noqa: E501
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
        _made(walk, y, 1)
        y = _contract.whole(walk.store, y)
    output = lead + "".join(letter for letter in "ab" if letter in x_letters + y_letters)
    return _contract.contract(walk.store, [x, y], [x_letters, y_letters], output)


@rule("addmm baddbmm")
def addmm(walk: Walk, call: Call) -> Result:
    first, second = ("mat1", "mat2") if call.name == "addmm" else ("batch1", "batch2")
    out = _matmul(walk, walk.value(call.args[first]), walk.value(call.args[second]))
    return replace(add(walk.store, out, ranked(walk.value(call.args["self"]), len(out.shape))), shape=shape_of(call.node))


@rule("einsum")
def einsum(walk: Walk, call: Call) -> Result:
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
                _made(walk, value, dim)
    return replace(_contract.contract(walk.store, values, letters, output), shape=shape_of(call.node))


@rule("bilinear")
def bilinear(walk: Walk, call: Call) -> Result:
    one, two, weight = (walk.value(call.args[key]) for key in ("input1", "input2", "weight"))
    _made(walk, weight, 0)
    lead = "ABCDEFG"[: len(one.shape) - 1]
    out = _contract.contract(walk.store, [one, two, weight], [lead + "i", lead + "j", "oij"], lead + "o")
    bias = _maybe(walk, call.args["bias"])
    return out if bias is None else _contract.plus_bias(walk.store, out, bias, len(out.shape) - 1)


@rule("scaled_dot_product_attention")
def attention(walk: Walk, call: Call) -> Result:
    query, key, value = (walk.value(call.args[name]) for name in ("query", "key", "value"))
    if call.args.get("enable_gqa"):
        heads = query.shape[-3] // key.shape[-3]
        key, value = (_repeated(x, len(x.shape) - 3, heads) for x in (key, value))
    lead = "ABCDEF"[: len(query.shape) - 2]
    scores = _contract.contract(walk.store, [query, key], [lead + "qd", lead + "kd"], lead + "qk")
    mask = _maybe(walk, call.args.get("attn_mask"))
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
    )


@rule("zeros_like new_zeros")
def zeros(walk: Walk, call: Call) -> Result:
    del walk
    return Value(shape_of(call.node), zero=True)


@rule(" ".join(MOVES))
def moves(walk: Walk, call: Call) -> Result:
    return move(call, walk.value(call.first))


_POINTWISE = """relu leaky_relu abs absolute tanh sin erf special_erf hardtanh hardshrink softshrink tanhshrink gelu silu
elu selu relu6 mish hardswish hardsigmoid sigmoid special_expit softplus celu log_sigmoid logit threshold clamp clip
clamp_min clamp_max cos exp expm1 log log1p sqrt rsqrt reciprocal square pow sign sgn neg negative positive sinh cosh
asinh atan arctan tan erfc sinc round floor ceil trunc frac gt lt ge le eq ne greater less isnan logical_not nan_to_num
rrelu_with_noise float_power exp2 log2 log10 acos asin""".split()
RULES.update(dict.fromkeys(_POINTWISE, pointwise))

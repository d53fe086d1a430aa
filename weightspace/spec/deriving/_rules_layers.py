"""Rules of layers with a weight of their own: linear, convolution, normalization."""

from dataclasses import replace

from .._values import Call, Refused, shape_of
from . import _contract, _norm
from ._pointwise import Passing, let_pass, unscaled
from ._registry import made, maybe, rule
from ._value import Term, Value, multiply, ranked, total
from ._walk import Result, Walk


def _weights(walk: Walk, call: Call) -> tuple[Value, Value, Value | None]:
    """Input, weight (with scales also along axes of size 1, remembered for other readers) and bias."""
    weight = walk.value(call.args["weight"])
    grouped = call.args.get("groups", 1) > 1
    if not grouped and call.args["weight"] in walk.traced.params:
        weight = _contract.whole(walk.store, weight)
        walk.relearn(call.args["weight"], weight)
    bias = maybe(walk, call.args.get("bias"))
    return walk.value(call.args["input"]), weight, bias


@rule("linear")
def linear(walk: Walk, call: Call) -> Result:
    x, weight, bias = _weights(walk, call)
    made(walk, weight, 0)
    out = _contract.linear(walk.store, x, weight, bias)
    return replace(out, shape=shape_of(call.node))


def _conv(spatial: int, *, transposed: bool) -> None:
    @rule(f"conv_transpose{spatial}d" if transposed else f"conv{spatial}d")
    def conv(walk: Walk, call: Call) -> Result:
        x, weight, bias = _weights(walk, call)
        groups = call.args.get("groups", 1)
        made(walk, weight, 1 if transposed and groups == 1 else 0)
        out = _contract.convolution(walk.store, x, weight, bias, groups=groups, spatial=spatial, transposed=transposed)
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
    gain, shift = maybe(walk, call.args["weight"]), maybe(walk, call.args["bias"])
    return _norm.batch_norm(walk.store, x, gain, shift, *stats)


def _by_batch(walk: Walk, call: Call) -> Result:
    """Normalization by the statistics of the batch itself."""
    x = unscaled(walk.store, walk.value(call.args["input"]))
    gain, shift = maybe(walk, call.args["weight"]), maybe(walk, call.args["bias"])
    return _norm.affine(walk.store, x, gain, shift, tuple(range(len(x.shape) - 2)))


@rule("instance_norm")
def instance_norm(walk: Walk, call: Call) -> Result:
    if not call.args["use_input_stats"]:
        raise Refused("it uses running statistics; turn track_running_stats off")
    gain, shift = maybe(walk, call.args["weight"]), maybe(walk, call.args["bias"])
    return _norm.instance_norm(walk.store, walk.value(call.args["input"]), gain, shift)


@rule("layer_norm rms_norm")
def layer_norm(walk: Walk, call: Call) -> Result:
    gain, shift = maybe(walk, call.args["weight"]), maybe(walk, call.args.get("bias"))
    return _norm.layer_norm(walk.store, walk.value(call.args["input"]), len(call.args["normalized_shape"]), gain, shift)


@rule("group_norm")
def group_norm(walk: Walk, call: Call) -> Result:
    gain, shift = maybe(walk, call.args["weight"]), maybe(walk, call.args["bias"])
    return _norm.group_norm(walk.store, walk.value(call.args["input"]), call.args["num_groups"], gain, shift)


@rule("_weight_norm")
def weight_norm(walk: Walk, call: Call) -> Result:
    v, g = walk.value(call.args["v"]), walk.value(call.args["g"])
    kept = call.args["dim"]  # -1: one norm for the whole tensor, and g has no axis
    size = total(
        walk.store, let_pass(walk.store, v, Passing(1, 0)), tuple(dim for dim in range(len(v.shape)) if dim != kept)
    )
    unit = multiply(walk.store, v, let_pass(walk.store, size, Passing(-1, 1)))
    return replace(multiply(walk.store, unit, ranked(g, len(v.shape))), param=True)

"""One rule per operator: where the neurons of a hidden value are after it, and which rescalings it lets pass.

A rule gets the call and its single hidden operand ``x`` (at ``call.hidden``); it returns the result as a
:class:`Value` (the results, for a tuple), shrinks ``x.space`` to what passes, or raises :class:`Refused` with a
short reason.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.fx import Node

from ._activations import ACTIVATIONS, POSITIVE, TRIVIAL, passes
from ._values import Call, Refused, Value, shape_of

Rule = Callable[[Call, Value], "Value | tuple[Value, ...]"]


def limit(x: Value, group: frozenset[str]) -> Value:
    """``x``, its space rescaled by members of ``group`` only."""
    assert x.space is not None, "rules are for values with a neuron axis"
    x.space.limit(group)
    return x


def keep(call: Call, x: Value) -> Value:
    if shape_of(call.node) != shape_of(call.first):
        raise Refused("it changes the shape")
    return x


def activation(call: Call, x: Value) -> Value:
    return limit(x, passes(call.name, call.args))


def dropout(call: Call, x: Value) -> Value:
    if call.args["train"] and call.args["p"] > 0:
        raise Refused("it stays random in eval mode; pass training=self.training")
    return x


def scale(call: Call, x: Value) -> Value:
    """Multiplication and division by one number."""
    if call.args.get("rounding_mode") is not None:
        raise Refused("it rounds")
    if _one_number(call) is call.first and "div" in call.name:
        raise Refused("it divides by the hidden value")
    return x


def shift(call: Call, x: Value) -> Value:
    """Addition and subtraction of one number: neurons still may be permuted, but not rescaled."""
    nothing = _one_number(call) == 0  # as Python's sum() adds first
    return x if nothing else limit(x, TRIVIAL)


def _one_number(call: Call) -> object:
    """The other operand of a binary operator, which must be a single number."""
    other = call.args["other"] if call.args["self"] is call.hidden else call.args["self"]
    if isinstance(other, Node) and (math.prod(shape_of(other)) != 1 or shape_of(call.node) != shape_of(call.hidden)):
        raise Refused("the other operand has several numbers, so the neurons are not treated alike")
    return other


def reshape(call: Call, x: Value) -> Value:
    """Row-major reshaping: follows the neurons if they stay on one axis, in order."""
    old, new = shape_of(call.first), shape_of(call.node)
    if call.overload == "dtype":
        raise Refused("it reinterprets the bits of the numbers")
    outer, size = math.prod(old[: x.dim]), old[x.dim] // x.repeat
    for dim in range(len(new)):
        # Neurons are numbered by the same stretch of memory as before: the same number of entries before the
        # axis, and a whole number of entries each.
        if math.prod(new[:dim]) == outer and new[dim] % size == 0:
            return replace(x, dim=dim, repeat=new[dim] // size)
    raise Refused(
        f"it reshapes {list(old)} to {list(new)}, which does not keep the {size} neurons of axis {x.dim} "
        "together on one axis, in channel-major order"
    )


def reorder(call: Call, x: Value) -> Value:
    """Permutations of the axes; strides that number the axes show where each of them goes."""
    ndim = len(shape_of(call.first))
    probe = torch.empty_strided((2,) * ndim, tuple(range(1, ndim + 1)), device="meta")
    target = call.node.target
    assert callable(target), "only operators are called"
    moved = target(probe, *call.node.args[1:], **call.node.kwargs)
    assert isinstance(moved, Tensor), "a permutation of axes gives one tensor"
    return replace(x, dim=moved.stride().index(x.dim + 1))


def reduce(call: Call, x: Value) -> Value:
    """Sum or mean over axes other than the neurons'."""
    ndim = len(shape_of(call.first))
    dims = call.args.get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims or range(ndim))
    gone = {dim % ndim for dim in dims}
    if x.dim in gone:
        raise Refused(f"it reduces over the neurons (axis {x.dim})")
    return x if call.args.get("keepdim") else replace(x, dim=x.dim - sum(dim < x.dim for dim in gone))


def reduce_max(call: Call, x: Value) -> Value | tuple[Value, ...]:
    if call.name == "max" and call.overload == "other":
        raise Refused("it compares two tensors")
    out = limit(reduce(call, x), POSITIVE)
    return out if isinstance(call.node.meta["val"], Tensor) else (out, replace(out, is_index=True))


def pad(call: Call, x: Value) -> Value:
    sizes, last = call.args["pad"], len(shape_of(call.first)) - 1
    here = 2 * (last - x.dim)
    if any(sizes[here : here + 2]):
        raise Refused(f"it pads the neurons (axis {x.dim})")
    constant = call.args.get("mode", "constant") == "constant" and call.args.get("value")
    return limit(x, TRIVIAL) if constant else x


def _pool(spatial: int, *, largest: bool) -> Rule:
    def pool(call: Call, x: Value) -> Value | tuple[Value, ...]:
        if x.dim >= len(shape_of(call.first)) - spatial:
            raise Refused(f"it pools over the neurons (axis {x.dim})")
        if largest:
            limit(x, POSITIVE)
        return x if isinstance(call.node.meta["val"], Tensor) else (x, replace(x, is_index=True))

    return pool


def _table(**rules: tuple[Rule, str]) -> dict[str, Rule]:
    return {name: rule for rule, names in rules.values() for name in names.split()}


ELEMENTWISE = _table(
    activation=(activation, " ".join(ACTIVATIONS)),
    scale=(scale, "mul multiply div divide true_divide"),
    shift=(shift, "add sub subtract rsub"),
    dropout=(dropout, "dropout feature_dropout alpha_dropout feature_alpha_dropout"),
    keep=(keep, "neg negative"),
)
"""Rules of operators that treat every entry by itself; these are also read in their in-place form."""

RULES: dict[str, Rule] = ELEMENTWISE | _table(
    keep=(keep, "clone contiguous detach alias to _to_copy type_as"),
    reshape=(reshape, "view reshape _unsafe_view flatten unflatten squeeze unsqueeze view_as reshape_as"),
    reorder=(reorder, "permute transpose swapaxes swapdims movedim moveaxis t mT numpy_T"),
    reduce=(reduce, "mean sum"),
    reduce_max=(reduce_max, "amax amin max"),
    pad=(pad, "pad constant_pad_nd"),
)
for _dims in (1, 2, 3):
    RULES |= dict.fromkeys((f"avg_pool{_dims}d", f"adaptive_avg_pool{_dims}d"), _pool(_dims, largest=False))
    RULES |= dict.fromkeys(
        (f"max_pool{_dims}d", f"max_pool{_dims}d_with_indices", f"adaptive_max_pool{_dims}d"),
        _pool(_dims, largest=True),
    )

COMMUTATIVE = frozenset(["mul", "multiply", "div", "divide", "true_divide", "add", "sub", "subtract", "rsub"])
"""Operators whose hidden operand may be the second one (their rules look)."""

LAYERS: dict[str, int] = {"linear": 0, "conv1d": 1, "conv2d": 2, "conv3d": 3}
"""Operators that make a new neuron space, with the number of axes behind the neurons'."""

BETWEEN_FIXED = frozenset(
    ["add", "sub", "mul", "div", "prelu", "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"]
)
"""Operators that may compute with learned parameters, unread, where they merely rescale an input."""

_NOT_YET = {
    "normalization layers are": "batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm",
    "attention is": "scaled_dot_product_attention _native_multi_head_attention _transformer_encoder_layer_fwd",
    "recurrent networks are": "gru lstm rnn_tanh rnn_relu gru_cell lstm_cell rnn_tanh_cell rnn_relu_cell",
    "embeddings are": "embedding embedding_bag",
    "transposed convolutions are": "conv_transpose1d conv_transpose2d conv_transpose3d",
    "concatenation is": "cat concat stack hstack vstack",
    "soft-max over hidden neurons is": "softmax log_softmax",
    "PReLU is": "prelu",
}
NOT_YET = {name: f"{what} not supported yet" for what, names in _NOT_YET.items() for name in names.split()}
"""Reason by operator name, for what later versions will read."""

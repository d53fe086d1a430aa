"""``derive``: the symmetry of a network, read off its traced graph."""

from dataclasses import replace

from torch import nn

from .._errors import SpecError
from ._caches import without_caches
from ._inputs import Inputs
from ._spec import SymmetrySpec
from ._stand_ins import Rules, standing_in
from ._trace import Example, Network, OnUnknown, trace
from ._untouched import untouched
from .deriving._resolve import resolve
from .deriving._rules import RULES
from .deriving._store import Power
from .deriving._walk import Walk
from .deriving._write import Unwritable, write


def derive(
    module: Network, example: Example, *, on_unknown: OnUnknown = "refuse", rules: Rules | None = None
) -> SymmetrySpec:
    """The symmetry of a feed-forward network: which neurons may be permuted and rescaled together.

    The spec holds for inputs of the example's shape: a network that reshapes its hidden values may be another
    one on other shapes. With a batch of two or more, mixing of examples is noticed and refused. The symmetry
    found may be smaller than the network's own, never larger.

    Args:
        module: The network, on any device, ``meta`` included. Traced in eval mode and left as it was.
        example: Its input: a tensor, a tuple of tensors, a dict of keyword arguments, or a tuple that ends with one;
            only shapes and types matter.
        on_unknown: What to do at an operation that cannot be read: ``"refuse"`` raises, ``"pin"`` leaves the
            neurons it touches out of the symmetry (their spaces become fixed) and goes on.
        rules: How layers of your own move, by type: ``{MyLayer: "out in~"}`` for one that reads the last axis by
            a weight ``[out, in]``, ``{MyLayer: "h"}`` for one that works neuron by neuron; no scale passes the
            latter.

    Returns:
        The spec; its parameters are the entries of ``module.state_dict()`` in their order. Spaces are ``in``
        (``in1``, ...), ``h0``, ``h1``, ... and ``out`` in forward order; hidden features that are also
        returned are fixed. It says that it is unproven: :func:`weightspace.derive` tries what is read here.

    Raises:
        SpecError: naming the operation, its place and the way on, if a part of the network cannot be read; or
            if forward cannot be traced on ``example``.

    Source: the axis labels are the permutation spec of Ainsworth et al. 2023, arXiv:2209.04836, App. A, with
    powers of a scale; Godfrey et al. 2022, arXiv:2205.14258, for the groups. Both write the spec by hand.
    """
    if on_unknown not in ("refuse", "pin"):
        raise SpecError(f'on_unknown must be "refuse" or "pin", got {on_unknown!r}. Type: on_unknown="pin".')
    if not isinstance(module, nn.Module):
        raise SpecError(f"derive needs a torch.nn.Module, got {type(module).__name__}. Type: ws.derive(net, example).")
    with untouched(without_caches(module, Inputs.of(example))) as net, standing_in(net, rules or {}):
        traced = trace(net, example)
    walk = Walk(traced, RULES, pin=on_unknown == "pin")
    walk.run()
    while True:
        neurons = resolve(walk.store)
        try:
            spec = write(walk.store, neurons, walk.leaves, walk.offsets, traced.shapes, traced.shared)
            return replace(spec, unproven="read off the graph")
        except Unwritable as what:
            # What the notation cannot say stays in place.
            walk.store.tell_apart(what.units)
            walk.store.relate(Power(what.scales, 1, 0))
            walk.store.relate(Power(what.scales, 0, 1))

"""The traced graph of a network: its operators, and which ``state_dict`` entries it reads."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import autocast
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.nn.modules import transformer
from torch.nn.utils.rnn import PackedSequence

from .._errors import SpecError
from ._inputs import Inputs, outputs_of
from ._values import Call, Param

if TYPE_CHECKING:
    Network = nn.Module
    from ._inputs import Example

    OnUnknown = Literal["refuse", "pin"]
else:
    # What users pass is checked below, with a message that helps, also where types are checked at run time.
    Network = Example = OnUnknown = object


@final
@dataclass(frozen=True)
class Trace:
    """A network as a graph of operators, and what is known of each before reading it.

    Attributes:
        calls: Operators that have an effect on the outputs, in forward order.
        outputs: Nodes of the tensors that the network returns.
        params: Entries of the ``state_dict`` by the node at which they enter the graph.
        shapes: Shape of every ``state_dict`` entry, in its order.
        shared: By entry, the names of everything that shares its memory (at least itself).
        returned: Nodes from which an output is reached through no further parameters.
        last: Nodes from which no parameters are reached.
    """

    calls: tuple[Call, ...]
    outputs: tuple[Node, ...]
    params: dict[Node, Param]
    shapes: dict[str, tuple[int, ...]]
    shared: dict[str, tuple[str, ...]]
    returned: frozenset[Node]
    last: frozenset[Node]


def trace(module: nn.Module, example: Example) -> Trace:
    """The graph of ``module``, which is in eval mode, on ``example``.

    Raises:
        SpecError: if ``example`` is none, or forward fails or branches on values.
    """
    inputs = Inputs.of(example)
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise SpecError(
                f"the state_dict entry {name!r} of {type(module).__name__} is {type(value).__name__}, not a tensor. "
                "Remove it from the state_dict (get_extra_state) before deriving."
            )
    devices = {value.device for value in state.values()}
    if len(devices) == 1:  # values do not matter, so an example on any device will do
        (device,) = devices
        inputs = inputs.map(lambda arg: arg if arg.device == device else torch.empty_like(arg, device=device))
    program = _export(module, inputs)
    params: dict[Node, Param] = {}
    entries = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for spec in program.graph_signature.input_specs:
        learned = spec.kind == InputKind.PARAMETER
        if spec.target in state and (learned or spec.kind == InputKind.BUFFER):
            params[entries[spec.arg.name]] = Param(
                spec.target, learned, state[spec.target].is_floating_point(), state[spec.target].numel()
            )
        elif learned:
            raise SpecError(
                f"parameter {spec.target!r} of {type(module).__name__} is not in its state_dict under this name. "
                f"Remove the state_dict hook; the state_dict has {', '.join(state) or 'nothing'}."
            )
    calls, returned, last = _reach(program, params)
    return Trace(
        calls=calls,
        outputs=tuple(next(iter(reversed(program.graph.nodes))).all_input_nodes),
        params=params,
        shapes={name: tuple(value.shape) for name, value in state.items()},
        shared=_shared(module, program),
        returned=returned,
        last=last,
    )


def _export(module: nn.Module, inputs: Inputs) -> ExportedProgram:
    try:
        # Without gradients, a torch.no_grad() inside forward leaves no trace in the graph.
        with _quiet(), torch.no_grad(), _masks_as_given(), _one_type(), _unpacked(), _flat_outputs(module):
            return torch.export.export(module, inputs.args, inputs.keywords)
    except Exception as error:  # whatever forward or the tracer raises becomes one short message
        name, kind = type(module).__name__, type(error).__name__
        if kind == "GuardOnDataDependentSymNode":
            raise SpecError(
                f"cannot trace {name}: its forward depends on the values of a tensor (an if, a loop or .item()). "
                "Take that part out of forward, and derive the network without it."
            ) from error
        if isinstance(error, _PacksError):
            raise SpecError(
                f"cannot trace {name}: its forward packs sequences, whose lengths are values of a tensor. Derive it "
                "with a forward that gives the recurrent layer the padded tensor: the parameters, and so the spec, are "
                "the same."
            ) from error
        reason = str(error).strip().split("\n")[0][:300]
        raise SpecError(
            f"cannot trace {name}: forward raised {kind}: {reason}. The example has shape {inputs.shapes}. "
            "Try it by hand: net(example), with an example of the shape your network reads."
        ) from error


@contextmanager
def _flat_outputs(module: nn.Module) -> Iterator[None]:
    """Has the module return its outputs one after the other, whatever holds them: the tracer knows few containers."""
    forward = module.forward

    @wraps(forward)
    def flat(*args: Any, **words: Any) -> tuple[Tensor, ...]:
        return tuple(outputs_of(forward(*args, **words)))

    own = vars(module).get("forward")
    object.__setattr__(module, "forward", flat)
    try:
        yield
    finally:
        object.__delattr__(module, "forward")
        if own is not None:
            object.__setattr__(module, "forward", own)


@contextmanager
def _masks_as_given() -> Iterator[None]:
    """Keeps torch's transformers from looking at the values of a mask to choose a faster way to the same numbers."""
    own = transformer._detect_is_causal_mask

    def as_said(mask: object, is_causal: bool | None = None, size: int | None = None) -> bool:  # noqa: ARG001
        return bool(is_causal)

    transformer._detect_is_causal_mask = as_said
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = own


@contextmanager
def _one_type() -> Iterator[None]:
    """Takes autocast regions for what is in them: they choose number types, and no tracer writes out what they hold."""
    own = autocast.__enter__, autocast.__exit__

    def stay(self: autocast) -> autocast:
        return self

    def leave(self: autocast, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        del self, exc_type, exc_val, exc_tb

    autocast.__enter__, autocast.__exit__ = stay, leave
    try:
        yield
    finally:
        autocast.__enter__, autocast.__exit__ = own


class _PacksError(Exception):
    """Forward makes a packed sequence."""


@contextmanager
def _unpacked() -> Iterator[None]:
    """Has packed sequences say what they are: what the tracer says of them is about the numbers of torch's own code."""
    own = PackedSequence.__new__

    def refuse(*_: Any, **__: Any) -> PackedSequence:
        raise _PacksError

    PackedSequence.__new__ = refuse
    try:
        yield
    finally:
        PackedSequence.__new__ = own


@contextmanager
def _quiet() -> Iterator[None]:
    """The tracer prints and logs the graph of what it cannot trace; the error raised says it in a line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reach(
    program: ExportedProgram, params: Mapping[Node, Param]
) -> tuple[tuple[Call, ...], frozenset[Node], frozenset[Node]]:
    """Operators with an effect; nodes that reach an output, and no parameters (see :class:`Trace`)."""
    live: set[Node] = set()
    returned: set[Node] = set()
    reading: set[Node] = set()  # nodes from which parameters are reached
    readers: set[Node] = set()
    calls: list[Call] = []
    for node in reversed(program.graph.nodes):
        users = list(node.users)
        if any(user.op == "output" or (user in returned and user not in readers) for user in users):
            returned.add(node)
        if any(user in readers or user in reading for user in users):
            reading.add(node)
        if node.op != "call_function":
            continue
        call = Call.of(node)
        if any(params[arg].numel > 1 for arg in call.operands if arg in params):
            readers.add(node)
        if call.writes or any(user.op == "output" or user in live for user in users):
            live.add(node)
            calls.append(call)
    return tuple(reversed(calls)), frozenset(returned), frozenset(set(program.graph.nodes) - reading)


def _shared(module: nn.Module, program: ExportedProgram) -> dict[str, tuple[str, ...]]:
    """By parameter, buffer and captured constant: the names of all that overlap it in memory."""
    tensors = {name: value for name, value in program.constants.items() if isinstance(value, Tensor)}
    tensors |= dict(module.named_buffers(remove_duplicate=False))
    tensors |= dict(module.named_parameters(remove_duplicate=False))
    spans: list[tuple[int, int, int, str]] = []
    shared: dict[str, tuple[str, ...]] = {}
    for name, value in tensors.items():
        shared[name] = (name,)
        if value.numel() and value.layout == torch.strided:
            start = int(value.storage_offset()) * value.element_size()
            steps = zip(value.shape, value.stride(), strict=True)
            extent = 1 + sum((int(size) - 1) * int(stride) for size, stride in steps)
            spans.append((value.untyped_storage()._cdata, start, start + extent * value.element_size(), name))
    group: list[str] = []
    memory, end = 0, 0
    for storage, start, stop, name in sorted(spans):
        group, end = ([*group, name], max(end, stop)) if storage == memory and start < end else ([name], stop)
        memory = storage
        for member in group:
            shared[member] = tuple(group)
    return shared

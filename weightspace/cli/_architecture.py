"""``--model``, ``--spec`` or ``--activation``: the architecture whose networks a verb reads."""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from .._errors import ConfigError, SpecMismatch
from .._factory import load_factory
from ._arguments import shortened

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..files.checkpoint import Checkpoint
    from ..spec import SymmetrySpec


_MOST_INPUT = 1 << 28
"""Most numbers of an input."""


def add_architecture(parser: argparse.ArgumentParser, *, both: bool = False) -> None:
    """``--model M:F`` with ``--input SHAPE``, ``--spec FILE``, or ``--activation NAME``.

    With ``both``, a spec may stand beside a module, to be tried on it.
    """
    # argparse cannot say "one or both": a missing architecture is then met in `architecture_of`.
    which = parser if both else parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model",
        metavar="PACKAGE.MODULE:FACTORY",
        help="a function without arguments that makes the torch module, or (module, example)",
    )
    which.add_argument("--spec", type=Path, metavar="FILE", help="text of the spec")
    which.add_argument(
        "--activation",
        metavar="NAME",
        help="for networks of linear layers only: what stands between the layers, e.g. tanh, relu, sin; the rest is "
        "read from the file",
    )
    parser.add_argument(
        "--input",
        action="append",
        metavar="SHAPE",
        help="shape of an input, e.g. 2,3,32,32, or 2,64:int for tokens; once for each input (with --model), those "
        "that forward takes by keyword under their names, e.g. input_ids=2,64:int",
    )


@final
@dataclass(frozen=True)
class Architecture:
    """What is known of the networks: their symmetry, and with ``--model`` how to run them."""

    spec: "SymmetrySpec"
    module: "nn.Module | None" = None
    example: Any = None

    @property
    def ties(self) -> list[list[str]]:
        """Groups of names that are one tensor in the module; a file may hold such a tensor once."""
        from ..files.naming import ties_of

        return ties_of(self.module)

    def open(self, path: Path) -> "Checkpoint":
        """The network at a path; see :func:`open_network`."""
        from ..files.checkpoint import open_network

        return open_network(path, self.spec, self.ties)

    @property
    def difference(self) -> "Callable[[dict[str, Tensor], dict[str, Tensor]], float] | None":
        """The largest output difference of two networks, relative; ``None`` if only the spec is known."""
        module = self.module
        if module is None:
            return None
        from ..run.verbs.outputs import output_difference

        return lambda first, second: output_difference(module, first, second, self.example)


def architecture_of(args: argparse.Namespace, *, like: Path | None = None, on_unknown: str = "refuse") -> Architecture:
    """The architecture named on the command line.

    Args:
        args: Parsed, with the arguments of :func:`add_architecture`.
        like: A network whose shapes say what ``--activation`` leaves open.
        on_unknown: See :func:`weightspace.derive`.

    Raises:
        ConfigError: if the factory, its module or the input shapes cannot be used.
        SpecError: if the spec or the network cannot be read.
    """
    if args.activation is not None:
        return _chains(args, like)
    if args.model is None and args.spec is None:
        raise ConfigError("the architecture is not named. Add --model PACKAGE.MODULE:FACTORY, or --spec FILE")
    if args.model is None:
        return Architecture(read_spec(args.spec))
    from torch import nn

    from ..gauge import derive

    try:
        made: Any = load_factory(args.model)()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"--model {args.model} fails ({type(error).__name__}: {error}). It is called without arguments and "
            "returns a torch module."
        ) from error
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module):
        raise ConfigError(f"--model {args.model} returns {type(module).__name__}. Return a torch.nn.Module.")
    if args.input:
        example = _inputs(args.input)
    if example is None:
        raise ConfigError(
            f"--model {args.model} returns a module without an example input. Add its shape, e.g. --input 2,3,32,32"
        )
    if not args.spec:
        return Architecture(derive(module, example, on_unknown=on_unknown), module, example)  # type: ignore[arg-type]
    spec = read_spec(args.spec)
    try:
        spec.check(module.state_dict())
    except SpecMismatch as error:
        raise SpecMismatch(f"--spec {args.spec} does not fit --model {args.model}: {error}") from error
    return Architecture(spec, module, example)


def check_activation(args: argparse.Namespace) -> None:
    """Refuse an ``--activation`` that is none, or that does not stand alone, whichever the networks are."""
    from ..zoo import activation_function

    beside = [word for word in ("model", "spec", "input") if getattr(args, word)]
    if beside:
        raise ConfigError(f"--activation stands beside --{beside[0]}, which says the architecture. Leave one of them.")
    activation_function(args.activation)


def _chains(args: argparse.Namespace, like: Path | None) -> Architecture:
    from ..gauge import derive
    from ..run.verbs.chains import chains_in

    check_activation(args)
    if like is None:
        raise ConfigError("--activation needs a network file, whose shapes say the rest. Name one.")
    module, example = chains_in(like, args.activation)
    return Architecture(derive(module, example), module, example)


def _inputs(texts: Sequence[str]) -> "tuple[Any, ...]":
    """The example: inputs by position, and those with a name after them as keyword arguments."""
    args: list[Tensor] = []
    words: dict[str, Tensor] = {}
    for text in texts:
        name, equals, shape = text.rpartition("=")
        if not equals:
            args.append(_example(text))
        elif not name.isidentifier() or name in words:
            wrong = "names an input that is there already" if name in words else "names no argument of forward"
            raise ConfigError(f"--input {text!r} {wrong}. Write each name once, e.g. --input input_ids=2,64:int")
        else:
            words[name] = _example(shape)
    return (*args, words) if words else tuple(args)


def _example(text: str) -> "Tensor":
    import torch

    shape, _, kind = text.partition(":")
    sizes = shape.split(",")
    whole = all(size.isdecimal() and len(size) < 10 and int(size) for size in sizes)
    if not whole or math.prod(map(int, sizes)) > _MOST_INPUT or kind not in ("", "int"):
        raise ConfigError(
            f"--input {shortened(text)} is no shape of an input. Write numbers above 0, e.g. 2,3,32,32, or "
            "2,64:int for tokens"
        )
    return torch.zeros(*map(int, sizes), dtype=torch.long if kind else torch.float32)


def read_spec(file: Path) -> "SymmetrySpec":
    """The spec in a text file.

    Raises:
        ConfigError: if the file cannot be read.
        SpecError: naming the line that is no spec.
    """
    from ..spec import parse

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(
            f"cannot read --spec {file}: {reason}. Write one in Python: "
            f"pathlib.Path('{file.name}').write_text(ws.to_text(ws.derive(net, example)))"
        ) from error
    return parse(text)

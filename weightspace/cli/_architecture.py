"""``--model`` or ``--spec``: the architecture whose networks a verb reads, and networks of it as files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._factory import load_factory

if TYPE_CHECKING:
    from torch import Tensor

    from ..spec import SymmetrySpec

_PREFIXES = ("module.", "_orig_mod.")


def add_architecture(parser: argparse.ArgumentParser) -> None:
    """``--model M:F`` with ``--input SHAPE``, or ``--spec FILE``."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model",
        metavar="PACKAGE.MODULE:FACTORY",
        help="a function without arguments that makes the torch module, or (module, example)",
    )
    which.add_argument("--spec", type=Path, metavar="FILE", help="text of the spec")
    parser.add_argument(
        "--input",
        action="append",
        metavar="SHAPE",
        help="shape of an input, e.g. 2,3,32,32, or 2,64:int for tokens; once for each input (with --model)",
    )


def spec_of(args: argparse.Namespace, *, on_unknown: str = "refuse") -> "SymmetrySpec":
    """The spec of the architecture named on the command line.

    Raises:
        ConfigError: if the factory, its module or the input shapes cannot be used.
        SpecError: if the spec or the network cannot be read.
    """
    if args.spec is not None:
        return read_spec(args.spec)
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
        example = tuple(_example(text) for text in args.input)
    if example is None:
        raise ConfigError(
            f"--model {args.model} returns a module without an example input. Add its shape, e.g. --input 2,3,32,32"
        )
    return derive(module, example, on_unknown=on_unknown)  # type: ignore[arg-type]


def _example(text: str) -> "Tensor":
    import torch

    shape, _, kind = text.partition(":")
    sizes = shape.split(",")
    if not all(size.isdecimal() and int(size) for size in sizes) or kind not in ("", "int"):
        raise ConfigError(
            f"--input {text!r} is no shape. Write numbers above 0, e.g. 2,3,32,32, or 2,64:int for tokens"
        )
    return torch.zeros(*map(int, sizes), dtype=torch.long if kind else torch.float32)


def read_params(path: Path, spec: "SymmetrySpec") -> "dict[str, Tensor]":
    """The parameters of a network file under the names of the spec.

    Names may carry the prefixes ``module.`` and ``_orig_mod.`` of parallel and compiled modules.

    Raises:
        ConfigError: if the file cannot be read.
        SpecMismatch: if a parameter is missing, unknown or of another shape, naming the file.
    """
    from .._errors import SpecMismatch
    from ..run.networks import load_params

    params = load_params(path)
    for prefix in _PREFIXES * 2:
        if params and all(name.startswith(prefix) for name in params):
            params = {name.removeprefix(prefix): value for name, value in params.items()}
    try:
        stacked = spec.check(params)
    except SpecMismatch as error:
        raise SpecMismatch(f"{path}: {error}") from error
    if stacked is not None:
        raise SpecMismatch(f"{path} stacks {stacked} networks. Save them in files of their own.")
    return params


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

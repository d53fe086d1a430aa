"""``weightspace zoo import``: a collection of networks that somebody has trained, as a zoo."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._architecture import architecture_of
from ._arguments import add_out, whole
from ._console import progress, say
from ._verb import Verb
from .zoo import print_info

if TYPE_CHECKING:
    from ..zoo import ModuleTarget

_OPTIONS = ("model", "input", "labels", "split_file", "step", "activation")


def _arguments(parser: argparse.ArgumentParser) -> None:
    from ..zoo import FORMATS

    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the networks; nothing is written there")
    add_out(parser, "folder of the zoo")
    names = "; ".join(f"{name}: {value.what}" for name, value in FORMATS.items())
    parser.add_argument(
        "--format", choices=list(FORMATS), metavar="NAME", help=f"{names} (default: by what the folder holds)"
    )
    parser.add_argument(
        "--model",
        metavar="PACKAGE.MODULE:FACTORY",
        help="checkpoints: a function without arguments that makes the torch module, or (module, example)",
    )
    parser.add_argument(
        "--input",
        action="append",
        metavar="SHAPE",
        help="checkpoints: shape of an input, e.g. 2,3,32,32, or 2,64:int for tokens",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.csv",
        help="checkpoints: a table with the column 'file', columns of numbers, and perhaps 'split'",
    )
    parser.add_argument(
        "--split-file",
        type=Path,
        metavar="FILE",
        help="dws: splits as JSON; small_cnn_zoo: the released order of its rows (default: drawn by a fixed seed)",
    )
    parser.add_argument(
        "--step", type=whole(0), metavar="N", help="small_cnn_zoo: epoch of the checkpoints (default: the last)"
    )
    parser.add_argument(
        "--activation", metavar="NAME", help="small_cnn_zoo: relu or tanh; a zoo has one activation (default: the only)"
    )


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..zoo import FORMATS, format_of, import_zoo, open_collection

    name, folder = format_of(args.folder, args.format)
    known = FORMATS[name]
    say(f"format: {name} ({known.what}){'' if args.format else ', by what the folder holds'}")
    options = _options(args, name, known.needs, known.takes)
    if "model" in options:
        options = {"target": _target(args), "labels": args.labels}
    with progress() as show:
        collection = open_collection(folder, name, options)
        zoo = import_zoo(collection, args.out, overwrite=args.overwrite, progress=show)
    say(f"zoo: {args.out}")
    print_info(zoo)


def _options(args: argparse.Namespace, name: str, needs: tuple[str, ...], takes: tuple[str, ...]) -> dict[str, Any]:
    """The options that were given.

    Raises:
        ConfigError: if one is missing, or does not apply to the format.
    """
    given = {option: getattr(args, option) for option in _OPTIONS if getattr(args, option) is not None}
    for option in given:
        if option not in (*needs, *takes):
            applies = ", ".join(f"--{other.replace('_', '-')}" for other in (*needs, *takes)) or "none"
            raise ConfigError(
                f"--{option.replace('_', '-')} does not apply to the format {name} (options that do: {applies}). Leave "
                "it out, or choose another --format."
            )
    for option in needs:
        if option not in given:
            how = "" if args.format else f"{args.folder} is no collection that is known by its files: "
            example = {"model": "--model my_nets:make", "labels": "--labels scores.csv"}.get(option, f"--{option}")
            raise ConfigError(f"{how}the format {name} needs --{option}. Add it, e.g. {example}")
    return given


def _target(args: argparse.Namespace) -> "ModuleTarget":
    from torch import Tensor

    from ..zoo import ModuleTarget

    words = argparse.Namespace(model=args.model, input=args.input, spec=None, activation=None)
    example = architecture_of(words).example
    while isinstance(example, tuple) and len(example) == 1:
        (example,) = example
    if not isinstance(example, Tensor) or example.dim() < 2:
        raise ConfigError(
            f"--model {args.model}: networks of a zoo have one input with a leading axis for several of them. Wrap the "
            "module so that it takes one, and give its shape, e.g. --input 2,3,32,32"
        )
    return ModuleTarget(factory=args.model, input=tuple(example.shape), integers=not example.dtype.is_floating_point)


IMPORT = Verb(
    "zoo import",
    "Import networks that somebody has trained, a public collection or a folder of checkpoints, as a zoo.",
    "Known by their files: INRs of MNIST and Fashion-MNIST (DWSNets), INRs of CIFAR-10 (NFN), the Small CNN Zoo.\n"
    "Any other folder needs --model and --labels. Every network is checked; a damaged or mislabelled one is named,\n"
    "and no zoo appears. Interrupt it at any moment: the same command continues.",
    "weightspace zoo import mnist-inrs --out zoos/mnist_inrs",
    _arguments,
    _run,
    resumes=True,
)

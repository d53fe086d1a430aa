"""``weightspace gauge-freedom``: how many scalings keep a layer's form, and how many keep a network's function."""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._console import print_table, progress, say
from ._verb import Verb

if TYPE_CHECKING:
    from torch import nn

    from ..gauge import LayerShape

_Row = dict[str, str | int]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all rows, .csv or .json")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    if args.out is not None and args.out.suffix not in (".csv", ".json"):
        raise ConfigError(f"--out {args.out} is neither a .csv nor a .json file. Type e.g. --out gauge-freedom.csv")
    cases, rows = [*_layers()], []
    with progress() as show:
        for place, (name, layer) in enumerate(cases):
            show(place, len(cases), "layers")
            rows.append(_layer_row(name, layer))
        networks = [_network_row(*network) for network in _networks()]
    if args.out is not None:
        _write(args.out, rows, networks)
    _print("Scalings that keep the form of one layer's matrix (dimension)", rows)
    _print("Scalings that keep a whole network's function (dimension)", networks)
    agree = sum(row["exact"] == row["numerical"] and row["effective"] == row["eff. num."] for row in rows)
    lemma = sum(row["exact"] == row["lemma"] for row in rows)
    say(f"exact and numerical counts agree in {agree} of {len(rows)} layers; Lemma 1 gives this count in {lemma}")
    counted = sum(row["dimension"] == row["numerical"] for row in networks)
    say(f"and in {counted} of {len(networks)} networks")
    if args.out is not None:
        say(f"table: {args.out}")
    if agree < len(rows) or counted < len(networks):
        raise SystemExit(1)


def _layers() -> "Iterator[tuple[str, LayerShape]]":
    """Layers with a name: fully connected, then convolutions of 7x7 maps over kernels, strides and paddings."""
    from ..gauge import LayerShape

    for bias in (False, True):
        yield "fully connected 6 -> 5", LayerShape(6, 5, bias=bias)
    grid = [(1, 1, p, 1, bias) for bias in (False, True) for p in (0, 1)]
    grid += [(2, 3, 0, 1, False), (2, 3, 0, 1, True), (1, 1, 0, 2, False)]
    for c, o, p, d, bias in grid:
        for k, s in product((1, 2, 3), (1, 2, 3)):
            if d > 1 and (k == 1 or (k, s) == (3, 3)):
                continue  # a single weight has no dilation; the other leaves one output a row
            name = (
                f"{c} -> {o}, kernel {k}, stride {s}" + (f", pad {p}" if p else "") + (f", dil. {d}" if d > 1 else "")
            )
            axes = ((value,) * 2 for value in (7, k, s, p, d))
            yield name, LayerShape(c, o, *axes, bias=bias)
    yield "1 -> 1, kernel 7, stride 1", LayerShape(1, 1, (7, 7), (7, 7), (1, 1), (0, 0), (1, 1))


def _layer_row(name: str, layer: "LayerShape") -> _Row:
    from ..gauge import generic_freedom, layer_freedom, null_space_freedom

    exact, (scales, effective) = layer_freedom(layer), null_space_freedom(layer)
    return {
        "layer": name + (", bias" if layer.bias else ""),
        "n + m": layer.columns + layer.rows,
        "lemma": layer.columns + layer.rows if not layer.size else layer.inputs + layer.outputs,
        "exact": exact.scales,
        "numerical": scales,
        "effective": exact.effective,
        "eff. num.": effective,
        "large input": generic_freedom(layer),
        "signs": exact.signs,
        "why": "; ".join(_reasons(layer)),
    }


def _reasons(layer: "LayerShape") -> Iterator[str]:
    """What the lemma leaves out at this layer."""
    import math

    if not layer.size:
        return
    entries = layer.entries()
    if len({entry.weight for entry in entries}) == len(entries):
        yield "every weight stands once: nothing is shared"
        return
    unread = layer.columns - len({entry.column for entry in entries})
    steps = [(k, s // math.gcd(s, d)) for k, s, d in zip(layer.kernel, layer.stride, layer.dilation, strict=True)]
    if unread:
        yield f"{unread} inputs are not read"
    idle = layer.rows - len({entry.row for entry in entries})
    if idle and not layer.bias:
        yield f"{idle} outputs read padding only"
    if not layer.bias and all(k <= q for k, q in steps):
        yield "patches do not overlap: one scale each"
    if not layer.bias and any(k > q for k, q in steps):
        yield "scales may grow geometrically along each axis"
    classes = math.prod(min(k, q) for k, q in steps)
    if classes > 1:
        yield f"{classes} classes of input positions"
    if any(d > 1 for d in layer.dilation) and not layer.bias:
        yield "interleaved grids"


def _networks() -> "Iterator[tuple[str, nn.Module, tuple[int, ...], int]]":
    """Networks with the shape of an input and the number of channels (or neurons) of all layers but the last."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    for activation, bias in ((nn.ReLU, True), (nn.ReLU, False), (nn.Tanh, True)):
        words = activation.__name__ + ("" if bias else ", no bias")
        dense = [nn.Linear(6, 8, bias), activation(), nn.Linear(8, 5, bias), activation(), nn.Linear(5, 3, bias)]
        yield f"fully connected 6-8-5-3, {words}", nn.Sequential(*dense), (2, 6), 6 + 8 + 5
        image = [
            nn.Conv2d(1, 4, 3, bias=bias),
            activation(),
            nn.Conv2d(4, 5, 3, stride=2, padding=1, bias=bias),
            activation(),
            nn.Flatten(),
            nn.Linear(5 * 9, 3, bias),
        ]
        yield f"convolutional 1-4-5-3, {words}", nn.Sequential(*image), (2, 1, 8, 8), 1 + 4 + 5


def _network_row(name: str, net: "nn.Module", shape: tuple[int, ...], text: int) -> _Row:
    import torch

    from ..gauge import derive, dimension, scaling_rank

    example = torch.zeros(shape)
    found = dimension(derive(net, example))
    return {
        "network": name,
        "paper's text": text,
        "dimension": found.scales,
        "numerical": scaling_rank(net, example).count,
        "signs": found.signs,
        "log2 permutations": f"{found.log2_permutations:.1f}",
    }


def _write(path: Path, layers: Sequence[_Row], networks: Sequence[_Row]) -> None:
    from ..files import atomic

    if path.suffix == ".json":
        text = json.dumps({"layers": list(layers), "networks": list(networks)}, indent=1) + "\n"
    else:
        sink = io.StringIO()
        columns = list(dict.fromkeys(key for row in [*layers, *networks] for key in row))
        writer = csv.DictWriter(sink, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*layers, *networks])
        text = sink.getvalue()
    atomic.write_text(path, text)


def _print(title: str, rows: Sequence[Mapping[str, str | int]]) -> None:
    print_table(title, list(rows[0]), [[str(value) for value in row.values()] for row in rows])


GAUGE_FREEDOM = Verb(
    "gauge-freedom",
    "Count the scalings that keep a layer's form, over kernels, strides, paddings and channels.",
    "For each layer: the fully connected count n + m, what Lemma 1 of arXiv:2510.08300 says, the exact dimension of\n"
    "the pairs of diagonal matrices that keep the form of the layer's matrix, the same from a numerical null space,\n"
    "the part that acts on the weights, its closed form for large inputs, and the pairs of signs. Then the same for\n"
    "the function of whole networks. Ends with code 1 if an exact and a numerical count differ.",
    "weightspace gauge-freedom --out gauge-freedom.csv",
    _arguments,
    _run,
)

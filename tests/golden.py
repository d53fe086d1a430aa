"""Golden rows of the published configurations: a small model filled with reproducible numbers, and what it returns.

The recipe, in float64: width 4, two rounds; every learned number is a sine or cosine of its place and of the code
of its part. The rows were produced by the released implementation, so its backward edges and its guarded norm are
used here (``as_released``); without positive scales both agree with what ``ws.nn.paper`` gives.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.nn import PRESETS
from weightspace.nn.published import MixedFunctional
from weightspace.nn.published._released import as_released

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from published_twin_graph import golden_inputs
from published_twin_parts import Parts, fill

NAMES = [*PRESETS, *(f"permutation: {name}" for name in PRESETS)]
"""Every configuration, and the baseline of each."""


def evaluate(name: str) -> list[float]:
    """What the golden model of a configuration returns on the golden network.

    Three numbers for INR classifiers, one for CNNs, two for ``hetero`` (the network read as tanh, then as ReLU); for
    operators the sum and the sum of squares of all changes, the changes of the first input's weights, and the change
    of the last bias of the last layer.
    """
    model, params = golden_model(name)
    with torch.no_grad():
        if isinstance(model, MixedFunctional):
            twice = {key: torch.cat([value, value]) for key, value in params.items()}
            return model(twice, torch.tensor([False, True])).flatten().tolist()
        if not hasattr(model, "delta"):
            return model(params).flatten().tolist()
        change = model.delta(params)
    every = torch.cat([value.flatten() for value in change.values()])
    first, last = next(iter(change.values()))[0], next(reversed(change.values()))[0]
    return [*map(float, (every.sum(), every.square().sum(), *first[:, 0], last[-1]))]


def golden_model(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A configuration filled with the golden numbers, in its small layout, and the golden network."""
    plain = name.removeprefix("permutation: ")
    preset = PRESETS[plain]
    # Printed for one CIFAR configuration: like the networks of all of them, it has three outputs.
    layout = (1, 3, 3, 2) if preset.kernel > 1 else (2, 3, 3, preset.layout[-1])
    out = None if preset.readout == "operator" else 3 if preset.kernel == 1 else 1
    model = ws.nn.paper(name, layout=layout, width=4, rounds=2, out=out).double().eval()
    fill(parts(model))
    return as_released(model), golden_inputs(model.spec)


def parts(model: nn.Module) -> Parts:
    """Every part of a published model by the code of its role."""
    embed, read = model.backbone.embed, getattr(model, "readout", None)
    found: Parts = {1: embed.vertex, 2: embed.edge, 3: embed.positions.table}
    if embed.edge_positions is not None:
        found[4] = embed.edge_positions.table
    for number, one in enumerate(model.backbone.rounds):
        found |= _round(one, 100 * (number + 1))
    if hasattr(model, "steps"):
        return found | {"alpha": model.steps.weights, "beta": model.steps.biases}
    for code, name in ((11, "inputs"), (12, "outputs"), (13, "local")):
        if hasattr(read, name):
            found[code] = getattr(read, name)
    if hasattr(read, "pools"):
        found |= _gates(read.pools, 9)
    return found | {15 if hasattr(read, "pools") or hasattr(read, "local") else 10: read.mlp}


def _round(one: nn.Module, base: int) -> Parts:
    found: Parts = {}
    for offset, name in ((0, "ahead"), (20, "back")):
        if name in one.messages:
            message = one.messages[name]
            if hasattr(message, "join"):
                found |= {base + offset + 1: message.join.node, base + offset + 2: message.join.edge}
                found |= _vertex_map(message.map, base + offset)
            else:
                found[base + offset + 4] = message.mlp
        if name in one.edge_updates:
            update, code = one.edge_updates[name], base + 60 + offset
            found[code + 4] = update.mlp
            if hasattr(update, "linear"):
                found[code + 3] = update.linear
                found |= _invariants(update.invariants, code)
    found |= _vertex_map(one.update, base + 40) if hasattr(one.update, "gates") else {base + 44: one.update}
    return found if one.skip is None else found | {base + 99: one.skip}


def _vertex_map(one: nn.Module, base: int) -> Parts:
    found: Parts = {base + 3: one.linear} | _gates(one.gates, base)
    if hasattr(one.ends, "mlp"):
        return found | {base + 6: one.ends.mlp}
    first, second = one.ends.mlps["input"], one.ends.mlps["output"]
    return found | {base + 6: first} | ({} if second is first else {base + 7: second})


def _gates(gates: nn.ModuleDict, base: int) -> Parts:
    codes = {"sign": base + 4, "positive": base + (8 if len(gates) == 2 else 4)}
    found: Parts = {codes[group]: gate.mlp for group, gate in gates.items()}
    return found | _invariants({group: gate.invariant for group, gate in gates.items()}, base)


def _invariants(invariants: nn.ModuleDict | dict[str, nn.Module], base: int) -> Parts:
    rho = next((part for part in invariants.values() if hasattr(part, "first")), None)
    return {} if rho is None else {base + 5: rho}


@torch.no_grad()
def copy_parts(model: nn.Module, twin: nn.Module) -> nn.Module:
    """The twin with the model's weights, part by part."""
    mine, theirs = parts(model), twin.parts
    for code, part in mine.items():
        for one, other in _weights(part, theirs[code]):
            other.copy_(one)
    return twin


def gradient_errors(model: nn.Module, twin: nn.Module) -> dict[int | str, float]:
    """By part: largest difference between the gradients of its weights, relative to the largest of them.

    A gradient that is zero (or absent) in one has to be in the other.
    """
    errors = {}
    for code, part in parts(model).items():
        pairs = [(_gradient(one), _gradient(other)) for one, other in _weights(part, twin.parts[code])]
        size = max(float(other.abs().max()) for _, other in pairs)
        error = max(float((one - other).abs().max()) for one, other in pairs)
        errors[code] = error / size if size > 0 else error
    return errors


def _weights(one: nn.Module | nn.Parameter, other: nn.Module | nn.Parameter) -> list[tuple[Tensor, Tensor]]:
    if isinstance(one, nn.Parameter):
        return [(one, other)]
    theirs = dict(other.named_parameters())
    return [(value, theirs[name]) for name, value in one.named_parameters()]


def _gradient(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad

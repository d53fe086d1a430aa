"""What the tests of the published models share: filled models, their outputs, the slow twin with the same numbers."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
from golden import parts
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from published_twin import Twin
from torch import Tensor, nn

import weightspace as ws
from weightspace.nn import PRESETS, Preset
from weightspace.nn.published import MixedFunctional
from weightspace.spec import ScaleName, SymmetrySpec

Params = dict[str, Tensor]

EVERY = {
    **PRESETS,
    "positive edit": replace(PRESETS["mnist_edit"], group="positive"),
    "positive edit -B": replace(PRESETS["mnist_edit -B"], group="positive"),
}
"""Every published configuration, and operators for positive scales, which none of them is."""

INR = (2, 5, 4, 3)
CNN = (1, 3, 4, 3, 2)


def small(preset: Preset) -> tuple[int, ...]:
    """A layout with several outputs, of two hidden layers for INRs and three for CNNs."""
    return CNN if preset.kernel > 1 else INR


def build(
    preset: str | Preset,
    *,
    layout: tuple[int, ...] | SymmetrySpec | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    width: int | None = 8,
    rounds: int | None = None,
) -> nn.Module:
    """A model with numbers of usual size in all its parts, in eval mode; the layout is small by default.

    The published initialization leaves models whose outputs hardly depend on the network: laws would hold vacuously.
    """
    torch.manual_seed(seed)
    if layout is None:
        layout = small(PRESETS[preset.removeprefix("permutation: ")] if isinstance(preset, str) else preset)
    model = ws.nn.paper(preset, layout=layout, width=width, rounds=rounds).to(dtype).eval()
    return lively(model, seed)


@torch.no_grad()
def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with outputs that differ between unrelated networks by more than a tenth of their size."""
    generator = torch.Generator().manual_seed(seed)
    # States multiply in every round: without LayerNorm they run away, and ten rounds amplify what is rounded.
    preset, gain = model.preset, 1.5
    if preset.readout == "operator" or not preset.norm:
        gain = 1.2 if preset.norm or preset.direction == "forward" else 1.0

    def random(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    for part in model.modules():
        if isinstance(part, nn.Linear):
            part.weight.copy_(gain * random(part.weight) * part.in_features**-0.5)
            if part.bias is not None:
                part.bias.copy_(0.3 * random(part.bias))
        elif isinstance(part, nn.LayerNorm):
            part.weight.copy_(1 + 0.1 * random(part.weight))
            part.bias.copy_(0.1 * random(part.bias))
    if hasattr(model, "steps"):
        model.steps.weights.copy_(1 + 0.1 * random(model.steps.weights))
        model.steps.biases.copy_(1 + 0.1 * random(model.steps.biases))
    return model


def regrouped(spec: SymmetrySpec, group: ScaleName) -> SymmetrySpec:
    """The same architecture with another scale group on every hidden layer."""
    return replace(spec, spaces=tuple(s if s.fixed else replace(s, scale=group) for s in spec.spaces))


def outputs(model: nn.Module, params: Mapping[str, Tensor], positive: Tensor | None = None) -> list[Tensor]:
    """A functional's vectors or an operator's changes; in a mixed batch every second network is positive by default."""
    if isinstance(model, MixedFunctional):
        num = len(next(iter(params.values())))
        return [model(params, torch.arange(num) % 2 == 1 if positive is None else positive)]
    return list(model.delta(params).values()) if hasattr(model, "delta") else [model(params)]


def twin_outputs(twin: Twin, params: Mapping[str, Tensor], positive: Tensor | None = None) -> list[Tensor]:
    """The same of the twin."""
    out = twin(params, positive) if twin.preset.group == "hetero" else twin(params)
    return list(out.values()) if isinstance(out, dict) else [out]


def twin_of(model: nn.Module, **options) -> Twin:
    """The slow twin with the numbers of a model."""
    twin = Twin(model.preset, model.spec, **options).to(next(model.parameters()).dtype).train(model.training)
    with torch.no_grad():
        for mine, its in shared(model, twin).values():
            its.copy_(mine)
    return twin


def shared(model: nn.Module, twin: Twin) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Learned numbers of a model and of its twin by role; fails unless each has all roles of the other."""
    here, there = _named(parts(model)), _named(twin.parts)
    assert here.keys() == there.keys()
    assert {id(p) for p in here.values()} == {id(p) for p in model.parameters()}
    return {role: (here[role], there[role]) for role in here}


def _named(found: Mapping[int | str, nn.Module | nn.Parameter]) -> dict[str, nn.Parameter]:
    named = {}
    for code, part in found.items():
        if isinstance(part, nn.Parameter):
            named[str(code)] = part
        else:
            named |= {f"{code} {name}": value for name, value in part.named_parameters()}
    return named


@st.composite
def variants(draw: DrawFn) -> tuple[dict, str]:
    """Fields of a preset with any choice of parts, and the text of a spec that it reads.

    Positive scales get a bias everywhere: the twin divides by the length of every state, which must not be 0.
    """
    group = draw(st.sampled_from(("sign", "positive", "permutation")))
    direction = draw(st.sampled_from(("forward", "bidirectional")))
    yes_or_no = st.booleans()
    fields = {
        "layout": (),
        "group": group,
        "direction": direction,
        "rounds": draw(st.integers(1, 4)),
        "width": draw(st.integers(3, 6)),
        "sign": draw(st.sampled_from(("absolute", "symmetrized"))),
        "io": draw(st.sampled_from(("gated", "shared", "separate"))),
        "norm": draw(yes_or_no),
        "skip": draw(yes_or_no),
        "edge_positions": draw(yes_or_no),
        # Going forward only, the release reads the position of the receiver here, and no configuration does.
        "positions_in_messages": direction == "bidirectional" and draw(yes_or_no),
        "io_positions": draw(st.sampled_from(("sum", "product"))),
        "readout": draw(st.sampled_from(("last_layer", "full_graph", "operator"))),
        "out": draw(st.integers(1, 3)),
        "input_feature": 1.0 if group == "positive" else draw(st.sampled_from((0.0, 1.0))),
    }
    return fields, draw(chains("" if group == "permutation" else group, all_biases=group == "positive"))


@st.composite
def chains(draw: DrawFn, scale: str, *, all_biases: bool) -> str:
    """The text of one to three hidden layers of one to four neurons, with any number of weights per pair of neurons
    and a lone scalar or none."""
    sizes = st.integers(1, 4)
    names = ["in", *(f"h{i}" for i in range(draw(st.integers(1, 3)))), "out"]
    words = ["fixed", *[scale] * (len(names) - 2), "fixed"]
    lines = [f"{name}[{draw(sizes)}] {word}" for name, word in zip(names, words, strict=True)]
    lines += ["", *(["omega"] if draw(st.booleans()) else [])]
    for index, (source, target) in enumerate(pairwise(names)):
        form = draw(st.sampled_from(("{}~", "{}~", "{}~ .3 .3", "{}*2~")))
        lines.append(f"layers.{index}.weight {target} {form.format(source)}")
        if all_biases or draw(st.integers(0, 3)):
            lines.append(f"layers.{index}.bias {target}")
    return "\n".join(lines)

"""Golden rows: small models filled by a recipe return the published numbers, and what the slow twin returns."""

from decimal import Decimal

import pytest
import torch
from golden import NAMES, evaluate, golden_model, parts
from published_models import outputs
from published_twin import Twin
from published_twin_parts import fill
from torch import Tensor

import weightspace as ws
from weightspace.nn import PRESETS

ROWS = {
    "mnist_cls": "-0.3178306848 0.01553600744 0.375219501",
    "mnist_cls -B": "0.3030466323 0.1190014586 -0.05273047731",
    "cifar_inr": "-0.3261387388 0.006582113956 0.3668316355",
    "mnist_edit": "-0.3411639603 0.3919420691 -0.10191477 0.020094149 0.085134704 -0.47491716",
    "mnist_edit -B": "0.1491193881 0.1886620853 -0.10160316 0.020030201 0.084957027 0.069429818",
    "cifar10 relu": "0.2317913257",
    "cifar10 relu -B": "0.2495809196",
    "cifar10 tanh": "-0.391501856",
    "cifar10 tanh -B": "-0.4743698163",
    "hetero": "0.231784533 0.2317815319",
    "permutation: mnist_cls": "-0.1869387525 -0.1294097322 -0.02594618463",
    "permutation: cifar10 relu": "-0.2542315464",
}
"""As printed: by the released implementation, in float64; see ``golden.evaluate`` for what they are."""


@pytest.mark.parametrize("name", ROWS)
def test_every_printed_digit_is_reproduced(name):
    printed, numbers = ROWS[name].split(), evaluate(name)
    assert len(numbers) == len(printed)
    for number, text in zip(numbers, printed, strict=True):
        half_a_unit = 0.5 * 10.0 ** Decimal(text).as_tuple().exponent
        assert abs(number - float(text)) <= half_a_unit * (1 + 1e-6), f"{number!r} is not {text}"


def length_of(name: str) -> int:
    """How many numbers a row has."""
    preset = PRESETS[name.removeprefix("permutation: ")]
    if preset.readout == "operator":
        return 6
    if preset.kernel == 1:
        return 3
    return 2 if name.startswith("hetero") else 1


@pytest.mark.parametrize("name", NAMES)
def test_golden_networks_have_as_many_outputs_as_the_networks_of_their_data(name):
    published = PRESETS[name.removeprefix("permutation: ")].layout[-1]
    assert golden_model(name)[0].spec.space["out"].size == {1: 1, 3: 3, 10: 2}[published]


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_has_a_row_and_the_twin_returns_it(name):
    row = torch.tensor(evaluate(name), dtype=torch.float64)
    assert row.shape == (length_of(name),)
    assert row.isfinite().all()
    assert (row - twin_row(name)).abs().max() <= 1e-12 * row.abs().max()


def twin_row(name: str) -> Tensor:
    """The row as the slow edge-list twin computes it from the same recipe."""
    model, params = golden_model(name)
    twin = Twin(model.preset, model.spec).double().eval()
    fill(twin.parts)
    with torch.no_grad():
        if model.preset.group == "hetero":
            return torch.cat([twin(params, torch.tensor([positive])).flatten() for positive in (False, True)])
        found = twin(params)
    if isinstance(found, Tensor):
        return found.flatten()
    every = torch.cat([change.flatten() for change in found.values()])
    first, last = found["layers.0.weight"][0, :, 0], found["layers.2.bias"][0, -1:]
    return torch.cat([every.sum().view(1), every.square().sum().view(1), first, last])


def released_and_ours(name: str) -> tuple[Tensor, Tensor]:
    """Everything that the golden model computes: by the released formula, and as ``ws.nn.paper`` gives it."""
    released, params = golden_model(name)
    ours = ws.nn.paper(released.preset, layout=released.spec).double().eval()
    fill(parts(ours))
    twice = {key: torch.cat([value, value]) for key, value in params.items()}  # hetero: as tanh, then as ReLU
    with torch.no_grad():
        both = [torch.cat([x.flatten(1) for x in outputs(model, twice)], 1) for model in (released, ours)]
    return both[0], both[1]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PRESETS or PRESETS[name].group == "sign"])
def test_without_positive_scales_nothing_differs_from_the_release(name):
    released, ours = released_and_ours(name)
    assert torch.equal(ours, released)


@pytest.mark.parametrize("name", ["cifar10 relu", "svhn relu", "hetero"])
def test_forward_models_of_positive_scales_differ_by_the_guard_of_the_norm_alone(name):
    released, ours = released_and_ours(name)
    assert (ours - released).abs().max() <= 1e-9


@pytest.mark.parametrize("name", ["cifar10 relu -B", "svhn relu -B", "hetero -B"])
def test_backward_edges_of_positive_scales_are_not_the_released_ones(name):
    released, ours = released_and_ours(name)
    assert (ours - released)[-1].abs().max() > 1e-5

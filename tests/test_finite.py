"""Parameters that are not finite numbers are refused by every function that would compute with them."""

from collections.abc import Callable

import pytest
import torch

import weightspace as ws
from weightspace.alignment import barrier, match_activations, merge, repair
from weightspace.gauge import canonicalize, fingerprints, same_pairs
from weightspace.tasks import perturb
from weightspace.zoo import finetune, load_images

TEXT = "in[64] fixed\nh0[5] sign\nout[10] fixed\n\nlayers.0.weight h0 in~\nlayers.0.bias h0\n"
SPEC = ws.parse(TEXT + "layers.1.weight out h0~\nlayers.1.bias out\n")
Params = dict[str, torch.Tensor]


def network(seed: int) -> Params:
    return {name: value[0].float() for name, value in ws.testing.random_params(SPEC, 1, seed=seed).items()}


def stacked(params: Params) -> Params:
    return {name: value.unsqueeze(0) for name, value in params.items()}


def module() -> torch.nn.Module:
    return ws.zoo.MLP((64, 5, 10), "tanh")


BATCHES = [torch.randn(20, 64, generator=torch.Generator().manual_seed(0))]
CALLS: dict[str, Callable[[Params, Params], object]] = {
    "canonicalize": lambda _, bad: canonicalize(bad, SPEC),
    "fingerprint": lambda _, bad: ws.fingerprint(bad, SPEC),
    "fingerprints": lambda _, bad: fingerprints(stacked(bad), SPEC),
    "same": lambda good, bad: ws.same(good, bad, SPEC),
    "same_pairs": lambda good, bad: same_pairs([good, bad], [(0, 1)], SPEC),
    "align": lambda good, bad: ws.align(good, bad, SPEC),
    "align to": lambda good, bad: ws.align(bad, good, SPEC),
    "merge": lambda good, bad: merge([good, bad], SPEC),
    "barrier": lambda good, bad: barrier(good, bad, lambda _: 0.0, points=3),
    "match_activations": lambda good, bad: match_activations(good, bad, SPEC, module(), BATCHES),
    "repair": lambda good, bad: repair(module(), good, [good, bad], SPEC, BATCHES),
    "perturb": lambda _, bad: perturb(bad, SPEC),
    "finetune": lambda _, bad: finetune(stacked(bad), SPEC, load_images("digits"), epochs=1),
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("call", CALLS)
def test_values_that_are_not_finite_are_refused_by_name(call: str, value: float) -> None:
    bad = network(1)
    bad["layers.0.bias"][2] = value
    with pytest.raises(ws.WeightSpaceError, match=r"'layers\.0\.bias'.*not finite"):
        CALLS[call](network(0), bad)

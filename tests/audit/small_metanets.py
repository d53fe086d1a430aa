"""Metanetworks with and without faults, made from a spec as a reader of the package would make them."""

import torch
from torch import nn

from weightspace.nn import EquivariantOperator, InvariantFunctional

SPEC = """
in[3] fixed
h0[5] positive
h1[4] sign
out[2] fixed

0.weight h0 in~
0.bias h0
1.weight h1 h0~
1.bias h1
2.weight out h1~
2.bias out
"""

BATCH_NORM = """
in[2] fixed
x[4] positive
y[4] like x positive
a[2]
q[6] within a positive
out[2] fixed

0.weight x in~ .3
0.running_mean x
0.running_var x^2@1e-05
0.gain y
0.bias y
1.weight q y~
2.weight out q~
"""


def functional(spec):
    torch.manual_seed(0)
    return InvariantFunctional(spec, 4, 3, rounds=1)


def operator(spec):
    torch.manual_seed(0)
    return EquivariantOperator(spec, 4, rounds=1)


def broken(spec):
    torch.manual_seed(0)
    return InvariantFunctional(spec, 4, 3, rounds=1, symmetry_broken=True)


def broken_operator(spec):
    torch.manual_seed(0)
    return EquivariantOperator(spec, 4, rounds=1, symmetry_broken=True)


def constant(_spec):
    return lambda params: torch.ones(4, 2, dtype=params["0.weight"].dtype)


def unchanged(_spec):
    return lambda params: params


def nothing(_spec):
    return lambda params: {name: 0 * value for name, value in params.items()}


def shrunk(_spec):
    return lambda params: {name: 0.9 * value for name, value in params.items()}


def random_answers(_spec):
    return lambda params: torch.rand(4, 2, dtype=params["0.weight"].dtype)


def not_finite(_spec):
    return lambda params: params["0.weight"].flatten(1) / 0


def wrong_input(_spec):
    return nn.Linear(3, 2)


def wrong_output(_spec):
    return lambda _params: torch.zeros(3)


def no_metanetwork(_spec):
    return 3


def no_factory():
    return None


class ByStatistics(nn.Module):
    """Invariant by hand: norms that no scale of ``x``, ``y`` or ``q`` changes."""

    def forward(self, params):
        w, var, gain = params["0.weight"], params["0.running_var"] + 1e-5, params["0.gain"]
        normal = w.flatten(2).norm(dim=2) / var.sqrt()
        reach = gain.unsqueeze(1) * params["1.weight"]
        paths = reach.unsqueeze(1) * params["2.weight"].unsqueeze(-1)
        return torch.cat([normal.sort(1).values, paths.abs().sum(-1).square().sum(-1)], dim=1)

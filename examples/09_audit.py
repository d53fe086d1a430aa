# %% [markdown]
# # Does my own metanetwork respect the symmetries?
# Any function of stacked parameters can be audited: each neuron space is permuted, flipped and rescaled by itself.
# Errors are relative to the spread between networks; what the spec does not allow must be noticed.

# %%
import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.audit import audit

net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2))
spec = ws.derive(net, torch.zeros(1, 3))
print(spec)


# %% [markdown]
# A first try: a DeepSets reader of the middle layer. It sums over neurons, so permutations are safe.
class MiddleLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.read = nn.Linear(1, 16), nn.Linear(16, 4)

    def forward(self, params: dict[str, Tensor]) -> Tensor:
        entries = self.entry(params["2.weight"].unsqueeze(-1)).tanh()
        return self.read(entries.sum((1, 2)))


torch.manual_seed(0)
report = audit(MiddleLayer(), spec)
print(report)
assert not report.passed
failing = {(row.space, row.group) for row in report.rows if row.member and not row.passed}
assert failing == {("h0", "positive scale"), ("h1", "sign"), ("all", "all")}


# %% [markdown]
# The repair: read what a path through each neuron carries, which no scale changes, without its sign.
class Paths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.read = nn.Linear(1, 16), nn.Linear(16, 4)

    def forward(self, params: dict[str, Tensor]) -> Tensor:
        middle = params["2.weight"] * params["0.weight"].norm(dim=2).unsqueeze(1)
        paths = middle.abs() * params["4.weight"].norm(dim=1).unsqueeze(2)
        return self.read(self.entry(paths.unsqueeze(-1)).tanh().sum((1, 2)))


report = audit(Paths(), spec)
print(report)
assert report.passed

# %% [markdown]
# The laws hold, and the controls say what it cannot see: signs of inputs, for one. A metanetwork of the library does.
report = audit(ws.nn.InvariantFunctional(spec, width=16, out=4), spec)
assert report.passed
assert all(row.passed for row in report.rows)
print("InvariantFunctional: all laws hold, and every change from outside the spec is noticed")

# %% [markdown]
# The same at the command line, with a function `make(spec)` in `my_nets.py`, and as a test of your own:
#
#     weightspace audit --model my_nets:make --spec spec.txt --out audit.json
#
#     def test_it_respects_the_gauge(weightspace_audit):
#         weightspace_audit(MyMetanetwork(), spec)

# %% [markdown]
# # Does a metanetwork see through the gauge?
# Two metanetworks read a stack of random ReLU networks before and after the gauge acts on them: one respects the
# symmetry, the other is the same network with the canonicalization left out.

# %%
import torch

import weightspace as ws
from weightspace.testing import assert_equivariant, equivariance_error, random_params

spec = ws.derive(ws.zoo.MLP((8, 16, 16, 3), activation="relu"), torch.zeros(1, 8))
networks = random_params(spec, 6, dtype=torch.float64)
element = ws.sample(spec, num=6, max_scale=64.0)
torch.manual_seed(0)

# %%
functional = ws.nn.InvariantFunctional(spec, width=16, out=4).double()
here, there = functional(networks), functional(ws.act(element, networks, spec))
spread = (here - here.roll(1, 0)).abs().max()
print(f"functional: changes by {(here - there).abs().max() / spread:.1e} of the spread between networks")

# %%
for title, options in {
    "operator, normal form": {"positive": "normal_form"},
    "operator, ScaleGMN blocks": {"positive": "blocks"},
    "operator, symmetry broken": {"symmetry_broken": True},
}.items():
    operator = ws.nn.EquivariantOperator(spec, width=16, **options).double()
    error, change = equivariance_error(operator, spec, networks, element)
    print(f"{title}: equivariance error {error:.1e} of the changes (which are {change:.1%} of the weights)")

assert_equivariant(ws.nn.EquivariantOperator(spec, width=16).double(), spec)

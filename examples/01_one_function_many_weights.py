# %% [markdown]
# # Are these three weight matrices different networks?
# Permuting hidden neurons and rescaling ReLU neurons changes every number and no output. The normal form undoes
# the rescaling, sorting undoes the permutation.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

import weightspace as ws

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)).double()
spec = ws.derive(net, torch.zeros(1, 12, dtype=torch.float64))
print(spec)

# %%
original = dict(net.state_dict())
copies = [original] + [ws.act(ws.sample(spec, seed=seed), original, spec) for seed in (1, 2)]
for params in copies:
    print(f"first weight {params['0.weight'][0, 0]:+.4f}, same function to {ws.same_function(net, params):.1e}")

# %% [markdown]
# One figure: above, the weights as they are stored; below, in normal form with neurons sorted by their bias.

# %%
figure, axes = plt.subplots(2, 3, figsize=(9, 5), sharex=True, sharey=True)
forms = []
for column, params in enumerate(copies):
    normal, _ = ws.gauge.normal_form(params, spec)
    forms.append(normal["0.weight"][normal["0.bias"].argsort()])
    for row, (title, matrix) in enumerate((("stored", params["0.weight"]), ("normal form, sorted", forms[-1]))):
        limit = float(matrix.abs().max())
        axes[row, column].imshow(matrix, cmap="RdBu", vmin=-limit, vmax=limit)
        axes[row, column].set_title(f"network {'ABC'[column]}, {title}", fontsize=9)
figure.tight_layout()
out = Path("out")
out.mkdir(exist_ok=True)
figure.savefig(out / "one_function_many_weights.png", dpi=120)

worst = max(float((form - forms[0]).abs().max()) for form in forms)
print(f"largest difference between the three normal forms: {worst:.1e}")
assert worst < 1e-12

# %% [markdown]
# # Which changes of the weights leave my network alone?
# `derive` reads the traced graph and labels every parameter axis; what it does not understand it refuses by name.

# %%
import torch
from torch import nn

import weightspace as ws

cnn = nn.Sequential(
    nn.Conv2d(1, 8, 3, stride=2),
    nn.ReLU(),
    nn.Conv2d(8, 6, 3),
    nn.Tanh(),
    nn.AvgPool2d(4),
    nn.Flatten(),
    nn.Linear(6 * 3 * 3, 10),
)
example = torch.randn(4, 1, 32, 32)
spec = ws.derive(cnn, example)
print(ws.to_text(spec))

# %% [markdown]
# The text parses back, and the claim is checked numerically: random elements of the gauge change no output.

# %%
assert ws.parse(ws.to_text(spec)) == spec
ws.testing.assert_same_function(cnn, spec, example)
print("20 random elements keep the function; largest relative change:", end=" ")
moved = [ws.act(ws.sample(spec, seed=seed), cnn.state_dict(), spec) for seed in range(20)]
print(f"{max(ws.same_function(cnn, params, example) for params in moved):.1e}")

# %% [markdown]
# What is not understood is refused, with its place and the line that helps.

# %%
strange = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2))
try:
    ws.derive(strange, torch.zeros(1, 4))
except ws.SpecError as error:
    print(error)
print(ws.derive(strange, torch.zeros(1, 4), on_unknown="pin"))

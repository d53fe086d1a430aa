# %% [markdown]
# # What may change in my network without changing what it does?
# `inspect` reads the symmetry of an architecture, counts it and draws it: a line for each neuron space, crossed by the
# layers that read it (rings) and write it (dots).

# %%
from pathlib import Path

import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.run.verbs.draw_spec import draw_spec


class Block(nn.Module):
    """Two convolutions beside a residual stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.two = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(self.norm(self.one(x)).relu())


net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), Block(16), Block(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
)
spec = ws.derive(net, torch.zeros(2, 1, 8, 8))
print(ws.to_text(spec))

# %% [markdown]
# All layers of the stream `h0` share one permutation; what stands between the two convolutions of a block has its own.
# How large that is, space by space:

# %%
size = ws.gauge.dimension(spec)
print(size)
assert size.scales > 0

# %%
out = Path("out")
out.mkdir(exist_ok=True)
draw_spec(spec, out / "inspect.svg")
print(f"picture: {out / 'inspect.svg'}")

# %% [markdown]
# The weights say what a canonical form has to leave open, and which neurons are dead. Switch one off and it is found.

# %%
params = {name: value.clone() for name, value in net.state_dict().items()}
print(f"as made: {ws.gauge.canonicalize(params, spec, scale='balanced')[2]}")
params["2.two.weight"][:, 3] = 0
report = ws.gauge.canonicalize(params, spec, scale="balanced")[2]
print(f"nothing reads channel 3 of the second block: {report}")
assert int(report.dead["h5"].sum()) == 1

# %% [markdown]
# The same at the command line, for a function `make` in `my_nets.py`:
#
#     weightspace inspect --model my_nets:make --input 2,1,8,8 --draw net.svg --out spec.txt
#     weightspace inspect model.safetensors --spec spec.txt

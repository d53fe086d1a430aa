# %% [markdown]
# # Does it matter for pruning how a network happens to be scaled?
# A ReLU network computes the same function at many scales of its neurons. Magnitude pruning and rounding look at the
# weights and not at the function, so they do better at the scales where the weights are smallest.

# %%
import torch

import weightspace as ws

torch.manual_seed(0)
images = ws.zoo.load_images("digits")
net = torch.nn.Sequential(
    torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
)
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
for _ in range(10):
    for x, y in zip(images.train_x.split(64), images.train_y.split(64), strict=True):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
spec = ws.derive(net, images.test_x)

# %% [markdown]
# The same network, badly scaled (a random element of the gauge), and balanced again: the smallest total squared norm
# among all networks with this function and these scales.

# %%
badly = ws.act(ws.sample(spec, seed=0, max_scale=16.0), net.state_dict(), spec)
balanced, element, report = ws.gauge.canonicalize(badly, spec, scale="balanced")
gap = ws.same_function(net, balanced, images.test_x)
print(f"same function: largest relative change of the outputs {gap:.0e}; the balanced form is {report}")

assert all(torch.equal(balanced[name], value) for name, value in ws.act(element, badly, spec).items())


# %%
def accuracy(params: dict[str, torch.Tensor]) -> float:
    outputs = torch.func.functional_call(net, params, (images.test_x,))
    return float((outputs.argmax(-1) == images.test_y).float().mean())


def pruned(params: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    weights = torch.cat([value.abs().flatten() for value in params.values() if value.dim() > 1])
    threshold = weights.quantile(share)
    return {n: v.where((v.abs() > threshold) | (v.dim() < 2), torch.zeros(())) for n, v in params.items()}


def rounded(params: dict[str, torch.Tensor], bits: int) -> dict[str, torch.Tensor]:
    step = {n: v.abs().max() / (2 ** (bits - 1) - 1) for n, v in params.items() if v.dim() > 1}
    return {n: (v / step[n]).round() * step[n] if n in step else v for n, v in params.items()}


print(f"{'':22}{'unchanged':>10}{'half pruned':>13}{'80 % pruned':>13}{'int8':>8}{'int4':>8}")
for name, params in {"as trained": net.state_dict(), "badly scaled": badly, "the same, balanced": balanced}.items():
    small = [params, pruned(params, 0.5), pruned(params, 0.8), rounded(params, 8), rounded(params, 4)]
    texts = [f"{accuracy(p):.1%}".rjust(width) for p, width in zip(small, (10, 13, 13, 8, 8), strict=True)]
    print(f"{name:22}{''.join(texts)}")

# %% [markdown]
# `benchmarks/balanced_gauge.py` measures this over many networks; docs/canonical.md says where it helps and where not.

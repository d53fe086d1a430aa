# %% [markdown]
# # Are these two files the same network?
# A copy with permuted and rescaled neurons shares no number with the original and computes the same. `same` finds the
# element between the two, or says why there is none; `fingerprint` names networks without comparing pairs.

# %%
import torch
from torch import nn

import weightspace as ws

torch.manual_seed(0)
images = ws.zoo.load_images("digits")
net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)


def train(batches: int) -> dict[str, torch.Tensor]:
    for _ in range(batches):
        picked = torch.randint(len(images.train_x), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images.train_x[picked]), images.train_y[picked]).backward()
        optimizer.step()
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


trained = train(200)
accuracy = (net(images.test_x).argmax(-1) == images.test_y).float().mean()
print(f"a network for digits, test accuracy {accuracy:.1%}")
spec = ws.derive(net, images.test_x)

# %% [markdown]
# Two copies that are the same network, and two that are nearly: one weight off by 1 %, and one more step of training.

# %%
copy = ws.act(ws.sample(spec, seed=1), trained, spec)
half = {name: value.half() for name, value in ws.act(ws.sample(spec, seed=2), trained, spec).items()}
touched = {name: value.clone() for name, value in copy.items()}
place = touched["2.weight"].abs().argmax()
touched["2.weight"].view(-1)[place] *= 1.01
others = {"copy": copy, "copy, 16 bits": half, "one weight 1 % off": touched, "next step": train(1)}

name = ws.fingerprint(trained, spec)
for label, params in others.items():
    found = ws.same(trained, params, spec, module=net, example=images.test_x[:64])
    print(f"{label}, fingerprints apart by {name.distance(ws.fingerprint(params, spec)):.1e}: {found}")
    assert bool(found) == label.startswith("copy")

# %% [markdown]
# The element that was found is the proof: it moves every number of one network to its place in the other.

# %%
element = ws.same(trained, copy, spec).element
moved = ws.act(element, trained, spec)
gap = max(float((moved[key] - value).abs().max()) for key, value in copy.items())
print(f"largest difference after moving: {gap:.0e}")
assert gap < 1e-5

# %% [markdown]
# ## Which of these are copies of each other?
# Fingerprints bring together what may be one network, `same` decides.

# %%
checkpoints = {f"step {200 + 20 * k}": train(20) for k in range(1, 4)}
folder = {}
for seed, (step, params) in enumerate(checkpoints.items()):
    folder[step] = params
    folder[f"{step}, copy"] = ws.act(ws.sample(spec, seed=10 + seed), params, spec)

groups: list[list[str]] = []
names = {label: ws.fingerprint(params, spec) for label, params in folder.items()}
for label, params in folder.items():
    near = (group for group in groups if names[label].distance(names[group[0]]) < 0.05)
    home = next((group for group in near if ws.same(folder[group[0]], params, spec)), None)
    if home is None:
        groups.append([label])
    else:
        home.append(label)
for group in groups:
    print(" = ".join(group))
assert groups == [[step, f"{step}, copy"] for step in checkpoints]

# %% [markdown]
# At the command line, on files:
#
#     weightspace same a.safetensors b.safetensors --spec spec.txt --out element.safetensors
#     weightspace fingerprint runs/*.safetensors --spec spec.txt --out names.csv

# %% [markdown]
# # Can one forward pass improve networks that nobody trains any more?
# Twenty digit classifiers, stopped after one epoch, go through a pretrained operator that never saw them. It needs no
# image. The fair comparison stands beside it: one more epoch of training, which does.

# %%
from pathlib import Path

import torch
from safetensors.torch import save_file

import weightspace as ws

images = ws.zoo.load_images("digits")
folder = Path("out/networks")
folder.mkdir(parents=True, exist_ok=True)
for seed in range(20):
    torch.manual_seed(seed)
    net = ws.zoo.MLP()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for x, y in zip(images.train_x.split(32), images.train_y.split(32), strict=True):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    save_file(net.state_dict(), folder / f"digit_{seed:02d}.safetensors", metadata={"activation": "tanh"})

# %%
rows = ws.run.apply("digits_mlp_tanh", folder, "out/improved")
before = torch.tensor([row.before for row in rows])
after = torch.tensor([row.after for row in rows])
print(f"accuracy of 20 networks: {before.mean():.1%} before, {after.mean():.1%} after one forward pass without data")
print(f"better: {int((after > before).sum())}, worse: {int((after < before).sum())} of {len(rows)}")

# %%
settings = ws.run.FinetuneConfig(optimizer="adam", learning_rate=1e-3, epochs=1, activation="tanh", images="digits")
tuned = ws.run.finetune_folder(folder, "out/finetuned", settings)
print(f"one more epoch of Adam, with data: {sum(row.accuracy_after for row in tuned) / len(tuned):.1%}")

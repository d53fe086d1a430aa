"""Verbs on many networks: fleets of several architectures, folders with bad files, tied tensors stored once."""

import csv
import io
import zipfile
from pathlib import Path

import pytest
import torch
from network_files import NETS, SPEC, random_network
from safetensors.torch import save_file

import weightspace as ws
from weightspace.cli import main

TIED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mid, self.head = nn.Linear(3, 5, bias=False), nn.Linear(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(torch.tanh(self.mid(torch.tanh(self.embed(x)))))

def make():
    return Net(), torch.zeros(2, 3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.txt").write_text(SPEC)
    (tmp_path / "tied_nets.py").write_text(TIED)
    (tmp_path / "many_nets.py").write_text(NETS)
    return tmp_path


def agent(path: Path, inputs: int, seed: int, gauge: int) -> None:
    """An archive of an agent with a policy and a value; agents of one seed are one network in several gauges."""
    sizes = {"policy_net.0": (4, inputs), "policy_net.2": (4, 4), "value_net.0": (4, inputs), "value_net.2": (4, 4)}
    layers = {f"mlp_extractor.{name}": size for name, size in sizes.items()} | {
        "action_net": (2, 4),
        "value_net": (1, 4),
    }
    torch.manual_seed(seed)
    params = {}
    for name, size in layers.items():
        params |= {f"{name}.weight": torch.randn(size), f"{name}.bias": torch.randn(size[0])}
    torch.manual_seed(gauge)
    for part in ("policy_net", "value_net"):
        order, sign = torch.randperm(4), torch.randn(4).sign()
        first, then = f"mlp_extractor.{part}.0", f"mlp_extractor.{part}.2"
        params[f"{first}.weight"] = params[f"{first}.weight"][order] * sign[:, None]
        params[f"{first}.bias"] = params[f"{first}.bias"][order] * sign
        params[f"{then}.weight"] = params[f"{then}.weight"][:, order] * sign
    buffer = io.BytesIO()
    torch.save(params, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.pth", buffer.getvalue())


def test_a_fleet_of_several_sizes_is_grouped_within_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "agents/deep").mkdir(parents=True)
    for name, inputs, seed in (("a", 3, 0), ("b", 3, 0), ("c", 6, 1), ("deep/d", 6, 1), ("e", 3, 2)):
        agent(folder / f"agents/{name}.zip", inputs, seed, ord(name[-1]))
    (folder / "agents/z.zip").write_bytes(b"PK")
    assert main(["dedupe", "agents", "--recursive", "--activation", "tanh", "--out", "groups.csv"]) == 1
    assert "left out: agents/z.zip: " in capsys.readouterr().out
    with (folder / "groups.csv").open() as lines:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(lines)}
    assert [rows[name]["group"] for name in "abcdez"] == ["1", "1", "3", "3", "2", ""]
    assert rows["a"]["architecture"].startswith("in[3]")
    assert rows["c"]["architecture"].startswith("in[6]")
    assert main(["fingerprint", "agents/*.zip", "--activation", "tanh", "--out", "names.csv"]) == 1
    with (folder / "names.csv").open() as lines:
        name_of = {Path(row["file"]).stem: row["fingerprint"] for row in csv.DictReader(lines)}
    assert name_of["a"] == name_of["b"] != name_of["e"]


def test_an_activation_stands_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(random_network(0), folder / "a.safetensors")
    assert main(["perturb", "a.safetensors", "--activation", "relu", "--out", "copies", "--num", "1"]) == 0
    assert "certificate: largest output difference" in capsys.readouterr().out
    assert main(["same", "a.safetensors", "copies/copy-0000.safetensors", "--activation", "relu"]) == 0
    words = ["align", "a.safetensors", "a.safetensors", "--activation", "relu", "--spec", "spec.txt", "--out", "b.pt"]
    assert main(words) == 2
    assert "--activation stands beside --spec" in capsys.readouterr().err
    words = ["dedupe", ".", "--activation", "sine", "--out", "groups.csv"]
    assert main(words) == 2
    assert "unknown activation 'sine'. Choose one of: relu" in capsys.readouterr().err
    assert not Path("groups.csv").exists()
    assert main(["inspect", "--activation", "relu"]) == 2
    assert "--activation needs a network file" in capsys.readouterr().err
    assert main(["inspect", "a.safetensors", "--activation", "relus"]) == 2
    assert "unknown activation 'relus'" in capsys.readouterr().err


def test_a_tied_tensor_is_stored_once_where_a_module_knows_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        params = {"embed.weight": torch.randn(5, 3), "mid.weight": torch.randn(3, 5), "mid.bias": torch.randn(3)}
        save_file(params, folder / f"{name}.safetensors")
    model = ["--model", "tied_nets:make"]
    assert main(["align", "a.safetensors", "b.safetensors", *model, "--out", "c.safetensors"]) == 0
    assert main(["same", "b.safetensors", "c.safetensors", *model]) == 0
    assert main(["merge", "a.safetensors", "b.safetensors", *model, "--out", "d.safetensors"]) == 0
    capsys.readouterr()
    assert main(["inspect", *model, "--out", "tied.txt"]) == 0
    assert main(["inspect", "a.safetensors", "--spec", "tied.txt"]) == 2
    assert "parameter 'head.weight' is missing" in capsys.readouterr().err


def test_what_a_file_holds_besides_is_said_by_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": random_network(0), "epoch": 3, "optimizer": {}}, folder / "a.ckpt")
    assert main(["inspect", "a.ckpt", "--spec", "spec.txt"]) == 0
    assert "left out: epoch, optimizer" in capsys.readouterr().out


def test_all_networks_of_a_folder_are_moved_and_merged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "nets").mkdir()
    for seed, name in enumerate("abc"):
        save_file(random_network(seed), folder / f"nets/{name}.safetensors")
    words = ["perturb", "nets/a.safetensors", "--spec", "spec.txt", "--out", "copies"]
    assert main(words) == 0
    assert main(["move", "nets", "--by", "copies/elements/copy-0000.safetensors", "--out", "moved"]) == 0
    assert sorted(path.name for path in (folder / "moved").iterdir()) == [f"{name}.safetensors" for name in "abc"]
    assert main(["same", "nets/c.safetensors", "moved/c.safetensors", "--spec", "spec.txt"]) == 0
    assert main(["merge", "nets", "--method", "linear", "--out", "mean.safetensors"]) == 0
    spec = ws.parse(SPEC)
    mean = ws.files.checkpoint.open_network(folder / "mean.safetensors", spec).read("0.bias")
    assert torch.allclose(mean, sum(random_network(seed)["0.bias"] for seed in range(3)) / 3)
    (folder / "nets/z.safetensors").write_bytes(b"cut")
    capsys.readouterr()
    assert main(["merge", "nets", "--method", "linear", "--out", "other.safetensors"]) == 2
    assert main(["move", "nets", "--by", "copies/elements/copy-0000.safetensors", "--out", "again"]) == 1
    assert "left out: nets/z.safetensors: " in capsys.readouterr().out

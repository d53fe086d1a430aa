"""The verb barrier: curves and figure from two trained networks, and what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import write_set
from network_files import refused, write_damaged
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main
from weightspace.zoo import load_images

NETS = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))

def few():
    return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 4))

def image():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))

def whole(channels, side):
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), head), torch.zeros(1, channels, side, side)

def mnist():
    return whole(1, 28)

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.leave = nn.Embedding(9, 8), nn.Linear(8, 10)

    def forward(self, tokens):
        return self.leave(torch.relu(self.embed(tokens)))

def tokens():
    return Tokens()

def colour():
    return whole(3, 32)
"""
MODEL = ["--model", "classified_nets:make", "--input", "2,64"]


def trained(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10))
    images = load_images("digits")
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images.train_x), images.train_y).backward()
        optimizer.step()
    return net.state_dict()


@pytest.fixture(scope="module")
def networks() -> list[dict[str, torch.Tensor]]:
    return [trained(seed) for seed in (0, 1)]


@pytest.fixture
def folder(networks: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two trained networks, and a copy of the first in another gauge."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "classified_nets.py").write_text(NETS)
    for name, params in zip("ab", networks, strict=True):
        save_file(params, tmp_path / f"{name}.safetensors")
    net = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10))
    spec = ws.derive(net, torch.zeros(2, 64))
    (tmp_path / "spec.txt").write_text(ws.to_text(spec))
    save_file(ws.act(ws.sample(spec, 3), networks[0], spec), tmp_path / "copy.safetensors")
    return tmp_path


def curves(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    found: dict[str, list[tuple[float, float, float]]] = {}
    for row in csv.DictReader((path / "barrier_curves.csv").open()):
        found.setdefault(row["method"], []).append((float(row["t"]), float(row["loss"]), float(row["accuracy"])))
    return found


def test_every_curve_has_the_same_ends_and_aligning_lowers_the_middle(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["barrier", "a.safetensors", "b.safetensors", *MODEL, "--points", "5", "--out", "barrier"]) == 0
    found = curves(folder / "barrier")
    assert list(found) == ["naive", "permutations", "weights", "weights + repair", "features", "features + repair"]
    for rows in found.values():
        assert [row[0] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
        for end in (0, -1):
            assert rows[end][1:] == pytest.approx(found["naive"][end][1:], abs=1e-4)
    assert found["weights"][2][1] < found["naive"][2][1]
    text = (folder / "barrier" / "barriers.svg").read_text()
    assert text.startswith("<svg")
    assert "weights + repair" in text
    printed = capsys.readouterr().out
    assert "test half" in printed
    assert "lowest at the middle: " in printed
    assert ("worse than naive: " in printed) == ("True" in (folder / "barrier" / "barriers.csv").read_text())
    assert "written: barrier/barriers.csv" in printed


def test_between_copies_of_one_network_weights_are_flat_and_permutations_are_not(folder: Path) -> None:
    words = ["align", "a.safetensors", "copy.safetensors", *MODEL, "--out", "x.pt", "--element", "mine.safetensors"]
    assert main(words) == 0
    more = ["--element", "mine.safetensors", "--points", "3", "--out", "flat"]
    assert main(["barrier", "a.safetensors", "copy.safetensors", *MODEL, *more]) == 0
    found = curves(folder / "flat")
    for method in ("weights", "mine.safetensors"):
        assert found[method][1][1] == pytest.approx(found[method][0][1], abs=1e-3)
    assert found["permutations"][1][1] > found["weights"][1][1] + 0.01


@pytest.mark.usefixtures("folder")
def test_what_makes_the_middle_worse_is_said_and_the_exit_code_is_0(
    networks: list, capsys: pytest.CaptureFixture[str]
) -> None:
    """An element that turns the second network away from the first, as a saved alignment."""
    net = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10))
    spec = ws.derive(net, torch.zeros(2, 64))
    ws.files.elements.save_element(Path("away.safetensors"), ws.sample(spec, 5, max_scale=50.0), spec)
    save_file(networks[0], "same.safetensors")
    words = ["a.safetensors", "same.safetensors", *MODEL, "--element", "away.safetensors", "--points", "3"]
    assert main(["barrier", *words, "--out", "barrier"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("worse than naive")]
    assert [line.split(":")[1].split(",")[0].strip() for line in said] == ["away.safetensors"]


def test_permutations_only_leaves_the_scales_alone(folder: Path) -> None:
    words = ["a.safetensors", "copy.safetensors", *MODEL, "--permutations-only"]
    assert main(["barrier", *words, "--points", "3", "--out", "only"]) == 0
    assert list(curves(folder / "only")) == ["naive", "weights", "weights + repair", "features", "features + repair"]
    assert main(["align", *words, "--out", "only.safetensors", "--element", "order.safetensors"]) == 0
    element, spec = ws.files.elements.load_element(Path("order.safetensors"))
    assert all(bool((scale == 1).all()) for scale in element.scale.values())
    assert spec == ws.parse((folder / "spec.txt").read_text())
    norms = [load_file(name)["0.weight"].norm(dim=1).sort().values for name in ("only.safetensors", "copy.safetensors")]
    torch.testing.assert_close(*norms)


@pytest.mark.parametrize(
    ("name", "factory", "shape"), [("mnist", "mnist", (28, 28)), ("cifar10", "colour", (32, 32, 3))]
)
def test_images_come_in_the_size_and_colours_of_the_input(name: str, factory: str, shape: tuple, folder: Path) -> None:
    import classified_nets

    pixels = np.random.default_rng(0).integers(0, 256, (24, *shape), dtype=np.uint8)
    write_set(folder / "sets", name, pixels, np.arange(24) % 10)
    for seed, file in enumerate(("p.safetensors", "q.safetensors")):
        torch.manual_seed(seed)
        save_file(getattr(classified_nets, factory)()[0].state_dict(), file)
    words = ["p.safetensors", "q.safetensors", "--model", f"classified_nets:{factory}", "--images", name]
    assert main(["barrier", *words, "--data", "sets", "--points", "3", "--out", "barrier"]) == 0
    net, example = getattr(classified_nets, factory)()
    images = load_images(name, folder / "sets", full_size=True, colour=factory == "colour")
    measure = ws.alignment.classification(net, images.test_x.view(-1, *example.shape[1:]), images.test_y)
    loss, accuracy = measure(load_file("p.safetensors"))
    assert curves(folder / "barrier")["naive"][0][1:] == pytest.approx((loss, accuracy), abs=1e-6)


PAIR = ["a.safetensors", "b.safetensors", "--out", "new"]
OUT = ["--out", "new", *MODEL]
BAD = {
    "spec alone": ([*PAIR, "--spec", "spec.txt"], "measured on the module"),
    "no folder": (["a.safetensors", "b.safetensors", *MODEL, "--out", "new.png"], "new.png is the name of a file"),
    "even points": ([*PAIR, *MODEL, "--points", "4"], "--points is 4"),
    "unknown images": ([*PAIR, *MODEL, "--images", "digit"], "Did you mean 'digits'?"),
    "images without a folder": ([*PAIR, *MODEL, "--images", "mnist"], "Add --data DIR"),
    "images of another size": (
        [
            "i.safetensors",
            "i.safetensors",
            "--out",
            "new",
            "--model",
            "classified_nets:image",
            "--input",
            "2,3,8,8",
        ],
        "images of 'digits' come in the shapes [64], [1, 8, 8], [8, 8]; the module's input",
    ),
    "fewer classes": (
        ["f.safetensors", "f.safetensors", "--out", "new", "--model", "classified_nets:few", "--input", "2,64"],
        "the images have 10 classes",
    ),
    "tokens": (
        ["t.safetensors", "t.safetensors", "--out", "new", "--model", "classified_nets:tokens", "--input", "2,64:int"],
        "images of 'digits' are pixels, and the module takes whole numbers (torch.int64, [2, 64])",
    ),
    "other architecture": (["a.safetensors", "wide.safetensors", *OUT], "parameter '0.weight' has shape [7, 64]"),
    "other classes": (["a.safetensors", "classes.safetensors", *OUT], "networks of other inputs or classes cannot be"),
    "missing key": (["a.safetensors", "short.safetensors", *OUT], "short.safetensors: parameter '0.bias' is missing"),
    "not finite": (["a.safetensors", "nan.safetensors", *OUT], "nan.safetensors: parameter '2.weight' holds values"),
    "truncated": (["a.safetensors", "cut.safetensors", *OUT], "cut.safetensors is not a readable safetensors file"),
    "missing file": (["a.safetensors", "none.safetensors", *OUT], "none.safetensors"),
    "missing shard": (["a.safetensors", "gap", *OUT], "model-00002-of-00002.safetensors"),
    "spec that the module breaks": ([*PAIR, *MODEL, "--spec", "wrong.txt"], "the spec does not hold for Sequential"),
    "spec of another network": ([*PAIR, *MODEL, "--spec", "other.txt"], "--spec other.txt does not fit --model"),
    "no element": ([*PAIR, *MODEL, "--element", "a.safetensors"], "is no file of an element"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_one_message_and_no_output(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import classified_nets

    save_file(classified_nets.few().state_dict(), "f.safetensors")
    save_file(classified_nets.image().state_dict(), "i.safetensors")
    save_file(classified_nets.tokens().state_dict(), "t.safetensors")
    write_damaged(folder, folder / "a.safetensors", (folder / "spec.txt").read_text())
    words, message = BAD[name]
    refused(["barrier", *words], message, folder, capsys)

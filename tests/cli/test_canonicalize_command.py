"""The verb canonicalize: one network of each orbit as files, what is left open, and refusals that write nothing."""

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main
from weightspace.files.elements import load_element

SPEC = "in[3] fixed\nh0[5] positive\nout[2] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out\n"
NETS = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.one, self.two = nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.two(self.one(self.words(x)).relu())

def on_meta():
    with torch.device("meta"):
        return make(), torch.zeros(4, 3, device="meta")
"""
MODEL = ("--model", "canon_nets:make", "--input", "8,3")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two copies of one network in other gauges, one of them with prefixed names and 16 bits, and a spec."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "canon_nets.py").write_text(NETS)
    (tmp_path / "spec.txt").write_text(SPEC)
    spec = ws.parse(SPEC)
    first = {name: value[0].contiguous() for name, value in ws.testing.random_params(spec, 1).items()}
    copy = ws.act(ws.sample(spec, 1), first, spec)
    (tmp_path / "nets").mkdir()
    save_file(first, tmp_path / "nets/a.safetensors", {"made": "by hand"})
    save_file({f"module.{n}": v for n, v in copy.items()}, tmp_path / "nets/b.safetensors")
    torch.save({n: v.half() for n, v in copy.items()}, tmp_path / "nets/c.pt")
    return tmp_path


def test_copies_of_one_network_get_one_form_with_their_own_names_types_and_metadata(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["canonicalize", "nets", *MODEL, "--out", "out", "--element", "elements"]) == 0
    said = capsys.readouterr().out
    assert "3 networks, nothing left open in 3; all rows: out/canonicalize.csv" in said
    assert "largest relative output difference" in said
    a, b = (load_file(folder / f"out/{name}.safetensors") for name in "ab")
    c = torch.load(folder / "out/c.pt", weights_only=True)
    for name, value in a.items():
        torch.testing.assert_close(b[f"module.{name}"], value)
        assert c[name].dtype == torch.float16
        torch.testing.assert_close(c[name].float(), value, atol=2e-3, rtol=2e-3)
    assert len(b) == len(c) == len(a)
    with safe_open(folder / "out/a.safetensors", framework="pt") as file:
        assert file.metadata() == {"made": "by hand"}
    element, spec = load_element(folder / "elements/a.safetensors")
    moved = ws.act(element, load_file(folder / "nets/a.safetensors"), spec)
    assert all(torch.equal(moved[name], value) for name, value in a.items())
    assert (folder / "elements/c.pt.safetensors").is_file()
    rows = list(csv.DictReader((folder / "out/canonicalize.csv").open()))
    assert [row["left_open"] for row in rows] == ["unique"] * 3
    assert float(rows[0]["difference"]) < 1e-5
    assert float(rows[2]["difference"]) < 1e-2


@pytest.mark.parametrize("scale", ["norm", "balanced", "l1"])
def test_the_form_of_scales_is_the_one_asked_for(scale: str, folder: Path) -> None:
    words = ["nets/a.safetensors", "--spec", "spec.txt", "--scale", scale, "--out", "one.safetensors"]
    assert main(["canonicalize", *words]) == 0
    here, _, _ = ws.gauge.canonicalize(load_file(folder / "nets/a.safetensors"), ws.parse(SPEC), scale=scale)
    assert all(torch.equal(here[name], value) for name, value in load_file(folder / "one.safetensors").items())


def test_what_is_left_open_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = load_file(folder / "nets/a.safetensors")
    params["0.weight"][1], params["0.bias"][1] = 0, 0
    save_file(params, folder / "dead.safetensors")
    assert main(["canonicalize", "dead.safetensors", "--spec", "spec.txt", "--out", "one.pt"]) == 0
    assert "h0: 1 dead" in capsys.readouterr().out
    assert main(["inspect", "dead.safetensors", "--spec", "spec.txt"]) == 0
    assert "dead.safetensors: float32; canonical form: unique; h0: 1 dead" in capsys.readouterr().out


def test_tokens_are_probed_with_every_kind_of_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import canon_nets  # type: ignore[import-not-found]

    torch.manual_seed(0)
    torch.save(canon_nets.Tokens().state_dict(), folder / "tokens.pt")
    words = ["tokens.pt", "--model", "canon_nets:Tokens", "--input", "4,5:int", "--out", "one.pt"]
    assert main(["canonicalize", *words]) == 0
    assert "largest relative output difference" in capsys.readouterr().out


def test_tied_tensors_become_tensors_of_their_own(folder: Path) -> None:
    (folder / "tied.txt").write_text("in[3] fixed\n\na in\nb in\n")
    shared = torch.arange(3.0)
    torch.save({"a": shared, "b": shared}, folder / "tied.pt")
    assert main(["canonicalize", "tied.pt", "--spec", "tied.txt", "--out", "one.safetensors"]) == 0
    assert all(torch.equal(value, shared) for value in load_file(folder / "one.safetensors").values())


def shard(folder: Path) -> None:
    params = load_file(folder / "nets/a.safetensors")
    places = {name: f"model-{1 + (name[0] == '2')}.safetensors" for name in params}
    (folder / "sharded").mkdir()
    for file in set(places.values()):
        save_file({n: v for n, v in params.items() if places[n] == file}, folder / "sharded" / file)
    (folder / "sharded/model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def test_a_sharded_network_is_the_same_and_stays_sharded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(folder)
    assert main(["same", "sharded", "nets/b.safetensors", *MODEL]) == 0
    assert "outputs agree up to" in capsys.readouterr().out
    assert (
        main(["fingerprint", "sharded/model.safetensors.index.json", "nets/a.safetensors", "--spec", "spec.txt"]) == 0
    )
    assert main(["inspect", "sharded", "--spec", "spec.txt"]) == 0
    assert main(["canonicalize", "sharded", "--spec", "spec.txt", "--out", "into"]) == 0
    assert main(["canonicalize", "sharded", "--spec", "spec.txt", "--out", "one.safetensors"]) == 0
    assert sorted(path.name for path in (folder / "into").iterdir()) == [
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
    ]
    assert main(["same", "into", "one.safetensors", "--spec", "spec.txt"]) == 0
    (folder / "sharded/model-2.safetensors").unlink()
    assert main(["same", "sharded", "nets/b.safetensors", *MODEL]) == 2
    assert "model-2.safetensors is missing" in capsys.readouterr().err


def test_outputs_of_different_networks_differ(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = load_file(folder / "nets/a.safetensors")
    save_file(params | {"2.bias": params["2.bias"] + 10}, folder / "other.safetensors")
    assert main(["same", "nets/a.safetensors", "other.safetensors", *MODEL]) == 1
    gap = float(capsys.readouterr().out.split("largest difference ")[-1].split()[0])
    assert gap > 1


def test_inspect_draws_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--spec", "spec.txt", "--draw", "nets.svg"]) == 0
    assert "picture: nets.svg" in capsys.readouterr().out
    assert "h0[5] S5 x positive" in (folder / "nets.svg").read_text()


ONE = ("canonicalize", "nets/a.safetensors", "--spec", "spec.txt")
BAD = {
    "no such file": (("canonicalize", "d.pt", "--spec", "spec.txt", "--out", "new.pt"), "d.pt does not exist"),
    "no --out": (ONE, "--out"),
    "form": ((*ONE, "--out", "new.pt", "--scale", "l2"), "choose from"),
    "suffix": ((*ONE, "--out", "new.npy"), "should end in .safetensors, .pt, .pth"),
    "itself": (
        (*ONE, "--overwrite", "--out", "nets/a.safetensors"),
        "would replace its input nets/a.safetensors",
    ),
    "folder into file": (("canonicalize", "nets", *MODEL, "--out", "new.pt"), "nets is a folder, so --out new.pt"),
    "element suffix": ((*ONE, "--out", "new.pt", "--element", "new.csv"), "Type e.g. new.safetensors"),
    "element over network": (
        (*ONE, "--out", "new.safetensors", "--element", "new.safetensors"),
        "the element would replace the network new.safetensors",
    ),
    "elements into file": (
        ("canonicalize", "nets", *MODEL, "--out", "new", "--element", "new.safetensors"),
        "there are 3 elements, so --element new.safetensors must be a folder",
    ),
    "other network": (
        ("canonicalize", "mixed/e.safetensors", "--spec", "spec.txt", "--out", "new.pt"),
        "e.safetensors: ",
    ),
    "not finite": (("canonicalize", "nan.pt", "--spec", "spec.txt", "--out", "new.pt"), "'2.bias' holds values that"),
    "overflow": (
        ("canonicalize", "half.pt", "--spec", "spec.txt", "--out", "new.pt"),
        "half.pt: parameter '2.weight' in canonical form is beyond the range of torch.float16. Convert the network",
    ),
    "meta": (
        ("canonicalize", "nets/a.safetensors", "--model", "canon_nets:on_meta", "--out", "new.pt"),
        "a module on the meta device cannot be compared",
    ),
    "no picture": (("inspect", "--spec", "spec.txt", "--draw", "new.pdf"), "Type e.g. --draw new.svg"),
    "other file": (("inspect", "e.safetensors", "--spec", "spec.txt"), "does not exist"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_one_message_and_nothing_written(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_file(folder / "nets/a.safetensors")
    (folder / "mixed").mkdir()
    save_file(params, folder / "mixed/a.safetensors")
    save_file({"0.weight": torch.zeros(5, 4)}, folder / "mixed/e.safetensors")
    torch.save(params | {"2.bias": torch.full((2,), torch.nan)}, folder / "nan.pt")
    large = params | {"0.weight": 3e4 * params["0.weight"], "2.weight": 2e4 * params["2.weight"]}
    torch.save({key: value.half() for key, value in large.items()}, folder / "half.pt")
    words, message = BAD[name]
    assert main(list(words)) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not list(folder.glob("new*"))


def test_a_bad_network_of_a_folder_is_a_row_and_the_code_is_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"0.weight": torch.zeros(5, 4)}, folder / "nets/z.safetensors")
    assert main(["canonicalize", "nets", "--spec", "spec.txt", "--out", "new"]) == 1
    assert "left out: nets/z.safetensors: parameter" in capsys.readouterr().out
    assert not (folder / "new/z.safetensors").exists()
    with (folder / "new/canonicalize.csv").open() as lines:
        *rows, last = csv.DictReader(lines)
    assert rows
    assert all((folder / row["out"]).is_file() and not row["left_out"] for row in rows)
    assert (last["file"], last["out"]) == ("nets/z.safetensors", "")
    assert last["left_out"].startswith("parameter ")

"""The verb perturb: copies that compute the same, elements that undo them, and what is refused."""

from pathlib import Path

import pytest
import torch
from network_files import NETS, SPEC, files_in, random_network, write_shards
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main
from weightspace.zoo import InrZooConfig, make_zoo

INRS = {"images": "digits", "target": {"widths": (2, 4, 4, 1)}, "num": 2, "steps": 2}
MODEL = ["--model", "perturbed_nets:make", "--input", "4,3"]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "inrs"
    make_zoo(InrZooConfig.model_validate(INRS), folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "perturbed_nets.py").write_text(NETS)
    (tmp_path / "spec.txt").write_text(SPEC)
    save_file(random_network(0), "a.safetensors", {"note": "mine"})
    torch.save(random_network(0), "a.pt")
    write_shards(tmp_path / "shards", random_network(0))
    return tmp_path


def test_copies_are_the_same_network_and_their_elements_undo_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["perturb", "a.safetensors", *MODEL, "--num", "3", "--out", "copies"]) == 0
    assert "certificate: largest output difference of a copy, relative: " in capsys.readouterr().out
    assert files_in(folder / "copies") == {"elements", "perturb.json", *(f"copy-000{k}.safetensors" for k in range(3))}
    for k in range(3):
        name = f"copy-000{k}.safetensors"
        assert main(["same", "a.safetensors", f"copies/{name}", "--spec", "spec.txt"]) == 0
        words = ["move", f"copies/{name}", "--by", f"copies/elements/{name}", "--inverse", "--out", f"back{k}.pt"]
        assert main(words) == 0
        back, first = torch.load(f"back{k}.pt", weights_only=True), random_network(0)
        assert all(torch.allclose(back[key], value, rtol=1e-5) for key, value in first.items())
    copies = [load_file(f"copies/copy-000{k}.safetensors")["0.weight"] for k in range(3)]
    assert not torch.equal(copies[0], copies[1])
    capsys.readouterr()
    assert main(["dedupe", "copies", "--spec", "spec.txt", "--out", "groups.csv"]) == 0


@pytest.mark.parametrize(("source", "copy"), [("a.pt", "copy-0000.pt"), ("shards", "copy-0000")])
def test_a_copy_is_kept_as_its_network_is(source: str, copy: str, folder: Path) -> None:
    assert main(["perturb", source, "--spec", "spec.txt", "--kind", "permutations", "--out", "new"]) == 0
    place = folder / "new" / copy
    assert files_in(place) == files_in(folder / "shards") if source == "shards" else place.is_file()
    assert main(["same", source, f"new/{copy}", "--spec", "spec.txt"]) == 0


def test_noise_is_not_in_the_elements(folder: Path) -> None:
    plain = ["perturb", "a.safetensors", "--spec", "spec.txt", "--num", "2"]
    assert main([*plain, "--out", "clean"]) == 0
    assert main([*plain, "--out", "noisy", "--sigma", "0.1"]) == 0
    gaps = []
    for name in ("copy-0000.safetensors", "copy-0001.safetensors"):
        clean, noisy = load_file(f"clean/{name}"), load_file(f"noisy/{name}")
        assert (folder / "clean/elements" / name).read_bytes() != b""
        first, second = (load_file(f"{which}/elements/{name}") for which in ("clean", "noisy"))
        assert all(torch.equal(first[key], second[key]) for key in first)
        gaps.append(noisy["0.weight"] - clean["0.weight"])
        assert 0.02 < float(gaps[-1].std()) < 0.3
    assert not torch.allclose(gaps[0], gaps[1], atol=1e-3)


@pytest.mark.usefixtures("folder")
def test_a_network_of_a_zoo_needs_no_architecture(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perturb", str(zoo), "--row", "1", "--kind", "signs", "--out", "copies"]) == 0
    assert "certificate: largest output difference" in capsys.readouterr().out
    copy, row = load_file("copies/copy-0000.safetensors"), ws.zoo.Zoo.open(zoo).load([1])
    assert all(torch.equal(copy[name].abs(), value[0].abs()) for name, value in row.items())


BAD = {
    "no architecture": (["a.safetensors"], "architecture is not named"),
    "zoo without row": (["zoo"], "is a zoo. Say which network of it, e.g. --row 0"),
    "zoo with spec": (["zoo", "--row", "0", "--spec", "spec.txt"], "Leave --model and --spec out"),
    "row too high": (["zoo", "--row", "7"], "has no row 7: its rows are 0 to 1"),
    "no zoo": (["a.safetensors", "--row", "0"], "is not a zoo"),
    "no such kind": (["a.safetensors", *MODEL, "--kind", "rotations"], "invalid choice: 'rotations'"),
    "kind without meaning": (["a.safetensors", *MODEL, "--kind", "signs"], "have no signs: they have permutations"),
    "negative noise": (["a.safetensors", *MODEL, "--sigma=-1"], "needs a number from 0 to 1e+06, got '-1'"),
    "small scale": (["a.safetensors", *MODEL, "--max-scale", "0.5"], "needs a number from 1 to 1e+09, got '0.5'"),
    "both scales": (["a.safetensors", *MODEL, "--max-scale", "2", "--scale-std", "1"], "not allowed with"),
    "folder in use": (["a.safetensors", *MODEL, "--out", "shards"], "holds files already, e.g. "),
    "file as folder": (["a.safetensors", *MODEL, "--out", "x.pt"], "is the name of a file"),
    "missing file": (["b.safetensors", *MODEL], "b.safetensors does not exist"),
    "other architecture": (["other.safetensors", *MODEL], "other.safetensors: parameter"),
    "not finite": (["nan.safetensors", *MODEL], "not finite"),
    "wrong spec": (
        ["a.safetensors", "--spec", "spec.txt", "--model", "perturbed_nets:tanh"],
        "the spec does not hold for Sequential",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_one_message_and_no_output(
    name: str, zoo: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = random_network(0)
    save_file({**a, "0.weight": torch.zeros(4, 3)}, "other.safetensors")
    save_file({**a, "0.weight": a["0.weight"] / 0}, "nan.safetensors")
    (folder / "zoo").symlink_to(zoo)
    before = files_in(folder)
    words, message = BAD[name]
    assert main(["perturb", *words, *([] if "--out" in words else ["--out", "new"])]) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert printed.err.count("error: ") == 1
    assert files_in(folder) - {"__pycache__"} == before - {"__pycache__"}

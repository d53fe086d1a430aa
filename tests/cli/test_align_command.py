"""The verbs align and move: files in, files out, elements that can be applied, undone and composed; refusals."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from network_files import NETS, SPEC, files_in, random_network, refused, write_damaged, write_shards
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main

MODEL = ["--model", "aligned_nets:make", "--input", "4,3"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, a copy of it in another gauge, an unrelated one, and the module that makes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "aligned_nets.py").write_text(NETS)
    (tmp_path / "spec.txt").write_text(SPEC)
    spec, first = ws.parse(SPEC), random_network(0)
    copy = ws.act(ws.sample(spec, 1), first, spec)
    save_file(first, tmp_path / "a.safetensors", {"epoch": "1"})
    save_file(copy, tmp_path / "b.safetensors", {"activation": "relu", "epoch": "3"})
    save_file(random_network(2), tmp_path / "c.safetensors")
    return tmp_path


def test_a_copy_in_another_gauge_comes_back_with_its_metadata(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "a.safetensors", "b.safetensors", *MODEL, "--out", "o.safetensors"]) == 0
    torch.testing.assert_close(load_file("o.safetensors"), load_file("a.safetensors"), rtol=1e-5, atol=1e-6)
    with safe_open("o.safetensors", framework="pt") as file:
        assert file.metadata() == {"activation": "relu", "epoch": "3"}
    text = capsys.readouterr().out
    assert "sweep, nearest" in text
    assert "certificate: largest output difference" in text
    assert files_in(folder) >= {"o.safetensors"}
    assert not [name for name in files_in(folder) if name.endswith(".tmp")]


def test_whole_numbers_count_in_the_distance(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = torch.tensor([3, 1, 4, 0, 2])
    a = {"w": torch.arange(15, dtype=torch.int32).reshape(5, 3), "v": torch.arange(10, dtype=torch.int32).reshape(2, 5)}
    save_file(a, "whole.safetensors")
    save_file({"w": a["w"][order], "v": a["v"][:, order].contiguous()}, "moved.safetensors")
    (folder / "order.txt").write_text("in[3] fixed\nh[5]\nout[2] fixed\n\nw h in~\nv out h~")
    words = ["whole.safetensors", "moved.safetensors", "--spec", "order.txt", "--out", "o.safetensors"]
    assert main(["align", *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 after" in said
    assert "relative: 0 before" not in said
    assert all(torch.equal(value, a[name]) for name, value in load_file("o.safetensors").items())


def test_names_number_types_and_shards_stay(folder: Path) -> None:
    halves = {f"module.{name}": value.half() for name, value in load_file("b.safetensors").items()}
    write_shards(folder / "sharded", halves, per_shard=3)
    assert main(["align", "a.safetensors", "sharded", *MODEL, "--out", "aligned"]) == 0
    assert files_in(folder / "aligned") == files_in(folder / "sharded")
    before, after = (
        json.loads((folder / name / "model.safetensors.index.json").read_text()) for name in ("sharded", "aligned")
    )
    assert before == after
    for file in set(before["weight_map"].values()):
        old, new = (load_file(folder / name / file) for name in ("sharded", "aligned"))
        assert {k: (v.shape, v.dtype) for k, v in old.items()} == {k: (v.shape, v.dtype) for k, v in new.items()}
        with safe_open(folder / "aligned" / file, framework="pt") as opened:
            assert opened.metadata()["format"] == "pt"
    there = load_file(folder / "a.safetensors")
    for name, file in before["weight_map"].items():
        value = load_file(folder / "aligned" / file)[name].float()
        torch.testing.assert_close(value, there[name.removeprefix("module.")], rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("folder")
def test_a_saved_element_moves_and_its_inverse_brings_back() -> None:
    words = ["align", "a.safetensors", "c.safetensors", "--spec", "spec.txt", "--out", "o.safetensors"]
    assert main([*words, "--element", "e.safetensors"]) == 0
    assert main(["move", "c.safetensors", "--by", "e.safetensors", "--out", "moved.safetensors"]) == 0
    torch.testing.assert_close(load_file("moved.safetensors"), load_file("o.safetensors"))
    back = ["move", "moved.safetensors", "--by", "e.safetensors", "--inverse", "--out", "back.safetensors"]
    assert main(back) == 0
    torch.testing.assert_close(load_file("back.safetensors"), load_file("c.safetensors"))
    assert not torch.equal(load_file("moved.safetensors")["0.bias"], load_file("c.safetensors")["0.bias"])


@pytest.mark.usefixtures("folder")
def test_several_elements_act_one_after_another_and_together_are_one() -> None:
    assert (
        main(["align", "b.safetensors", "c.safetensors", *MODEL, "--out", "x.pt", "--element", "cb.safetensors"]) == 0
    )
    assert (
        main(["align", "a.safetensors", "b.safetensors", *MODEL, "--out", "y.pt", "--element", "ba.safetensors"]) == 0
    )
    both = ["--by", "cb.safetensors", "--by", "ba.safetensors"]
    assert main(["move", "c.safetensors", *both, "--out", "z.pt", "--element", "ca.safetensors"]) == 0
    assert main(["move", "x.pt", "--by", "ba.safetensors", "--out", "steps.pt"]) == 0
    assert main(["move", "c.safetensors", "--by", "ca.safetensors", "--out", "once.pt"]) == 0
    one, two, three = (torch.load(f"{name}.pt", weights_only=True) for name in ("z", "steps", "once"))
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(one, three)
    swapped = ["--by", "ba.safetensors", "--by", "cb.safetensors"]
    assert main(["move", "c.safetensors", *swapped, "--out", "w.pt"]) == 0
    assert not torch.allclose(torch.load("w.pt", weights_only=True)["0.bias"], one["0.bias"])


@pytest.mark.usefixtures("folder")
def test_normalization_statistics_and_counters_are_carried() -> None:
    import aligned_nets

    for seed, name in enumerate("pq"):
        torch.manual_seed(seed)
        net = aligned_nets.norm()
        net(torch.randn(8, 1, 4, 4))
        save_file(net.state_dict(), f"{name}.safetensors")
    words = ["--model", "aligned_nets:norm", "--input", "2,1,4,4", "--out", "o.safetensors"]
    assert main(["align", "p.safetensors", "q.safetensors", *words]) == 0
    assert load_file("o.safetensors")["1.num_batches_tracked"] == 1


@pytest.mark.usefixtures("folder")
def test_without_a_module_the_certificate_is_said_to_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["align", "a.safetensors", "c.safetensors", "--spec", "spec.txt", "--out", "o.pt", "--restarts", "2"]) == 0
    )
    text = capsys.readouterr().out
    assert "certificate: not measured" in text
    assert "random 1" in text


def test_a_dry_run_prints_the_plan_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_in(folder)
    assert main(["align", "a.safetensors", "b.safetensors", "--spec", "spec.txt", "--out", "o.pt", "--dry-run"]) == 0
    assert files_in(folder) == before
    text = capsys.readouterr().out
    for said in ("h0[5] S5 x positive", "parameters: 32 in 4 tensors", "memory: about", "Nothing was written"):
        assert said in text


PAIR = ["align", "a.safetensors", "b.safetensors", "--out", "new.safetensors"]
BAD = {
    "no architecture": (PAIR, "Add --model PACKAGE.MODULE:FACTORY, or --spec FILE"),
    "wrong spec for the module": (
        ["align", "a.safetensors", "c.safetensors", "--out", "new.safetensors", "--spec", "wrong.txt", *MODEL],
        "the spec does not hold for Sequential",
    ),
    "spec of another network": ([*PAIR, "--spec", "other.txt"], "a.safetensors: parameter '0.weight' has shape"),
    "spec of another module": (
        [*PAIR, "--spec", "spec.txt", "--model", "aligned_nets:norm", "--input", "2,1,4,4"],
        "--spec spec.txt does not fit --model aligned_nets:norm",
    ),
    "unreadable spec": ([*PAIR, "--spec", "none.txt"], "cannot read --spec none.txt"),
    "missing key": (
        ["align", "a.safetensors", "short.safetensors", "--out", "new.safetensors", *MODEL],
        "short.safetensors: parameter '0.bias' is missing",
    ),
    "other architecture": (
        ["align", "a.safetensors", "wide.safetensors", "--out", "new.safetensors", *MODEL],
        "wide.safetensors: parameter '0.weight' has shape [7, 3]",
    ),
    "other classes": (
        ["align", "a.safetensors", "classes.safetensors", "--out", "new.safetensors", *MODEL],
        "networks of other inputs or classes cannot be matched",
    ),
    "not finite": (
        ["align", "a.safetensors", "nan.safetensors", "--out", "new.safetensors", *MODEL],
        "nan.safetensors: parameter '2.weight' holds values that are not finite",
    ),
    "truncated": (
        ["align", "a.safetensors", "cut.safetensors", "--out", "new.safetensors", *MODEL],
        "cut.safetensors is not a readable safetensors file",
    ),
    "missing file": (["align", "a.safetensors", "d.safetensors", "--out", "new.safetensors", *MODEL], "d.safetensors"),
    "into its input": (
        ["align", "a.safetensors", "b.safetensors", "--out", "b.safetensors", "--overwrite", *MODEL],
        "replace its input",
    ),
    "into its input, tried": (
        ["align", "a.safetensors", "b.safetensors", "--out", "b.safetensors", "--overwrite", *MODEL, "--dry-run"],
        "replace its input",
    ),
    "no format": (["align", "a.safetensors", "b.safetensors", "--out", "new", *MODEL], "--out new.safetensors"),
    "element without format": ([*PAIR, *MODEL, "--element", "e.pt"], "e.pt is not a .safetensors file"),
    "missing shard": (
        ["align", "a.safetensors", "gap", "--out", "new.safetensors", *MODEL],
        "model-00002-of-00002.safetensors",
    ),
    "folder without an index": (["align", "a.safetensors", "empty", "--out", "new.safetensors", *MODEL], "empty"),
    "negative restarts": ([*PAIR, *MODEL, "--restarts", "-1"], "restarts"),
    "no element": (
        ["move", "a.safetensors", "--by", "b.safetensors", "--out", "new.safetensors"],
        "is no file of an element",
    ),
    "element of another spec": (
        ["move", "wide.safetensors", "--by", "e.safetensors", "--out", "new.safetensors"],
        "wide",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_one_message_and_no_output(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_damaged(folder, folder / "a.safetensors")
    assert main(["align", "a.safetensors", "b.safetensors", *MODEL, "--out", "t.pt", "--element", "e.safetensors"]) == 0
    capsys.readouterr()
    words, message = BAD[name]
    refused(words, message, folder, capsys)


def test_a_full_folder_of_shards_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(folder / "sharded", load_file("b.safetensors"))
    shutil.copytree(folder / "sharded", folder / "there")
    assert main(["align", "a.safetensors", "sharded", *MODEL, "--out", "there", "--overwrite"]) == 2
    assert "--out there is there already" in capsys.readouterr().err


def test_a_shard_of_an_input_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(folder / "sharded", load_file("b.safetensors"))
    shard = folder / "sharded" / "model-00001-of-00002.safetensors"
    before = shard.read_bytes()
    for second in ("sharded", "sharded/model.safetensors.index.json"):
        assert main(["align", "a.safetensors", second, *MODEL, "--out", str(shard), "--overwrite"]) == 2
        assert "the result would replace its input" in capsys.readouterr().err
    assert shard.read_bytes() == before

"""``weightspace dedupe``: copies are grouped, near networks are kept apart, and the same command continues."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

import weightspace as ws
from weightspace.cli import main
from weightspace.gauge import LIMIT, fingerprints, groups, same_pairs

SPEC = "in[3] fixed\nh0[5] {0}\nh1[4] {0}\nout[2] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight h1 h0~\n2.bias h1\n"
SPEC += "4.weight out h1~\n4.bias out\n"
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
Params = dict[str, Tensor]


def networks(spec: ws.SymmetrySpec, num: int, seed: int) -> list[Params]:
    stacked = ws.testing.random_params(spec, num, seed=seed, dtype=torch.float64)
    return [{name: value[place].clone() for name, value in stacked.items()} for place in range(num)]


def copy_of(params: Params, spec: ws.SymmetrySpec, seed: int, dtype: torch.dtype) -> Params:
    moved = ws.act(ws.sample(spec, seed, max_scale=4.0), params, spec)
    return {name: value.to(dtype).contiguous() for name, value in moved.items()}


def table(file: Path) -> dict[str, tuple[int, str, float]]:
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    return {
        Path(row["file"]).name: (int(row["group"]), Path(row["representative"]).name, float(row["roundings"]))
        for row in rows
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec, and three networks in ``nets``: two copies of the first, one of the second, a near miss of the third."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.txt").write_text(SPEC.format("positive"))
    (tmp_path / "nets").mkdir()
    spec = ws.parse(SPEC.format("positive"))
    a, b, c = networks(spec, 3, 0)
    save_file(copy_of(a, spec, 1, torch.float32), tmp_path / "nets/a0.safetensors")
    torch.save(
        {f"module.{name}": value for name, value in copy_of(a, spec, 2, torch.float16).items()},
        tmp_path / "nets/a1.pt",
    )
    torch.save({"state_dict": copy_of(a, spec, 3, torch.bfloat16)}, tmp_path / "nets/a2.pth")
    save_file(copy_of(b, spec, 4, torch.float64), tmp_path / "nets/b0.safetensors")
    save_file(copy_of(b, spec, 5, torch.float32), tmp_path / "nets/b1.safetensors")
    save_file(copy_of(c, spec, 6, torch.float32), tmp_path / "nets/c0.safetensors")
    c["2.weight"].view(-1)[int(c["2.weight"].abs().argmax())] *= 1.01
    save_file(copy_of(c, spec, 7, torch.float32), tmp_path / "nets/d0.safetensors")
    return tmp_path


COMMAND = ["dedupe", "nets", "--spec", "spec.txt", "--out", "groups.csv"]


def test_copies_share_a_group_and_a_near_network_has_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMAND) == 0
    found = table(folder / "groups.csv")
    assert [found[name][0] for name in sorted(found)] == [1, 1, 1, 2, 2, 3, 4]
    assert all(representative == f"{name[0]}0.safetensors" for name, (_, representative, _) in found.items())
    assert all(roundings <= LIMIT for _, _, roundings in found.values())
    printed = capsys.readouterr()
    assert "Largest groups" in printed.out


def test_with_a_module_a_group_that_computes_the_same_as_another_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(folder)
    (folder / "dedupe_nets.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), "
        "nn.ReLU(), nn.Linear(4, 2))\n"
    )
    (dead,) = networks(ws.parse(SPEC.format("positive")), 1, 5)
    dead["2.weight"][:, 1] = 0
    save_file(dead, folder / "nets/e0.safetensors")
    save_file(dead | {"0.bias": dead["0.bias"] + torch.eye(5)[1].double()}, folder / "nets/e1.safetensors")
    assert main(COMMAND) == 0
    assert "compute the same" not in capsys.readouterr().out
    assert main(["dedupe", "nets", "--model", "dedupe_nets:make", "--input", "4,3", "--out", "named.csv"]) == 0
    assert "no element of the spec between them: 1" in " ".join(capsys.readouterr().out.split())
    with (folder / "named.csv").open() as lines:
        named = {Path(row["file"]).name: Path(row["same_function_as"]).name for row in csv.DictReader(lines)}
    assert {file: other for file, other in named.items() if other} == {"e1.safetensors": "e0.safetensors"}


def test_a_second_run_reads_only_the_files_that_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weightspace.run.verbs import dedupe

    assert main(COMMAND) == 0
    first, made = (folder / "groups.csv").read_bytes(), []
    once = dedupe.fingerprints
    monkeypatch.setattr(
        dedupe, "fingerprints", lambda params, spec: made.append(len(params["0.bias"])) or once(params, spec)
    )
    assert main([*COMMAND, "--overwrite"]) == 0
    assert not made
    assert (folder / "groups.csv").read_bytes() == first
    save_file(networks(ws.parse(SPEC.format("sign")), 1, 9)[0], folder / "nets/e0.safetensors")
    assert main([*COMMAND, "--overwrite"]) == 0
    assert made == [1]
    (folder / "spec.txt").write_text(SPEC.format("sign"))
    assert main([*COMMAND, "--overwrite"]) == 0
    assert sum(made) == 1 + 8
    (folder / "groups.csv.cache").write_bytes(b"cut")
    assert main([*COMMAND, "--overwrite"]) == 0
    assert sum(made) == 1 + 8 + 8


def test_what_a_killed_run_left_half_written_is_removed(folder: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (".groups.csv", ".groups.csv.cache"):
        (folder / f"{name}.{ended.pid}.tmp").write_bytes(b"half")
    assert main(COMMAND) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["groups.csv", "groups.csv.cache", "nets", "spec.txt"]


def test_an_interrupted_run_continues_to_the_same_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weightspace.run.verbs import dedupe

    assert main(COMMAND) == 0
    whole = (folder / "groups.csv").read_bytes()
    (folder / "groups.csv").unlink()
    (folder / "groups.csv.cache").unlink()
    monkeypatch.setattr(dedupe, "_NETWORKS", 2)
    calls, once = [], dedupe.fingerprints

    def stopped(params: Params, spec: ws.SymmetrySpec) -> Tensor:
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return once(params, spec)

    monkeypatch.setattr(dedupe, "fingerprints", stopped)
    assert main(COMMAND) == 130
    assert not (folder / "groups.csv").exists()
    assert main(COMMAND) == 0
    assert len(calls) < 3 + 4  # four chunks in all, and the first two were kept
    assert (folder / "groups.csv").read_bytes() == whole
    assert sorted(path.name for path in folder.iterdir()) == ["groups.csv", "groups.csv.cache", "nets", "spec.txt"]


BAD = {
    "no csv": (["dedupe", "nets", "--spec", "spec.txt", "--out", "groups.txt"], "is not a .csv file"),
    "no folder": (["dedupe", "net", "--spec", "spec.txt", "--out", "groups.csv"], "net does not exist"),
    "no architecture": (["dedupe", "nets", "--out", "groups.csv"], "--model --spec --activation is required"),
    "one cut file": (["dedupe", "cut.pt", *COMMAND[2:]], "cut.pt cannot be read as a file of tensors"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_and_one_message(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cut.pt").write_bytes(b"PK")
    words, message = BAD[name]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not list(folder.glob("groups.csv"))
    assert not list(folder.glob(".*.tmp"))


LEFT_OUT = {
    "other network": "parameter '0.weight' has shape",
    "stacked": "stacks 1 networks",
    "cut file": "is not a readable safetensors file",
    "not finite": "parameter '4.bias' holds values that are not finite",
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_bad_file_of_a_folder_is_a_row_and_the_code_is_1(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are grouped as they are without it, also when the command continues from its cache."""
    assert main(COMMAND) == 0
    whole = table(folder / "groups.csv")
    (net,) = networks(ws.parse(SPEC.format("positive")), 1, 3)
    bad = folder / "nets/z.safetensors"
    if name == "other network":
        save_file(net | {"0.weight": torch.zeros(5, 4)}, bad)
    elif name == "stacked":
        save_file({key: value[None] for key, value in net.items()}, bad)
    elif name == "cut file":
        bad.write_bytes((folder / "nets/a0.safetensors").read_bytes()[:-8])
    elif name == "not finite":
        save_file(net | {"4.bias": torch.tensor([1.0, torch.nan])}, bad)
    for _ in range(2):
        assert main([*COMMAND, "--overwrite"]) == 1
        with (folder / "groups.csv").open() as lines:
            *rows, last = csv.DictReader(lines)
        assert (last["file"], last["group"]) == ("nets/z.safetensors", "")
        assert LEFT_OUT[name] in last["left_out"]
        assert "left out: nets/z.safetensors: " in capsys.readouterr().out
        assert {Path(row["file"]).name: int(row["group"]) for row in rows} == {n: g for n, (g, *_) in whole.items()}


@given(num=st.integers(1, 5), scale=st.sampled_from(["positive", "sign", "nonzero"]), seed=st.integers(0, 99))
@settings(max_examples=5)
def test_stacked_fingerprints_are_those_of_the_networks_one_by_one(num: int, scale: str, seed: int) -> None:
    spec = ws.parse(SPEC.format(scale))
    nets = networks(spec, num, seed)
    rows = fingerprints(ws.gauge.stack([*nets]), spec)
    for row, net in zip(rows, nets, strict=True):
        torch.testing.assert_close(row, ws.fingerprint(net, spec).vector, rtol=1e-9, atol=1e-9)


@given(scale=st.sampled_from(["positive", "sign", "nonzero"]), seed=st.integers(0, 99))
@settings(max_examples=3)
def test_pairs_together_are_judged_like_each_alone(scale: str, seed: int) -> None:
    spec = ws.parse(SPEC.format(scale))
    nets = networks(spec, 2, seed)
    near = nets[0] | {"0.weight": nets[0]["0.weight"] * torch.linspace(1, 1.02, 15).double().view(5, 3)}
    many = [
        *({name: value.float() for name, value in net.items()} for net in (*nets, near)),
        *(copy_of(nets[0], spec, seed + place, dtype) for place, dtype in enumerate(DTYPES[1:])),
    ]
    pairs = [(0, other) for other in range(1, len(many))]
    together = (same_pairs(many, pairs, spec) <= LIMIT).tolist()
    assert together == [False, False, True, True, True]
    assert together == [bool(ws.same(many[one], many[two], spec)) for one, two in pairs]


@given(data=st.data(), num=st.integers(0, 12), spread=st.integers(1, 6))
def test_groups_are_classes_of_equal_rows_with_their_first_row(data: st.DataObject, num: int, spread: int) -> None:
    kinds = data.draw(st.lists(st.integers(0, spread), min_size=num, max_size=num))
    # Vectors overlap between kinds, and only comparing tells them apart.
    vectors = torch.tensor([[kind // 2 + 0.1 * (row % 3), 0.0] for row, kind in enumerate(kinds)]).view(num, 2)
    asked = []

    def compare(pairs: Sequence[tuple[int, int]]) -> list[float]:
        asked.extend(pairs)
        return [0.0 if kinds[one] == kinds[two] else 9.0 for one, two in pairs]

    first, distance = groups(vectors.double(), torch.full((num,), 0.2).double(), compare, 1.0)
    assert first == [kinds.index(kind) for kind in kinds]
    assert distance == [0.0] * num
    assert len(asked) == len(set(asked))
    assert all(one < two and first[one] == one for one, two in asked)


def test_rows_that_are_not_near_are_never_compared() -> None:
    def compare(pairs: Sequence[tuple[int, int]]) -> list[float]:
        raise AssertionError(pairs)

    assert groups(torch.arange(4.0)[:, None].double(), torch.full((4,), 0.2).double(), compare, 1.0)[0] == [0, 1, 2, 3]

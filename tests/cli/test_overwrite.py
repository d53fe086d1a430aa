"""One rule for every verb that writes: what is there already stays, unless --overwrite says otherwise."""

import argparse
from pathlib import Path

import pytest
from network_files import NETS, SPEC, contents, random_network, refused
from safetensors.torch import save_file

import weightspace as ws
from weightspace.cli import _main, main
from weightspace.files.elements import save_element

PAIR = ["a.safetensors", "b.safetensors"]
SPEC_FILE = ["--spec", "spec.txt"]
MOVE = ["move", "a.safetensors", "--by", "e.safetensors"]
FILES = {
    "inspect": ["inspect", *SPEC_FILE, "--out", "there.pt"],
    "inspect, picture": ["inspect", *SPEC_FILE, "--draw", "there.svg"],
    "same": ["same", "a.safetensors", "copy.safetensors", *SPEC_FILE, "--out", "there.safetensors"],
    "fingerprint": ["fingerprint", *PAIR, *SPEC_FILE, "--out", "there.csv"],
    "dedupe": ["dedupe", "nets", *SPEC_FILE, "--out", "there.csv"],
    "canonicalize": ["canonicalize", "a.safetensors", *SPEC_FILE, "--out", "there.safetensors"],
    "canonicalize, element": [
        "canonicalize",
        "a.safetensors",
        *SPEC_FILE,
        "--out",
        "x.pt",
        "--element",
        "there.safetensors",
    ],
    "align": ["align", *PAIR, *SPEC_FILE, "--out", "there.safetensors"],
    "align, element": ["align", *PAIR, *SPEC_FILE, "--out", "x.pt", "--element", "there.safetensors"],
    "move": [*MOVE, "--out", "there.safetensors"],
    "move, element": [
        "move",
        "a.safetensors",
        "--by",
        "e.safetensors",
        "--out",
        "x.pt",
        "--element",
        "there.safetensors",
    ],
    "merge": ["merge", *PAIR, "--method", "linear", "--out", "there.safetensors"],
    "audit": ["audit", "--model", "over_nets:metanet", *SPEC_FILE, "--out", "there.json"],
    "gauge-freedom": ["gauge-freedom", "--out", "there.csv"],
    "apply": ["apply", "run", "a.safetensors", "--out", "there.safetensors"],
    "zoo show": ["zoo", "show", "zoo", "--out", "there.svg"],
}
FOLDERS = {
    "canonicalize": ["canonicalize", "nets", *SPEC_FILE],
    "perturb": ["perturb", "a.safetensors", *SPEC_FILE],
    "barrier": ["barrier", *PAIR, "--model", "over_nets:make", "--input", "2,3"],
    "apply": ["apply", "run", "nets"],
    "finetune": ["finetune", "mlps", "--images", "digits", "--activation", "tanh", "--epochs", "1"],
    "zoo make": ["zoo", "make", "digits_mlp_relu", "--num", "1"],
    "zoo import": ["zoo", "import", "nets", "--model", "over_nets:make", "--input", "2,3", "--labels", "scores.csv"],
    "train": ["train", "amortize_digits"],
    "demo": ["demo"],
    "interpolate": ["interpolate", "orbit_inr_digits"],
}
QUICK = ("inspect", "same", "fingerprint", "dedupe", "canonicalize", "canonicalize, element", "align", "align, element")
"""Verbs that are also run to the end; of the others the refusal is enough, since one place in the code says it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks, an element, and things of somebody else under the names that are written to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "over_nets.py").write_text(f"{NETS}\ndef metanet(spec):\n    return lambda params: 0\n")
    (tmp_path / "spec.txt").write_text(SPEC)
    (tmp_path / "scores.csv").write_text("file\na.safetensors\nb.safetensors\n")
    (tmp_path / "nets").mkdir()
    (tmp_path / "mlps").mkdir()
    (tmp_path / "there").mkdir()
    spec = ws.parse(SPEC)
    for seed, name in enumerate("ab"):
        save_file(random_network(seed), tmp_path / f"{name}.safetensors")
        save_file(random_network(seed), tmp_path / "nets" / f"{name}.safetensors")
    save_file(ws.act(ws.sample(spec, 1), random_network(0), spec), tmp_path / "copy.safetensors")
    mlp = ws.zoo.MLP((64, 3, 10), "tanh")
    save_file(mlp.state_dict(), tmp_path / "mlps" / "0.safetensors")
    save_element(tmp_path / "e.safetensors", ws.sample(spec, 0), spec)
    for name in ("there.pt", "there.svg", "there.csv", "there.json", "there.safetensors", "there/mine.pth"):
        (tmp_path / name).write_text("mine")
    return tmp_path


def test_every_verb_that_writes_is_among_the_cases() -> None:
    writing = set()
    for verb in _main.VERBS.values():
        parser = argparse.ArgumentParser(add_help=False)
        verb.arguments(parser)
        if "--out" in parser._option_string_actions:
            writing.add(verb.name)
    assert writing == {name.split(",")[0] for name in (*FILES, *FOLDERS)}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_there_stays(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(FILES[case], "there already. Add --overwrite", folder, capsys)


@pytest.mark.parametrize("case", QUICK)
@pytest.mark.usefixtures("folder")
def test_overwrite_replaces_the_file_and_nothing_else(case: str, folder: Path) -> None:
    before = contents(folder)
    assert main([*FILES[case], "--overwrite"]) == 0
    after = contents(folder)
    changed = {path.name for path in before if after[path] != before[path]}
    assert changed == {FILES[case][-1]}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_of_anything_else_is_refused_and_left_as_it_was(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([*FOLDERS[case], "--out", "there"], "mine.pth", folder, capsys)
    resumes = _main.VERBS[case].resumes
    if resumes:
        refused([*FOLDERS[case], "--out", "there", "--overwrite"], "mine.pth", folder, capsys)


@pytest.mark.usefixtures("folder")
def test_a_folder_of_copies_is_replaced_when_asked_and_only_that() -> None:
    words = [*FOLDERS["perturb"], "--out", "copies", "--num"]
    assert main([*words, "3"]) == 0
    assert main([*words, "2"]) == 2
    assert main([*words, "2", "--overwrite"]) == 0
    assert len(list(Path("copies").glob("copy-*"))) == 2
    own = ["perturb", "copies/copy-0001.safetensors", *SPEC_FILE, "--out", "copies", "--overwrite"]
    assert main(own) == 2
    assert len(list(Path("copies").glob("copy-*"))) == 2
    Path("copies/mine.txt").write_text("mine")
    assert main([*words, "1", "--overwrite"]) == 2
    assert Path("copies/mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["same", *PAIR, *SPEC_FILE, "--out", "a.safetensors"],
        ["inspect", "a.safetensors", *SPEC_FILE, "--out", "a.safetensors"],
        ["fingerprint", *PAIR, *SPEC_FILE, "--out", "spec.txt"],
    ],
    ids=lambda words: words[0],
)
def test_overwrite_never_replaces_what_the_command_reads(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([*words, "--overwrite"], "would replace its", folder, capsys)


def test_a_command_that_was_killed_knows_what_it_had_begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weightspace.run.verbs import alignment

    words = ["align", *PAIR, *SPEC_FILE, "--element", "new.safetensors", "--out", "new.pt"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(alignment, "save_element", killed)
        patch.setattr(alignment, "remove", lambda _: None)
        assert main(words) == 130
    assert (folder / "new.pt").exists()
    assert main([*words, "--seed", "1"]) == 2
    assert main(words) == 0
    assert (folder / "new.safetensors").exists()
    assert not list(folder.glob(".*.unfinished"))
    assert main(words) == 2

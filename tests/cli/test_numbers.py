"""No number on the command line or in a recipe ends in a trace, in nonsense or in work without an end."""

from pathlib import Path

import pytest
from network_files import NETS, SPEC, random_network, refused
from safetensors.torch import save_file

from weightspace.cli import main

HUGE = "9" * 5000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two networks and their spec."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "number_nets.py").write_text(NETS)
    (tmp_path / "spec.txt").write_text(SPEC)
    for seed, name in enumerate("ab"):
        save_file(random_network(seed), tmp_path / f"{name}.safetensors")
    return tmp_path


PAIR = ["a.safetensors", "b.safetensors"]
OUT = ["--out", "out.safetensors"]
WORDS = [
    *([["align", *PAIR, "--spec", "spec.txt", *OUT, "--restarts", text] for text in (HUGE, "-1", "1.5", "10001")]),
    *([["align", *PAIR, "--spec", "spec.txt", *OUT, "--seed", text] for text in (HUGE, str(2**63), "nan")]),
    *([["merge", *PAIR, "--method", "linear", *OUT, "--weights", text] for text in ("nan,1", "inf,1", "1e308,1e308")]),
    *([["merge", *PAIR, "--method", "linear", *OUT, "--weights", text] for text in ("1,-0.9999999999999999", "x,1")]),
    *([["same", *PAIR, "--spec", "spec.txt", "--bits", text] for text in ("0", "1", "33", HUGE)]),
    *([["perturb", PAIR[0], "--spec", "spec.txt", "--out", "p", "--num", text] for text in ("0", "1000000000000")]),
    *([["perturb", PAIR[0], "--spec", "spec.txt", "--out", "p", "--sigma", text] for text in ("inf", "-1", "nan")]),
    *([["perturb", PAIR[0], "--spec", "spec.txt", "--out", "p", "--max-scale", text] for text in ("0.5", "inf")]),
    *([["inspect", "--model", "number_nets:make", "--input", text] for text in (HUGE, "999999,999999", "0,3", "1,٣x")]),
    *([["zoo", "make", "digits_mlp_tanh", "--out", "z", "--num", text] for text in ("0", "1000000000000", HUGE)]),
    *([["interpolate", "orbit_inr_digits", "--out", "o", "--copies", text] for text in ("1", "1000000000", HUGE)]),
    *([["finetune", ".", "--out", "t", "--learning-rate", text] for text in ("inf", "nan", "0", "1e30")]),
    *([["finetune", ".", "--out", "t", "--l1", text] for text in ("inf", "-1")]),
    *([["finetune", ".", "--out", "t", "--seed", text] for text in (HUGE, str(2**63), "-1")]),
    *([["finetune", ".", "--out", "t", "--epochs", text] for text in (HUGE, "1000000000000")]),
    *([["train", "amortize_digits", "--out", "t", "--train.steps", text] for text in (HUGE, "10000000000")]),
    *([["train", "amortize_digits", "--out", "t", "--model.width", text] for text in ("1000000", "0")]),
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: f"{words[0]} {words[-2]} {words[-1][:20]}")
def test_a_number_out_of_range_is_refused_by_name_before_any_work(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(words, "weight" if words[-2] == "--weights" else words[-2], folder, capsys)


MODELS = "models: [{model: a.safetensors, parameters: {weight: %s}}, {model: b.safetensors, parameters: {weight: %s}}]"
RECIPES = [
    ("[" * 10_000, "cannot read recipe.yaml: maximum recursion depth"),
    (f"merge_method: aligned\nspec: spec.txt\nrestarts: {HUGE}\nmodels: [a.safetensors, b.safetensors]", "cannot read"),
    (f"merge_method: aligned\nspec: spec.txt\nseed: {'9' * 40}\nmodels: [a.safetensors, b.safetensors]", "seed:"),
    (f"merge_method: linear\n{MODELS % ('1', '-0.9999999999999999')}", "the weights add up to 1.11022e-16"),
    (f"merge_method: linear\n{MODELS % ('0.1', '-0.1')}", "the weights add up to 0"),
    (f"merge_method: linear\n{MODELS % ('1e308', '1.0e+308')}", "models.0.parameters.weight: must be at most 1e+09"),
    (f"merge_method: linear\n{MODELS % ('.nan', '1')}", "models.0.parameters.weight: Input should be a finite number"),
    (f"merge_method: linear\nmodels: [{'x' * 5000}, b.safetensors]", "xxx"),
    ("1: 2", "holds no 'name: value' lines"),
    ("merge_method: \x00", "cannot read recipe.yaml"),
]


@pytest.mark.parametrize(("text", "message"), RECIPES, ids=range(len(RECIPES)))
def test_a_recipe_that_says_nothing_sound_is_refused(
    text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "recipe.yaml").write_text(text)
    refused(["merge", "recipe.yaml", *OUT], message, folder, capsys)
    if "models" not in text:
        refused(["train", "amortize_digits", "--config", "recipe.yaml", "--out", "t"], "recipe.yaml", folder, capsys)


@pytest.mark.usefixtures("folder")
def test_weights_of_both_signs_that_do_not_cancel_are_merged() -> None:
    assert main(["merge", *PAIR, "--method", "linear", *OUT, "--weights", "2,-1"]) == 0

"""The verb merge: recipes and names, streams and shards, what is refused, and what an interrupt leaves."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from network_files import NETS, SPEC, files_in, random_network, refused, write_damaged, write_shards
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main

LINEAR = ["--method", "linear"]
MODEL = ["--model", "merged_nets:make", "--input", "4,3"]
DIGITS = SPEC.replace("in[3]", "in[64]").replace("out[2]", "out[10]").replace("h0[5]", "h0[16]")

RECIPE = """
merge_method: linear
models:
  - model: a.safetensors
    parameters: {weight: 3}
  - model: b.safetensors
base_model: b.safetensors
dtype: float16
output: merged.safetensors
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two unrelated networks, a copy of the first in another gauge, and the module that makes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "merged_nets.py").write_text(
        f"{NETS}\ndef digits():\n    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
    )
    (tmp_path / "spec.txt").write_text(SPEC)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    spec, first = ws.parse(SPEC), random_network(0)
    save_file(first, tmp_path / "a.safetensors", {"epoch": "1"})
    save_file(random_network(2), tmp_path / "b.safetensors", {"epoch": "2"})
    save_file(ws.act(ws.sample(spec, 1), first, spec), tmp_path / "copy.safetensors")
    return tmp_path


def merged(name: str = "merged.safetensors") -> dict[str, torch.Tensor]:
    return load_file(name)


@pytest.mark.usefixtures("folder")
def test_a_recipe_gives_the_weighted_mean_with_the_metadata_of_the_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "recipe.yaml"]) == 0
    a, b = load_file("a.safetensors"), load_file("b.safetensors")
    torch.testing.assert_close(merged(), {name: (0.75 * a[name] + 0.25 * b[name]).half() for name in a})
    with safe_open("merged.safetensors", framework="pt") as file:
        assert file.metadata() == {"epoch": "2"}
    assert "merged: merged.safetensors" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_a_uniform_soup_is_the_plain_average() -> None:
    words = ["merge", "a.safetensors", "b.safetensors", "--method", "uniform", "--out", "merged.safetensors"]
    assert main(words) == 0
    a, b = load_file("a.safetensors"), load_file("b.safetensors")
    torch.testing.assert_close(merged(), {name: (a[name] + b[name]) / 2 for name in a})


def test_shards_metadata_and_counters_of_the_first_stay(folder: Path) -> None:
    a, b = load_file("a.safetensors"), load_file("b.safetensors")
    write_shards(folder / "left", {**a, "steps": torch.tensor(7)}, per_shard=2)
    write_shards(folder / "right", {**b, "steps": torch.tensor(9)}, per_shard=3)
    assert main(["merge", "left", "right", "--method", "linear", "--out", "out"]) == 0
    assert files_in(folder / "out") == files_in(folder / "left")
    index, before = (
        json.loads((folder / name / "model.safetensors.index.json").read_text()) for name in ("out", "left")
    )
    assert index == before
    found = {}
    for file in set(index["weight_map"].values()):
        found |= load_file(folder / "out" / file)
        with safe_open(folder / "out" / file, framework="pt") as new, safe_open(folder / "left" / file, "pt") as old:
            assert new.metadata() == old.metadata()
    torch.testing.assert_close(found.pop("steps"), torch.tensor(7))
    torch.testing.assert_close(found, {name: (a[name] + b[name]) / 2 for name in a})


@pytest.mark.usefixtures("folder")
def test_saved_elements_bring_the_networks_to_one_gauge() -> None:
    words = ["align", "a.safetensors", "copy.safetensors", *MODEL, "--out", "x.pt", "--element", "e.safetensors"]
    assert main(words) == 0
    lines = "models: [a.safetensors, {model: copy.safetensors, element: e.safetensors}]"
    Path("moved.yaml").write_text(f"merge_method: linear\n{lines}\n")
    assert main(["merge", "moved.yaml", "--out", "merged.safetensors"]) == 0
    torch.testing.assert_close(merged(), load_file("a.safetensors"))


@pytest.mark.usefixtures("folder")
def test_aligned_networks_are_averaged_in_the_gauge_of_the_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "a.safetensors", "copy.safetensors", *MODEL, "--out", "merged.safetensors"]) == 0
    torch.testing.assert_close(merged(), load_file("a.safetensors"), rtol=1e-4, atol=1e-5)
    assert "certificate: largest output difference" in capsys.readouterr().out
    naive = ["merge", "a.safetensors", "copy.safetensors", "--method", "linear", "--out", "naive.safetensors"]
    assert main(naive) == 0
    assert not torch.allclose(merged("naive.safetensors")["0.weight"], load_file("a.safetensors")["0.weight"], atol=0.1)


def test_batch_normalization_is_repaired_unless_the_recipe_says_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "normed_nets.py").write_text(
        "from torch import nn\n\ndef make():\n"
        "    return nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10)).eval()\n"
    )
    import normed_nets

    for seed, name in enumerate("pq"):
        torch.manual_seed(seed)
        save_file(normed_nets.make().state_dict(), f"{name}.safetensors")
    words = ["p.safetensors", "q.safetensors", "--model", "normed_nets:make", "--input", "2,64", "--images", "digits"]
    results = []
    for more, said in (([], "repair"), (["--statistics", "none"], "none")):
        assert main(["merge", *words, *more, "--out", "merged.safetensors"]) == 0
        assert f"matched by features; statistics: {said}" in capsys.readouterr().out
        results.append(merged())
        Path("merged.safetensors").unlink()
    assert not torch.allclose(results[0]["1.running_var"], results[1]["1.running_var"])


def test_with_normalizations_weights_match_order_alone_unless_networks_share_a_past(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "layered_nets.py").write_text(
        "from torch import nn\n\ndef make():\n"
        "    return nn.Sequential(nn.Linear(9, 16), nn.RMSNorm(16), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))\n"
    )
    import layered_nets

    spec = ws.derive(layered_nets.make(), torch.zeros(2, 9))
    p, q = (random_network(seed, ws.to_text(spec)) for seed in range(2))
    save_file(p, "p.safetensors")
    save_file(q, "q.safetensors")
    save_file(ws.act(ws.sample(spec, 1), p, spec), "of_p.safetensors")
    Path("whole.yaml").write_text(
        "models: [p.safetensors, q.safetensors]\nmerge_method: aligned\narchitecture: layered_nets:make\n"
        "input: 2,9\npermutations_only: false\n"
    )
    model = ["--model", "layered_nets:make", "--input", "2,9"]
    for place, (words, said) in enumerate(
        (
            (["p.safetensors", "of_p.safetensors", *model], "matched by weights;"),
            (["p.safetensors", "q.safetensors", *model], "matched by weights, permutations only;"),
            (["whole.yaml"], "matched by weights;"),
        )
    ):
        assert main(["merge", *words, "--out", f"merged{place}.safetensors"]) == 0
        assert said in capsys.readouterr().out
    torch.testing.assert_close(merged("merged0.safetensors"), p, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "more",
    [
        (["--method", "greedy"], "matched by features; statistics: none"),
        (["--statistics", "repair", "--match", "weights"], "matched by weights; statistics: repair"),
        (["--statistics", "reestimate"], "matched by features; statistics: reestimate"),
        (["--permutations-only"], "matched by features, permutations only; statistics: none"),
    ],
)
def test_images_choose_networks_and_mend_statistics(
    more: tuple[list[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate("pqr"):
        save_file(random_network(seed, DIGITS), f"{name}.safetensors")
    names = [f"{name}.safetensors" for name in "pqr"]
    model = ["--model", "merged_nets:digits", "--input", "2,64", "--images", "digits"]
    assert main(["merge", *names, *model, *more[0], "--out", "merged.safetensors"]) == 0
    text = capsys.readouterr().out
    assert "accuracy (%)" in text
    assert more[1] in text
    loss = float(re.findall(r"\d+\.\d+", next(line for line in text.splitlines() if "merged" in line))[0])
    naive = float(text.split("(naive): ")[1].split()[0])
    assert ("worse than naive" in text) == (loss > naive)
    assert ws.parse(DIGITS).check(merged()) is None


@pytest.mark.parametrize(
    "words", [["recipe.yaml"], ["a.safetensors", "b.safetensors", "--spec", "spec.txt", "--out", "o.pt"]]
)
def test_a_dry_run_prints_the_plan_and_writes_nothing(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_in(folder)
    assert main(["merge", *words, "--dry-run"]) == 0
    assert files_in(folder) == before
    text = capsys.readouterr().out
    for said in ("a.safetensors", "parameters: 32 in 4 tensors", "memory: about", "Nothing was written"):
        assert said in text


BAD_RECIPES = {
    "unknown key": (RECIPE + "merge_methd: x\n", "merge_methd: there is no such key. Did you mean 'merge_method'?"),
    "unknown key of a model": (
        RECIPE.replace("- model: b.safetensors", "- modle: b.safetensors"),
        "models.1.modle: there is no such key. Did you mean 'model'?",
    ),
    "unknown parameter": (RECIPE.replace("weight: 3", "wieght: 3"), "there is no such key. Did you mean 'weight'?"),
    "unknown method": (
        RECIPE.replace("linear", "slerp"),
        "merge_method: Input should be 'linear', 'uniform', 'aligned' or 'greedy'",
    ),
    "weights beside the models": (RECIPE + "weights: [3, 1]\n", "Write parameters: {weight: 0.5} under each model"),
    "other words": (RECIPE.replace("merge_method", "method"), "Did you mean 'merge_method'?"),
    "uniform with weights": (RECIPE.replace("linear", "uniform"), "merge_method uniform gives no network a weight"),
    "features for linear": (RECIPE + "match: features\n", "merge_method linear uses no images"),
    "features without images": (
        RECIPE.replace("linear", "aligned") + "architecture: merged_nets:make\ninput: 4,3\nmatch: features\n",
        "needs both 'images'",
    ),
    "no method": (RECIPE.replace("merge_method: linear", ""), "merge_method: Field required"),
    "one model": (RECIPE.replace("  - model: b.safetensors\n", ""), "models: Tuple should have at least 2 items"),
    "weight is no number": (RECIPE.replace("weight: 3", "weight: .nan"), "weight: Input should be a finite number"),
    "weights cancel": (RECIPE.replace("weight: 3", "weight: -1"), "the weights add up to 0"),
    "strange base": (
        RECIPE.replace("base_model: b", "base_model: c"),
        "base_model c.safetensors is not among the models",
    ),
    "no architecture": (RECIPE.replace("linear", "aligned"), "needs the architecture"),
    "greedy without images": (
        RECIPE.replace("linear", "greedy").replace("weight: 3", "weight: 1") + "spec: spec.txt\n",
        "needs both 'images'",
    ),
    "images for linear": (RECIPE + "images: digits\n", "merge_method linear uses no images"),
    "no YAML": ("models: [a, b", "cannot read bad.yaml"),
    "no mapping": ("- a\n- b\n", "bad.yaml holds no 'name: value' lines"),
    "no place": (RECIPE.replace("output: merged.safetensors", ""), "the result has no place to go"),
    "too large for the type": (
        RECIPE.replace("b.safetensors", "large.safetensors"),
        "of the result does not fit float16",
    ),
    "element of another network": (
        RECIPE.replace("- model: b.safetensors", "- model: b.safetensors\n    element: a.safetensors"),
        "is no file of an element",
    ),
}

OUT = ["--method", "linear", "--out", "merged.safetensors"]
BAD_WORDS = {
    "missing key": (["short.safetensors", *OUT], "short.safetensors lacks parameter '0.bias' of a.safetensors"),
    "other architecture": (["wide.safetensors", *OUT], "has shape [7] in wide.safetensors and [5] in"),
    "other classes": (["classes.safetensors", *OUT], "with the same classes"),
    "not finite": (["nan.safetensors", *OUT], "nan.safetensors: parameter '2.weight' holds values that are not finite"),
    "truncated": (["cut.safetensors", *OUT], "cut.safetensors is not a readable safetensors file"),
    "missing network": (["none.safetensors", *OUT], "none.safetensors"),
    "missing shard": (["gap", *OUT], "model-00002-of-00002.safetensors"),
    "wrong spec": (
        ["b.safetensors", "--out", "merged.safetensors", "--spec", "other.txt"],
        "parameter '0.weight' has shape",
    ),
    "spec that the module breaks": (
        ["b.safetensors", "--out", "merged.safetensors", "--spec", "wrong.txt", *MODEL],
        "the spec does not hold for Sequential",
    ),
    "replaces an input": (
        ["b.safetensors", *LINEAR, "--overwrite", "--out", "b.safetensors"],
        "replace its input",
    ),
    "weights of another number": (["b.safetensors", *OUT, "--weights", "1,2,3"], "--weights names 3 numbers for 2"),
    "weights in words": (["b.safetensors", *OUT, "--weights", "half"], "are no numbers"),
    "unknown method": (
        ["b.safetensors", "--method", "ties", "--out", "x.pt"],
        "merge_method: Input should be 'linear'",
    ),
    "a recipe among networks": (["recipe.yaml", *OUT], "recipe.yaml"),
    "images of another size": (
        ["b.safetensors", *MODEL, "--images", "digits", "--out", "merged.safetensors"],
        "images of 'digits' come in the shapes [64], [1, 8, 8], [8, 8]; the module's input",
    ),
    "unknown images": (["b.safetensors", *MODEL, "--images", "digit", "--out", "x.pt"], "Did you mean 'digits'?"),
}


@pytest.fixture
def bad(folder: Path) -> Path:
    """The folder with everything that can be wrong with a network."""
    a = load_file("a.safetensors")
    save_file({name: value * 1e6 for name, value in a.items()}, "large.safetensors")
    write_damaged(folder, folder / "a.safetensors")
    return folder


@pytest.mark.parametrize("name", BAD_RECIPES)
def test_a_bad_recipe_ends_with_code_2_one_message_and_no_output(
    name: str, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = BAD_RECIPES[name]
    (bad / "bad.yaml").write_text(text)
    refused(["merge", "bad.yaml"], message, bad, capsys)


@pytest.mark.parametrize("name", BAD_WORDS)
def test_bad_networks_end_with_code_2_one_message_and_no_output(
    name: str, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = BAD_WORDS[name]
    refused(["merge", "a.safetensors", *words], message, bad, capsys)


def test_an_unreadable_recipe_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    refused(["merge", "bytes.yaml"], "cannot read bytes.yaml", folder, capsys)
    refused(["merge", "none.yaml"], "cannot read none.yaml: No such file", folder, capsys)


SLOW = """
import sys, time
from weightspace.files import checkpoint
read = checkpoint.Checkpoint.entries
def slowly(*args):
    print("reading", flush=True)
    time.sleep(0.2)
    return read(*args)
checkpoint.Checkpoint.entries = slowly
from weightspace.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("out", ["merged.safetensors", "merged"])
def test_a_killed_merge_leaves_no_output_and_the_same_command_then_succeeds(out: str, folder: Path) -> None:
    for name in ("a", "b"):
        write_shards(folder / name, load_file(f"{name}.safetensors"), per_shard=1)
    words = ["merge", "a", "b", "--method", "linear", "--out", out]
    env = os.environ | {"PYTHONPATH": str(Path(ws.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not (folder / out).exists()
    assert any(name.endswith(".tmp") for name in files_in(folder))
    assert main(words) == 0
    assert (folder / out).exists()
    assert not any(name.endswith(".tmp") for name in files_in(folder))


MEMORY = """
import resource, sys
from weightspace.cli import main
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert main(["merge", "a", "b", "--method", "linear", "--out", "first"]) == 0
# Loading torch has a peak of its own: fill memory up to it, so that all that comes on top is seen.
ballast, start = [], peak()
while peak() < start + 2**20:
    ballast.append(b"x" * 2**20)
before = peak()
if sys.argv[1] == "streamed":
    assert main(["merge", "c", "d", "e", "--method", "linear", "--out", "out"]) == 0
else:
    from pathlib import Path
    from weightspace.files.checkpoint import open_checkpoint
    kept = [value + 0 for value in open_checkpoint(Path("c")).load().values()]
print(peak() - before)
"""


@pytest.mark.parametrize(("how", "dtype"), [("streamed", "bfloat16"), ("loaded", "bfloat16")])
def test_a_streamed_merge_takes_no_more_memory_than_two_shards_and_a_tensor(how: str, dtype: str, folder: Path) -> None:
    """One tensor a shard in half precision: sums in float32 of whole tensors alone would take two thirds of it."""
    per_shard, some = 1, torch.randn(2304, 2304).to(getattr(torch, dtype))
    tensor = some.numel() * some.itemsize
    for name in "cde" if how == "streamed" else "c":
        write_shards(
            folder / name, {f"w{k}": some.clone() for k in range(4 if how == "streamed" else 6)}, per_shard=per_shard
        )
    for name in "ab":
        write_shards(folder / name, load_file(f"{name}.safetensors"))
    env = os.environ | {"PYTHONPATH": str(Path(ws.__file__).parents[1])}
    words = [sys.executable, "-c", MEMORY, how]
    done = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
    taken = int(done.stdout.split()[-1])
    assert (taken <= (2 * per_shard + 1) * tensor) == (how == "streamed")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
def test_whole_numbers_have_no_mean_and_no_scale(
    dtype: torch.dtype, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        params = load_file(f"{name}.safetensors")
        whole = (20 * params["2.weight"]).abs().to(dtype)
        save_file(params | {"2.weight": whole}, f"{name}_whole.safetensors")
    pair = ["a_whole.safetensors", "b_whole.safetensors"]
    word = str(dtype).removeprefix("torch.")
    for method in (["--method", "linear"], ["--spec", "spec.txt"]):
        refused(["merge", *pair, *method, "--out", "m.safetensors"], f"'2.weight' is {word}", folder, capsys)
    refused(["align", *pair, "--spec", "spec.txt", "--out", "x.safetensors"], f"'2.weight' is {word}", folder, capsys)
    for words in (["canonicalize", pair[0]], ["perturb", pair[0]]):
        refused(
            [*words, "--spec", "spec.txt", "--out", "x.safetensors"[: 1 if words[0] == "perturb" else None]],
            f"'2.weight' is {word}",
            folder,
            capsys,
        )
    # Equal ones are nobody's mean: they stay.
    assert main(["merge", pair[0], pair[0], "--method", "linear", "--out", "m.safetensors"]) == 0
    assert torch.equal(load_file("m.safetensors")["2.weight"], load_file(pair[0])["2.weight"])
    # Permutations are exact.
    assert main(["perturb", pair[0], "--spec", "spec.txt", "--kind", "permutations", "--out", "p"]) == 0
    back = ["move", "p/copy-0000.safetensors", "--by", "p/elements/copy-0000.safetensors", "--inverse"]
    assert main([*back, "--out", "back.safetensors"]) == 0
    assert all(torch.equal(value, load_file(pair[0])[name]) for name, value in load_file("back.safetensors").items())

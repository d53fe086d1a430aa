"""One reader: whatever a training loop puts around a network, its tensors come out to the bit, or one message."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

import weightspace as ws
from weightspace.files.checkpoint import open_checkpoint, open_network
from weightspace.files.writer import write_like

SPEC = ws.parse(
    "in[3] fixed\nh0[5] positive\nout[2] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out\n"
)
PARAMS = {name: value[0].float().contiguous() for name, value in ws.testing.random_params(SPEC, 1, seed=0).items()}


def equal(read: dict[str, Tensor], want: dict[str, Tensor]) -> bool:
    return list(read) == list(want) and all(
        torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in want.items()
    )


def saved(folder: Path, value: Any, name: str = "net.pt") -> Path:
    torch.save(value, folder / name)
    return folder / name


def prefixed(prefix: str, params: dict[str, Tensor] = PARAMS) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in params.items()}


MOMENTS = {"state": {0: {"step": 3, "exp_avg": torch.ones(5, 3)}}, "param_groups": [{"lr": 1e-3}]}
LIGHTNING = {
    "epoch": 3,
    "global_step": 12,
    "state_dict": prefixed("model."),
    "optimizer_states": [MOMENTS],
    "hyper_parameters": {"lr": np.float64(1e-3), "where": Path("runs"), "flags": argparse.Namespace(a=1)},
}
LAYOUTS = {
    "bare": (PARAMS, ()),
    "state_dict": ({"state_dict": PARAMS, "epoch": 3}, ("epoch",)),
    "model_state_dict": (
        {"model_state_dict": PARAMS, "optimizer_state_dict": MOMENTS, "loss": 0.5},
        ("optimizer_state_dict", "loss"),
    ),
    "module": ({"module": PARAMS, "dp_world_size": 1}, ("dp_world_size",)),
    "twice nested": ({"model": {"state_dict": PARAMS, "kind": "mlp"}, "step": 1}, ("step", "model.kind")),
    "an unknown word": ({"classifier": PARAMS, "optimizer": MOMENTS}, ("optimizer",)),
    "beside a score": ({"model": PARAMS, "best": torch.tensor(0.9)}, ("best",)),
    "an average beside": ({"model": PARAMS, "model_ema": prefixed("module.")}, ("model_ema",)),
    "lightning": (LIGHTNING, ("epoch", "global_step", "optimizer_states", "hyper_parameters")),
    "scalars beside": (PARAMS | {"epoch": 3, "n": torch.tensor(7)}, ("epoch", "n")),
    "parameters": ({name: nn.Parameter(value) for name, value in PARAMS.items()}, ()),
    "with gradients": ({name: value.clone().requires_grad_() for name, value in PARAMS.items()}, ()),
    "parts": ({"model": {"0": {"weight": PARAMS["0.weight"], "bias": PARAMS["0.bias"]}, "2": {"weight": PARAMS[
        "2.weight"], "bias": PARAMS["2.bias"]}}}, ()),
    "legacy": (PARAMS, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_stands_around_a_network_changes_nothing(name: str, tmp_path: Path) -> None:
    value, left_out = LAYOUTS[name]
    torch.save(value, tmp_path / "net.ckpt", _use_new_zipfile_serialization=name != "legacy")
    found = open_network(tmp_path / "net.ckpt", SPEC)
    assert equal(found.load(), PARAMS)
    assert found.left_out == left_out


WORDS = st.lists(st.sampled_from(["module", "_orig_mod", "model", "net", "policy"]), max_size=4)


@given(WORDS, WORDS)
def test_words_before_all_names_go_on_both_sides(tmp_path_factory: Any, before: list[str], ours: list[str]) -> None:
    """Of the file and of the architecture; what is written has the names of the file."""
    folder = tmp_path_factory.mktemp("net")
    outer, inner = ("".join(f"{word}." for word in words) for words in (before, ours))
    spec = ws.SymmetrySpec(SPEC.spaces, tuple((inner + name, axes) for name, axes in SPEC.params))
    save_file(prefixed(outer), folder / "net.safetensors", {"about": "it"})
    found = open_network(folder / "net.safetensors", spec)
    assert equal(found.load(), prefixed(inner))
    write_like(found, folder / "out.safetensors", lambda name: [found.read(name) + 1])
    written = open_checkpoint(folder / "out.safetensors")
    assert set(written.tensors) == set(prefixed(outer))
    assert written.metadata == {"about": "it"}
    plus = {name: value + 1 for name, value in prefixed(inner).items()}
    assert equal(open_network(folder / "out.safetensors", spec).load(), plus)


def test_a_compiled_part_inside_a_network_is_that_part(tmp_path: Path) -> None:
    compiled = {name.replace("2.", "2._orig_mod."): value for name, value in PARAMS.items()}
    assert equal(open_network(saved(tmp_path, compiled), SPEC).load(), PARAMS)


def test_a_tensor_too_many_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    """Negative control of what is left out: only scalars are."""
    for name in ("4.weight", "head.weight", "model.4.weight"):
        path = saved(tmp_path, prefixed("model.") | {name: torch.ones(2, 2)})
        with pytest.raises(ws.SpecMismatch, match="is not part of this architecture"):
            open_network(path, SPEC)


def test_two_networks_in_one_file_are_not_chosen_from(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": prefixed("student.") | prefixed("teacher.")})
    with pytest.raises(ws.SpecMismatch, match=r"there twice, under 'student\.' and 'teacher\.'"):
        open_network(path, SPEC)


def test_a_tied_tensor_may_be_there_once(tmp_path: Path) -> None:
    spec = ws.parse("in[3] fixed\nh0[5]\n\nembed.weight in h0\nhead.weight in h0\nhead.bias in\n")
    weight, bias = torch.randn(3, 5), torch.randn(3)
    ties = [("embed.weight", "head.weight")]
    for name in ties[0]:
        save_file({"model.head.bias": bias, f"model.{name}": weight}, tmp_path / "net.safetensors")
        found = open_network(tmp_path / "net.safetensors", spec, ties)
        assert equal(found.load(), {"embed.weight": weight, "head.weight": weight, "head.bias": bias})
        write_like(found, tmp_path / "out.safetensors", lambda name, found=found: [found.read(name) * 2])
        out = open_checkpoint(tmp_path / "out.safetensors")
        assert out.tensors.keys() == {"model.head.bias", f"model.{name}"}
        assert equal(open_network(out.path, spec, ties).load(), {n: v * 2 for n, v in found.load().items()})
        with pytest.raises(ws.SpecMismatch, match="is missing"):
            open_network(tmp_path / "net.safetensors", spec)


def test_torch_files_are_written_as_the_plain_state_dict_with_scalars_kept(tmp_path: Path) -> None:
    value = {"state_dict": prefixed("model.") | {"model.steps": torch.tensor(7)}, "optimizer": MOMENTS}
    found = open_network(saved(tmp_path, value), SPEC)
    write_like(found, tmp_path / "out.pt", lambda name: [found.read(name) - 1])
    written = torch.load(tmp_path / "out.pt", weights_only=True)
    assert equal(written, {**{n: v - 1 for n, v in prefixed("model.").items()}, "model.steps": torch.tensor(7)})


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("end", ["safetensors", "pt", "bin"])
def test_number_types_are_read_and_written_as_they_are(dtype: torch.dtype, end: str, tmp_path: Path) -> None:
    params = {name: value.to(dtype) for name, value in PARAMS.items()}
    if end == "safetensors":
        save_file(params, tmp_path / f"net.{end}")
    else:
        torch.save(params, tmp_path / f"net.{end}")
    found = open_network(tmp_path / f"net.{end}", SPEC)
    write_like(found, tmp_path / f"out.{end}", lambda name: [found.read(name).double()])
    read = open_network(tmp_path / f"out.{end}", SPEC).load()
    assert [value.dtype for value in read.values()] == [dtype] * 4
    assert all(torch.equal(read[name].double(), value.double()) for name, value in params.items())


def quantized() -> Tensor:
    with pytest.warns(UserWarning, match="quantize"):
        return torch.quantize_per_tensor(PARAMS["0.weight"], 0.1, 0, torch.qint8)


BAD = {
    "numbers as names": (lambda: {0: PARAMS["0.weight"]}, "names a tensor by 0, not by a word"),
    "sparse": (lambda: PARAMS | {"0.weight": PARAMS["0.weight"].to_sparse()}, "'0.weight' is stored as a sparse"),
    "meta": (lambda: PARAMS | {"0.bias": torch.empty(5, device="meta")}, "'0.bias' has no numbers"),
    "quantized": (lambda: PARAMS | {"0.weight": quantized()}, "'0.weight' is quantized"),
    "complex": (lambda: PARAMS | {"0.bias": PARAMS["0.bias"] + 5j}, "'0.bias' is in numbers of type complex64"),
    "a module": (lambda: nn.Linear(3, 2), "an object of torch.nn.modules.linear.Linear, whose code would be run"),
    "a function": (lambda: {"a": print}, "an object of print, whose code would be run"),
    "no tensors": (lambda: {"epoch": 3}, "holds no state_dict"),
    "a tensor": (lambda: torch.ones(3), "holds no state_dict"),
    "a list": (lambda: [torch.ones(3)], "holds no state_dict"),
    "not finite": (lambda: PARAMS | {"2.bias": torch.tensor([1.0, torch.inf])}, "'2.bias' holds values that are not"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_readable_network_gets_one_message(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    path = saved(tmp_path, make())
    with pytest.raises(ws.WeightSpaceError) as error:
        open_network(path, SPEC).load()
    assert message in str(error.value)
    assert str(path) in str(error.value)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_damaged_torch_file_is_read_or_refused(tmp_path_factory: Any, place: int, byte: int) -> None:
    """Cut at any place, or with any byte changed: an answer or a message, never a traceback."""
    path = saved(tmp_path_factory.mktemp("net"), {"state_dict": PARAMS})
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    for damaged in (content, content[: place % len(content)]):
        path.write_bytes(damaged)
        try:
            open_network(path, SPEC).load()
        except ws.WeightSpaceError as error:
            assert str(path) in str(error)  # noqa: PT017 (either answer is right)


def test_what_is_not_there_does_not_exist(tmp_path: Path) -> None:
    for name in ("net.pt", "net.safetensors", "folder", "a/b/net.npz"):
        with pytest.raises(ws.ConfigError, match=r"does not exist. Check the path, e\.g\. with: ls "):
            open_checkpoint(tmp_path / name)

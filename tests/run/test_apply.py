"""Applying an operator keeps names, dtypes and metadata; wrong input is refused before anything is written."""

import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from weightspace import ConfigError, SpecMismatch
from weightspace.files import atomic
from weightspace.run import apply, models, record
from weightspace.zoo import MLP, Zoo


@pytest.fixture(scope="module")
def network(zoo_dir):
    zoo = Zoo.open(zoo_dir)
    return {name: value[0] for name, value in zoo.load([0]).items()}


def write(path, params, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in params.items()}, path, metadata)
    return path


def test_one_network_is_changed_as_the_operator_says(evaluated, network, tmp_path):
    rows = apply(evaluated, write(tmp_path / "a.safetensors", network), tmp_path / "b.safetensors")
    got, _ = atomic.load_tensors(tmp_path / "b.safetensors")
    model = models.load(evaluated / record.CHECKPOINT).module
    want = model({name: value[None] for name, value in network.items()})
    assert got.keys() == network.keys()
    assert all(torch.allclose(got[name], want[name][0], atol=1e-6) for name in network)
    (row,) = rows
    assert row.max_change == pytest.approx(max(float((got[n] - network[n]).abs().max()) for n in network), rel=1e-4)
    assert 0 <= row.before <= 1
    assert 0 <= row.after <= 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtype_and_metadata_are_kept(evaluated, network, tmp_path, dtype):
    cast = {name: value.to(dtype) for name, value in network.items()}
    apply(evaluated, write(tmp_path / "a.safetensors", cast, {"author": "me"}), tmp_path / "b.safetensors")
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        assert file.metadata() == {"author": "me", "activation": "tanh"}
        assert all(file.get_tensor(name).dtype == dtype for name in network)


def test_another_activation_is_refused_and_an_unnamed_one_assumed(evaluated, network, tmp_path):
    with pytest.raises(SpecMismatch, match="its activation is 'relu', but 'tanh' is needed"):
        apply(evaluated, write(tmp_path / "a.safetensors", network, {"activation": "relu"}), tmp_path / "b.safetensors")
    for metadata, assumed in ((None, True), ({"activation": "tanh"}, False)):
        path = write(tmp_path / "a.safetensors", network, metadata)
        (row,) = apply(evaluated, path, tmp_path / "b.safetensors")
        assert (row.activation, row.assumed) == ("tanh", assumed)


def test_an_output_that_is_not_finite_stops_before_any_is_written(evaluated, network, tmp_path, monkeypatch):
    module = sys.modules["weightspace.run.verbs.apply"]
    real = module.in_passes

    def diverges_on_the_second(model, params, size):
        out = real(model, params, size)
        scale = params["layers.0.bias"][0, 0] / network["layers.0.bias"][0]
        return {name: value * (float("nan") if scale > 1.5 else 1.0) for name, value in out.items()}

    # One network a batch: the first is through before the second is met.
    monkeypatch.setattr(module, "_BATCH", 1)
    monkeypatch.setattr(module, "in_passes", diverges_on_the_second)
    write(tmp_path / "in" / "a.safetensors", network)
    write(tmp_path / "in" / "b.safetensors", {name: value * 2 for name, value in network.items()})
    with pytest.raises(ConfigError, match=r"output for .*b\.safetensors is not finite"):
        apply(evaluated, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_keeps_its_file_names_and_torch_files_stay_torch_files(evaluated, network, tmp_path):
    write(tmp_path / "in" / "a.safetensors", network)
    module = MLP((64, 6, 5, 10))
    module.load_state_dict(network)
    torch.save(module.state_dict(), tmp_path / "in" / "b.pt")
    torch.save({"state_dict": module.state_dict()}, tmp_path / "in" / "c.pth")
    rows = apply(evaluated, tmp_path / "in", tmp_path / "out")
    assert [row.out for row in rows] == [str(tmp_path / "out" / name) for name in ("a.safetensors", "b.pt", "c.pth")]
    saved = torch.load(tmp_path / "out" / "b.pt", weights_only=True)
    want, _ = atomic.load_tensors(tmp_path / "out" / "a.safetensors")
    torch.testing.assert_close(saved, want, atol=1e-6, rtol=1e-5)
    assert rows[0].after == rows[1].after


def test_another_architecture_is_refused_by_its_first_difference(evaluated, network, tmp_path):
    wide = MLP((64, 6, 7, 10)).state_dict()
    write(tmp_path / "in" / "a.safetensors", network)
    write(tmp_path / "in" / "b.safetensors", wide)
    with pytest.raises(
        SpecMismatch, match=r"b\.safetensors: parameter 'layers\.1\.weight' has shape \[7, 6\].*\[5, 6\]"
    ):
        apply(evaluated, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_by_name(evaluated, network, tmp_path, value):
    broken = {name: tensor.clone() for name, tensor in network.items()}
    broken["layers.1.bias"][2] = value
    with pytest.raises(SpecMismatch, match=r"'layers\.1\.bias' holds values that are not finite"):
        apply(evaluated, write(tmp_path / "a.safetensors", broken), tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def test_stacked_networks_are_refused(evaluated, network, tmp_path):
    stacked = {name: torch.stack([value, value]) for name, value in network.items()}
    with pytest.raises(SpecMismatch, match="stacks 2 networks"):
        apply(evaluated, write(tmp_path / "a.safetensors", stacked), tmp_path / "b.safetensors")


def test_files_that_cannot_be_read_are_named(evaluated, network, tmp_path):
    path = write(tmp_path / "a.safetensors", network)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"a\.safetensors is not a readable safetensors file"):
        apply(evaluated, path, tmp_path / "b.safetensors")
    (tmp_path / "a.pt").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"a\.pt cannot be read as a file of tensors"):
        apply(evaluated, tmp_path / "a.pt", tmp_path / "b.pt")
    with pytest.raises(ConfigError, match="does not exist"):
        apply(evaluated, tmp_path / "none.safetensors", tmp_path / "b.safetensors")


def test_a_pickle_that_runs_code_is_refused(evaluated, tmp_path):
    torch.save({"a": print}, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="cannot be read as a file of tensors"):
        apply(evaluated, tmp_path / "a.pt", tmp_path / "b.pt")


def test_a_corrupt_operator_is_named(run_dir, network, tmp_path):
    path = write(tmp_path / "a.safetensors", network)
    checkpoint = run_dir / record.CHECKPOINT
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"checkpoint\.safetensors is not a readable"):
        apply(run_dir, path, tmp_path / "b.safetensors")
    tensors, metadata = {"x": torch.zeros(1)}, {"format": "weightspace-operator-1"}
    atomic.save_tensors(checkpoint, tensors, metadata)
    with pytest.raises(ConfigError, match="is damaged or was written by another version"):
        apply(run_dir, path, tmp_path / "b.safetensors")
    checkpoint.unlink()
    with pytest.raises(ConfigError, match=r"holds no checkpoint\.safetensors"):
        apply(run_dir, path, tmp_path / "b.safetensors")
    with pytest.raises(ConfigError, match="no metanetwork of this library"):
        apply(path, path, tmp_path / "b.safetensors")


def test_a_pretrained_name_is_found_and_a_typo_gets_a_suggestion(evaluated, network, tmp_path, monkeypatch):
    shelf = tmp_path / "pretrained"
    shelf.mkdir()
    (shelf / "digits-tanh.safetensors").write_bytes((evaluated / record.CHECKPOINT).read_bytes())
    monkeypatch.setattr(models, "_PRETRAINED", shelf)
    path = write(tmp_path / "a.safetensors", network)
    assert len(apply("digits-tanh", path, tmp_path / "b.safetensors")) == 1
    with pytest.raises(ConfigError, match="Did you mean 'digits-tanh'"):
        apply("digits-tan", path, tmp_path / "b.safetensors")


def test_results_never_replace_their_input_and_go_where_they_can(evaluated, network, tmp_path):
    path = write(tmp_path / "in" / "a.safetensors", network)
    for out in (path, tmp_path / "in"):
        with pytest.raises(ConfigError, match="would replace its input"):
            apply(evaluated, path, out)
    with pytest.raises(ConfigError, match="must be one as well"):
        apply(evaluated, tmp_path / "in", tmp_path / "b.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        apply(evaluated, path, tmp_path / "file" / "b.safetensors")


def test_an_operator_for_images_that_are_not_here_works_without_accuracies(run_dir, network, tmp_path):
    tensors, metadata = atomic.load_tensors(run_dir / record.CHECKPOINT)
    atomic.save_tensors(run_dir / record.CHECKPOINT, tensors, metadata | {"images": "cifar10"})
    path = write(tmp_path / "a.safetensors", network)
    (row,) = apply(run_dir, path, tmp_path / "b.safetensors")
    assert row.before is row.after is None
    with pytest.raises(ConfigError, match=r"cifar10"):
        apply(run_dir, path, tmp_path / "b.safetensors", data_dir=tmp_path)

"""Fine-tuning a folder or a zoo continues after a kill, and ends in the same files."""

import pytest
import torch
from safetensors.torch import save_file

from weightspace import ConfigError, SpecMismatch
from weightspace.files import atomic
from weightspace.files.results import locked
from weightspace.run import FinetuneConfig, finetune_folder
from weightspace.zoo import MLP, Zoo


@pytest.fixture
def folder(zoo_dir, tmp_path):
    zoo = Zoo.open(zoo_dir)
    networks = zoo.load(range(7))
    (tmp_path / "in").mkdir()
    for index in range(7):
        one = {name: value[index].clone() for name, value in networks.items()}
        save_file(one, tmp_path / "in" / f"{index}.safetensors", {"number": str(index)})
    return tmp_path / "in"


SETTINGS = FinetuneConfig(epochs=2, chunk=3, images="digits", activation="tanh", learning_rate=3e-3)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def test_all_networks_improve_and_keep_their_names_and_metadata(folder, tmp_path):
    rows = finetune_folder(folder, tmp_path / "out", SETTINGS)
    assert [row.name for row in rows] == [f"{index}.safetensors" for index in range(7)]
    assert sum(row.loss_before for row in rows) > sum(row.loss_after for row in rows)
    assert atomic.load_tensors(tmp_path / "out" / "3.safetensors")[1] == {"number": "3", "activation": "tanh"}


def test_an_interrupted_call_continues_and_ends_in_the_same_files(folder, tmp_path):
    finetune_folder(folder, tmp_path / "whole", SETTINGS)

    def stop(done, *_):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune_folder(folder, tmp_path / "cut", SETTINGS, progress=stop)
    assert len(contents(tmp_path / "cut")) == 3
    kept = (tmp_path / "cut" / "0.safetensors").stat().st_mtime_ns
    rows = finetune_folder(folder, tmp_path / "cut", SETTINGS)
    assert len(rows) == 7
    assert (tmp_path / "cut" / "0.safetensors").stat().st_mtime_ns == kept
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_zoo_is_fine_tuned_with_its_own_images_and_activation(zoo_dir, tmp_path):
    rows = finetune_folder(zoo_dir, tmp_path / "out", FinetuneConfig(epochs=1, optimizer="sgd"))
    assert len(rows) == len(Zoo.open(zoo_dir))
    assert rows[0].name == "run-000000-epoch-001.safetensors"
    assert (tmp_path / "out" / rows[0].name).is_file()


def test_other_settings_or_networks_in_the_folder_are_refused(folder, tmp_path):
    finetune_folder(folder, tmp_path / "out", SETTINGS)
    with pytest.raises(ConfigError, match=r"from something else: settings\.epochs is 2 there, 3 here.*--overwrite"):
        finetune_folder(folder, tmp_path / "out", SETTINGS.model_copy(update={"epochs": 3}))
    (folder / "0.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"inputs\.0\.safetensors is [0-9a-f]{16} there, None here"):
        finetune_folder(folder, tmp_path / "out", SETTINGS)
    with pytest.raises(ConfigError, match="would replace"):
        finetune_folder(folder, folder, SETTINGS)


def test_files_need_an_activation_and_images(folder, tmp_path):
    with pytest.raises(ConfigError, match="--activation tanh"):
        finetune_folder(folder, tmp_path / "out", FinetuneConfig())
    with pytest.raises(ConfigError, match="--images digits"):
        finetune_folder(folder, tmp_path / "out", FinetuneConfig(activation="tanh"))


def test_files_that_name_their_activation_need_no_option_and_refuse_another(folder, tmp_path):
    finetune_folder(folder, tmp_path / "once", SETTINGS)
    for path in folder.iterdir():
        path.unlink()
    for path in (tmp_path / "once").glob("*.safetensors"):
        path.rename(folder / path.name)
    finetune_folder(folder, tmp_path / "twice", FinetuneConfig(epochs=1, images="digits"))
    with pytest.raises(SpecMismatch, match="its activation is 'tanh', but 'relu' is needed"):
        finetune_folder(folder, tmp_path / "out", FinetuneConfig(images="digits", activation="relu"))
    assert not (tmp_path / "out").exists()


def test_a_refused_call_leaves_no_folder_and_a_claimed_one_without_results_is_free(folder, tmp_path):
    with pytest.raises(ConfigError, match="mnist"):
        finetune_folder(folder, tmp_path / "out", SETTINGS.model_copy(update={"images": "mnist"}), data_dir=tmp_path)
    (folder / "6.safetensors").write_bytes(b"cut")
    with pytest.raises(ConfigError, match="not a readable"):
        finetune_folder(folder, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()
    (folder / "6.safetensors").unlink()
    atomic.write_json(tmp_path / "out" / "finetune.json", {"settings": {}, "networks": []})
    with locked(tmp_path / "out", "fine-tuning", ConfigError), pytest.raises(ConfigError, match="another process is"):
        finetune_folder(folder, tmp_path / "out", SETTINGS)
    assert len(finetune_folder(folder, tmp_path / "out", SETTINGS)) == 6


def test_networks_of_several_architectures_are_refused_by_the_first_difference(folder, tmp_path):
    save_file(MLP((64, 9, 10)).state_dict(), folder / "x.safetensors")
    with pytest.raises(SpecMismatch, match=r"x\.safetensors.*'layers\.0\.weight' has shape \[9, 64\]"):
        finetune_folder(folder, tmp_path / "out", SETTINGS)
    save_file({"0.weight": torch.zeros(3, 3)}, folder / "+.safetensors")
    with pytest.raises(SpecMismatch, match="is no MLP"):
        finetune_folder(folder, tmp_path / "out", SETTINGS)


def test_results_of_changed_inputs_are_refused_and_replaced_only_when_asked(folder, tmp_path):
    finetune_folder(folder, tmp_path / "out", SETTINGS)
    before = contents(tmp_path / "out")
    swap = (folder / "0.safetensors").read_bytes()
    (folder / "0.safetensors").write_bytes((folder / "1.safetensors").read_bytes())
    with pytest.raises(ConfigError, match=r"inputs\.0\.safetensors is .* Choose another --out, or add --overwrite"):
        finetune_folder(folder, tmp_path / "out", SETTINGS)
    assert contents(tmp_path / "out") == before
    rows = finetune_folder(folder, tmp_path / "out", SETTINGS, overwrite=True)
    assert rows[0].accuracy_before == rows[1].accuracy_before
    after = contents(tmp_path / "out")
    assert after["0.safetensors"] != before["0.safetensors"]
    (folder / "0.safetensors").write_bytes(swap)
    finetune_folder(folder, tmp_path / "out", SETTINGS, overwrite=True)
    assert contents(tmp_path / "out") == before


def test_networks_of_somebody_else_in_the_folder_are_never_removed(folder, tmp_path):
    out, other = tmp_path / "out", SETTINGS.model_copy(update={"epochs": 1})
    finetune_folder(folder, out, SETTINGS)
    (out / "mine.safetensors").write_bytes(b"mine")
    finetune_folder(folder, out, other, overwrite=True)
    assert (out / "mine.safetensors").read_bytes() == b"mine"
    before = contents(out)
    for chunk in (out / "chunks").iterdir():  # no chunk says whose the networks are
        chunk.unlink()
    with pytest.raises(ConfigError, match="add --overwrite"):
        finetune_folder(folder, out, SETTINGS)
    assert contents(out) == before


def test_a_lost_result_is_made_again_and_a_changed_one_is_never_taken_for_it(folder, tmp_path):
    out = tmp_path / "out"
    finetune_folder(folder, out, SETTINGS)
    before = contents(out)
    (out / "4.safetensors").unlink()
    finetune_folder(folder, out, SETTINGS)
    assert contents(out) == before
    (out / "4.safetensors").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"4\.safetensors is not as this command wrote it.*Move it elsewhere"):
        finetune_folder(folder, out, SETTINGS)
    assert (out / "4.safetensors").read_bytes() == b"mine"


def test_a_folder_of_anything_else_is_refused_and_left_alone(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.safetensors").write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"holds '1\.safetensors' and no finetune\.json"):
            finetune_folder(folder, out, SETTINGS, overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == ["1.safetensors"]


def test_networks_that_diverge_say_so(folder, tmp_path):
    rows = finetune_folder(folder, tmp_path / "out", SETTINGS.model_copy(update={"learning_rate": 1e8, "epochs": 1}))
    assert all(row.diverged for row in rows)
    assert all(
        row.diverged
        for row in finetune_folder(
            folder, tmp_path / "out", SETTINGS.model_copy(update={"learning_rate": 1e8, "epochs": 1})
        )
    )
    assert not any(row.diverged for row in finetune_folder(folder, tmp_path / "sound", SETTINGS))

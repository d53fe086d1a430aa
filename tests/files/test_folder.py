"""What paths mean: files, folders, patterns; and where results of many networks go."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weightspace import ConfigError
from weightspace.files.folder import LeftOut, each, files_of, find_networks, network_at
from weightspace.files.writer import targets

PARAMS = {"a": torch.ones(2)}


def network(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(PARAMS, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks ``n/a``, ``n/b``, ``n/deep/c``; a folder of the hub; what is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("n/a", "n/b", "n/deep/c", "n/.hidden"):
        network(tmp_path / f"{name}.safetensors")
    network(tmp_path / "hub/model.safetensors")
    for name in ("n/LICENSE", "n/notes.txt", "hub/config.json", "hub/training_args.bin", "hub/scheduler.pt"):
        (tmp_path / name).write_text("{}")
    return tmp_path


MEANT = {
    "a folder": (["n"], False, ["n/a", "n/b"]),
    "folders inside": (["n"], True, ["n/a", "n/b", "n/deep/c"]),
    "a pattern": (["n/*"], False, ["n/a", "n/b", "n/deep/c"]),
    "a pattern of files": (["n/[b-z]*.safetensors"], False, ["n/b"]),
    "twice": (["n/b.safetensors", "n"], False, ["n/b", "n/a"]),
    "a folder of the hub": (["hub"], False, ["hub/model"]),
    "all": (["."], True, ["hub/model", "n/a", "n/b", "n/deep/c"]),
}


@pytest.mark.parametrize("name", MEANT)
def test_paths_mean_the_networks_in_them(name: str, folder: Path) -> None:
    assert folder.is_dir()
    paths, recursive, meant = MEANT[name]
    found = find_networks([Path(path) for path in paths], recursive=recursive)
    assert [path.as_posix() for path in found] == [f"{path}.safetensors" for path in meant]


BAD = {
    "nothing": ("x", "x does not exist. Check the path, e.g. with: ls ."),
    "no match": ("n/*.onnx", "no file or folder fits"),
    "deeper": (".", "lie in folders inside it. Add --recursive."),
    "empty": ("void", "void holds no file ending in .safetensors, .pt"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_path_without_networks_is_refused(name: str, folder: Path) -> None:
    (folder / "void").mkdir()
    path, message = BAD[name]
    with pytest.raises(ConfigError) as error:
        find_networks([Path(path)])
    assert message in str(error.value)


def test_one_network_is_meant_by_its_file_its_folder_or_its_index(folder: Path) -> None:
    assert network_at(folder / "hub") == folder / "hub/model.safetensors"
    assert network_at(folder / "n/deep") == folder / "n/deep/c.safetensors"
    with pytest.raises(ConfigError, match=r"holds 2 networks. Name one file, e\.g\. .*a\.safetensors"):
        network_at(folder / "n")
    index = folder / "hub/model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model.safetensors"}}')
    assert network_at(folder / "hub") == index
    assert files_of(folder / "hub") == [index, folder / "hub/model.safetensors"]


def test_results_keep_their_names_and_never_meet(folder: Path) -> None:
    out, n = folder / "out", folder / "n"
    files = find_networks([n], recursive=True)
    assert targets(files, [n], out) == [out / "a.safetensors", out / "b.safetensors", out / "deep/c.safetensors"]
    (n / "a.onnx").write_bytes(b"")
    (n / "c.npz").write_bytes(b"")
    assert targets([n / "c.npz", n / "b.safetensors"], [n], out) == [out / "c.npz", out / "b.safetensors"]
    assert targets([n / "a.onnx"], [n / "a.onnx"], folder / "a.pt") == [folder / "a.pt"]
    with pytest.raises(ConfigError, match="would both be written to"):
        targets([n / "a.onnx", n / "a.safetensors"], [n], out)
    with pytest.raises(ConfigError, match=r"should end in \.safetensors"):
        targets([n / "a.onnx"], [n / "a.onnx"], folder / "b.onnx")
    with pytest.raises(ConfigError, match="there are 2 networks, so --out"):
        targets(files[:2], files[:2], folder / "new.pt")


def test_what_cannot_be_used_is_left_out_or_an_error(folder: Path) -> None:
    def use(path: Path) -> str:
        if path.stem == "b":
            raise ConfigError(f"{path}: is bad")
        return path.stem

    files, left_out = find_networks([folder / "n"]), []
    assert [made for _, made in each(files, use, left_out)] == ["a"]
    assert left_out == [LeftOut(folder / "n/b.safetensors", "is bad")]
    with pytest.raises(ConfigError, match="is bad"):
        list(each(files, use, None))

"""A network in shards is the network in one file; an index that does not fit its shards is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weightspace import ConfigError
from weightspace.files.checkpoint import open_checkpoint
from weightspace.files.folder import find_networks
from weightspace.files.writer import write_like

PARAMS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.float16), "c": torch.zeros(2)}
PLACES = {"a": "model-1-of-2.safetensors", "b": "model-1-of-2.safetensors", "c": "model-2-of-2.safetensors"}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    for file in set(PLACES.values()):
        part = {name: value for name, value in PARAMS.items() if PLACES[name] == file}
        save_file(part, tmp_path / file, {"made": "by hand"})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 38}, "weight_map": PLACES}))
    return path


def test_shards_read_as_one_network_from_the_index_or_its_folder(index):
    for path in (index, index.parent):
        read = open_checkpoint(path).load()
        assert list(read) == list(PARAMS)
        assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in PARAMS.items())
    assert find_networks([index.parent]) == [index]
    assert open_checkpoint(index).metadata == {"made": "by hand"}


def test_shards_written_like_an_index_read_back(index, tmp_path):
    other = tmp_path / "out"
    write_like(open_checkpoint(index), other, lambda name: [PARAMS[name] + 1], metadata={"made": "again"})
    assert {path.name for path in other.iterdir()} == {index.name, *PLACES.values()}
    assert json.loads((other / index.name).read_text()) == json.loads(index.read_text())
    assert open_checkpoint(other).metadata == {"made": "again"}
    read = open_checkpoint(other).load()
    assert all(torch.equal(read[name], value + 1) for name, value in PARAMS.items())


def rewrite(index: Path, **changes: str) -> None:
    index.write_text(json.dumps({"weight_map": PLACES | changes}))


def outside(index: Path) -> None:
    save_file(PARAMS, index.parent.parent / "outside.safetensors")
    rewrite(index, a="../outside.safetensors")


def doubled(index: Path) -> None:
    save_file({"a": PARAMS["a"], "c": PARAMS["c"]}, index.parent / PLACES["c"])


def named_twice(index: Path) -> None:
    index.write_text('{"weight_map": {"a": "model-1-of-2.safetensors", "a": "model-2-of-2.safetensors"}}')


def several(index: Path) -> None:
    (index.parent / "other.safetensors.index.json").write_text(index.read_text())


def about(text: str) -> Callable[[Path], object]:
    return lambda index: index.write_text(f'{{"metadata": {text}, "weight_map": {json.dumps(PLACES)}}}')


BAD = {
    "missing shard": (lambda index: (index.parent / PLACES["c"]).unlink(), "model-2-of-2.safetensors is missing"),
    "cut shard": (lambda index: (index.parent / PLACES["c"]).write_bytes(b"123"), "is not a readable safetensors file"),
    "in two shards": (doubled, "'a' lies in two shards, model-1-of-2.safetensors and model-2-of-2.safetensors"),
    "named twice": (named_twice, "names 'a' twice"),
    "outside the folder": (
        outside,
        "'../outside.safetensors', which is no .safetensors or .bin file in its own folder",
    ),
    "absolute": (lambda index: rewrite(index, a="/x.safetensors"), "in its own folder"),
    "another shard": (lambda index: rewrite(index, a=PLACES["c"]), "puts 'a' into model-2-of-2.safetensors, but it"),
    "absent tensor": (lambda index: rewrite(index, d=PLACES["c"]), "'d' into model-2-of-2.safetensors, but it lies in"),
    "no JSON": (lambda index: index.write_text("{"), "cannot be read as an index of shards"),
    "no map": (lambda index: index.write_text('{"weight_map": {}}'), "it needs an entry 'weight_map'"),
    "metadata a list": (about("[1, 2]"), "its 'metadata' is list, not names and values"),
    "metadata a word": (about('"pt"'), "its 'metadata' is str"),
    "too deep": (lambda index: index.write_text("[" * 99_999), "cannot be read as an index of shards"),
    "a list": (lambda index: index.write_text("[]"), "it needs an entry 'weight_map'"),
    "two indices": (several, "holds several sharded networks"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_index_that_does_not_fit_is_refused(name, index):
    damage, message = BAD[name]
    damage(index)
    with pytest.raises(ConfigError) as error:
        open_checkpoint(index.parent)
    assert message in str(error.value)


def test_a_shard_may_lack_nothing_that_the_index_leaves_out(index):
    """Negative control: an index without a tensor of its shards is no silent smaller network."""
    index.write_text(json.dumps({"weight_map": {"a": PLACES["a"], "c": PLACES["c"]}}))
    with pytest.raises(ConfigError, match="puts 'b' into no shard"):
        open_checkpoint(index)

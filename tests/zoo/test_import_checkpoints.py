"""Anybody's folder of checkpoints, by a table; and the zoo as a torch data set."""

import sys

import numpy as np
import pytest
import torch
from collections_as_published import state, write_csv
from safetensors.torch import save_file

from weightspace import ConfigError, SpecMismatch, ZooError
from weightspace.tasks import ClassifyInr, load_dataset
from weightspace.zoo import ModuleTarget, Zoo, ZooDataset, import_zoo, open_collection

NETS = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 2))

def pair():
    return make(), torch.zeros(4, 3)

def number():
    return 3

def fails():
    raise RuntimeError("no weights here")
"""
NUM = 20


def network(seed: int) -> torch.nn.Module:
    import import_nets

    torch.manual_seed(seed)
    return import_nets.make().eval()


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Twenty networks in files of three kinds, with a table; the module that makes them can be imported."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "import_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    folder = tmp_path / "nets"
    (folder / "deep").mkdir(parents=True)
    rows = [["file", "label", "score", "split"]]
    for seed in range(NUM):
        state = network(seed).state_dict()
        file = f"deep/{seed}.safetensors" if seed % 3 == 0 else f"{seed}.pt"
        if seed % 3 == 0:
            save_file(state, folder / file)
        else:
            wrapped = {f"module.{name}": value for name, value in state.items()}
            torch.save({"state_dict": wrapped, "epoch": 3} if seed % 3 == 1 else wrapped, folder / file)
        rows.append([file, str(seed % 4), str(seed / 8), ("train", "val", "test")[seed % 3]])
    write_csv(tmp_path / "scores.csv", rows)
    yield tmp_path
    sys.modules.pop("import_nets", None)


def target(name: str = "make", shape: tuple[int, ...] = (2, 3)) -> ModuleTarget:
    return ModuleTarget(factory=f"import_nets:{name}", input=shape)


def imported(path, out: str = "zoo", of: ModuleTarget | None = None) -> Zoo:
    options = {"target": of or target(), "labels": path / "scores.csv"}
    return import_zoo(open_collection(path / "nets", "checkpoints", options), path / out)


def changed(path, change) -> None:
    rows = [line.split(",") for line in (path / "scores.csv").read_text().splitlines()]
    change(rows)
    write_csv(path / "scores.csv", rows)


def test_networks_keep_their_function_and_columns(nets):
    before = state(nets / "nets")
    zoo = imported(nets)
    assert state(nets / "nets") == before
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    outputs = zoo.config.target.forward(zoo.load(), x)
    for row, output in enumerate(outputs):
        torch.testing.assert_close(output, network(row)(x), rtol=1e-6, atol=1e-6)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2
    assert zoo.rows["label"].tolist() == [seed % 4 for seed in range(NUM)]
    assert zoo.rows["label"].dtype.kind == "i"
    assert zoo.rows["score"].tolist() == [seed / 8 for seed in range(NUM)]
    assert zoo.rows["split"].tolist() == [("train", "val", "test")[seed % 3] for seed in range(NUM)]
    assert zoo.load()["2.num_batches_tracked"].dtype == torch.int64
    assert str(nets) not in (nets / "zoo" / "zoo.json").read_text()


def test_splits_are_drawn_where_the_table_has_none(nets):
    changed(nets, lambda rows: [row.pop() for row in rows])
    zoo = imported(nets)
    assert [len(zoo.split(name)) for name in ("train", "val", "test")] == [16, 2, 2]
    assert (imported(nets, "again").rows["split"] == zoo.rows["split"]).all()


def test_a_task_reads_an_imported_zoo(nets):
    changed(nets, lambda rows: [row.pop() for row in rows])
    task = ClassifyInr()
    data = load_dataset(Zoo.open(imported(nets).path), task.keeps, task.hint)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    architecture = data.architecture
    assert torch.equal(torch.get_rng_state(), before)
    assert architecture.module is not None
    assert architecture.module(architecture.example).shape == (1, 2)
    assert task.open(data).goals["train"].shape == (16,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r[2].__setitem__(0, "gone.pt"), r"line 3: .*gone\.pt does not exist"),
        (lambda r: r[2].__setitem__(0, "../scores.csv"), r"line 3: '\.\./scores\.csv' is no path in"),
        (lambda r: r[2].__setitem__(0, r[1][0]), r"line 3: 'deep/0\.safetensors' is there twice"),
        (lambda r: r[2].__setitem__(1, "cat"), r"line 3: 'cat' in the column 'label' is no finite number"),
        (lambda r: r[2].__setitem__(2, "nan"), r"line 3: 'nan' in the column 'score' is no finite number"),
        (lambda r: r[2].__setitem__(3, "dev"), r"line 3: there is no split 'dev'"),
        (lambda r: r[0].__setitem__(0, "path"), r"has no column 'file': it has path, label"),
        (lambda r: r[0].__setitem__(1, "row"), r"the column name 'row' is a column that every zoo has"),
        (lambda r: r[0].__setitem__(1, "score"), r"the column name 'score' is empty or there twice"),
        (lambda r: r[2].pop(), r"line 3: it has not as many entries"),
        (lambda r: r.__delitem__(slice(1, None)), r"has no rows"),
    ],
)
def test_a_bad_table_is_refused(change, said, nets):
    changed(nets, change)
    with pytest.raises(ConfigError, match=said):
        imported(nets)
    assert not (nets / "zoo").exists()


def test_a_bad_network_is_refused_by_name(nets):
    state = network(7).state_dict()
    path = nets / "nets" / "7.pt"
    torch.save(state | {"0.weight": torch.ones(6, 3)}, path)
    with pytest.raises(SpecMismatch, match=r"7\.pt: .*'0\.weight'"):
        imported(nets)
    torch.save(state | {"0.weight": torch.full((5, 3), torch.inf)}, path)
    with pytest.raises(SpecMismatch, match=r"7\.pt: parameter '0\.weight' holds values that are not finite"):
        imported(nets)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ConfigError, match=r"7\.pt cannot be read"):
        imported(nets)
    assert {path.name for path in nets.iterdir()} == {"code", "nets", "scores.csv"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", r"import_nets:number of these networks returns int\. Return a torch\.nn\.Module"),
        ("fails", r"import_nets:fails of these networks fails \(RuntimeError: no weights here\)"),
        ("gone", r"'import_nets' has no 'gone'"),
    ],
)
def test_a_function_that_makes_no_module_is_refused(name, said, nets):
    with pytest.raises(ConfigError, match=said):
        imported(nets, of=target(name))


def test_nothing_of_somebody_else_is_replaced(nets):
    zoo = imported(nets)
    first = state(zoo.path)
    assert imported(nets).rows["label"].tolist() == zoo.rows["label"].tolist()
    assert state(zoo.path) == first
    changed(nets, lambda rows: rows.pop())
    with pytest.raises(ZooError, match=r"holds a zoo made from something else: digest is"):
        imported(nets)
    assert state(zoo.path) == first
    options = {"target": target(), "labels": nets / "scores.csv"}
    new = import_zoo(open_collection(nets / "nets", "checkpoints", options), nets / "zoo", overwrite=True)
    assert len(new) == NUM - 1
    with pytest.raises(ConfigError, match=r"--out .* lies in the folder that is imported"):
        imported(nets, "nets/zoo")
    with pytest.raises(ZooError, match=r"holds '\S+' and no zoo\.json"):
        imported(nets, "code")
    assert {path.name for path in nets.iterdir()} >= {"code", "nets", "scores.csv", "zoo"}
    assert not any(path.name.startswith(".") for path in nets.iterdir())


def test_what_lies_beside_a_zoo_is_never_lost(nets):
    zoo = imported(nets)
    (zoo.path / "notes.txt").write_text("mine")
    changed(nets, lambda rows: rows.pop())
    options = {"target": target(), "labels": nets / "scores.csv"}
    with pytest.raises(ZooError, match=r"holds notes\.txt, which is no part of a zoo"):
        import_zoo(open_collection(nets / "nets", "checkpoints", options), nets / "zoo", overwrite=True)
    assert len(Zoo.open(zoo.path)) == NUM
    assert (zoo.path / "notes.txt").read_text() == "mine"


def test_an_empty_folder_and_the_current_one_are_filled(nets, monkeypatch):
    (nets / "empty").mkdir()
    monkeypatch.chdir(nets / "empty")
    options = {"target": target(), "labels": nets / "scores.csv"}
    assert len(import_zoo(open_collection(nets / "nets", "checkpoints", options), ".")) == NUM
    assert len(Zoo.open(nets / "empty")) == NUM


def test_numbers_too_large_for_a_column_of_whole_ones_are_floats(nets):
    changed(nets, lambda rows: rows[2].__setitem__(1, "1" + "0" * 30))
    assert imported(nets).rows["label"].tolist()[:3] == [0.0, 1e30, 2.0]


def test_a_damaged_zoo_is_imported_again(nets):
    zoo = imported(nets)
    (shard,) = zoo.path.glob("weights/*/*.safetensors")
    good = shard.read_bytes()
    shard.write_bytes(good[:100])
    with pytest.raises(ZooError, match=r"truncated or damaged.*zoo import"):
        Zoo.open(zoo.path)
    imported(nets)
    assert shard.read_bytes() == good


def test_items_are_networks_and_rows(nets):
    zoo = imported(nets)
    data = ZooDataset(zoo, "val")
    assert len(data) == len(zoo.split("val"))
    for place, index in enumerate(zoo.split("val").tolist()):
        params, row = data[place]
        assert row["label"] == zoo.rows["label"][index]
        want = zoo.load([index])
        assert all(torch.equal(value, want[name][0]) for name, value in params.items())
    with pytest.raises(IndexError):
        data[len(data)]
    with pytest.raises(ZooError, match=r"no split 'dev'"):
        ZooDataset(zoo.path, "dev")


def test_batches_are_stacked_and_their_order_is_drawn_by_the_seed(nets, monkeypatch):
    monkeypatch.setattr("weightspace.zoo.importing._checkpoints.networks_per_shard", lambda _: 6)
    zoo = imported(nets)
    assert len(np.unique(zoo.rows["shard"])) == 4
    data = ZooDataset(zoo.path)
    orders = []
    for shuffle, seed in ((False, 0), (True, 0), (True, 0), (True, 1)):
        ids = []
        for params, columns in data.loader(8, shuffle=shuffle, seed=seed):
            assert zoo.spec.check(params) == len(columns["file"])
            want = zoo.load(columns["id"])
            assert all(torch.equal(value, want[name]) for name, value in params.items())
            assert isinstance(columns["score"], torch.Tensor)
            ids += columns["id"].tolist()
        orders.append(ids)
    assert orders[0] == list(range(NUM))
    assert orders[1] == orders[2] != orders[3]
    assert all(sorted(order) == orders[0] for order in orders)


def test_shards_that_do_not_fit_into_memory_are_read_again(nets, monkeypatch):
    monkeypatch.setattr("weightspace.zoo.importing._checkpoints.networks_per_shard", lambda _: 6)
    zoo = imported(nets)
    monkeypatch.setattr("weightspace.zoo._dataset._KEPT", 1)
    data = ZooDataset(zoo)
    labels = [int(data[place][1]["label"]) for place in (0, 19, 1, 18)]
    assert labels == [0, 3, 1, 2]
    assert len(data._kept) == 1

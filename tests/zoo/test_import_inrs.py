"""INRs as DWSNets and NFN keep them: functions, labels and splits survive; what is wrong is named."""

import json

import numpy as np
import pytest
import torch
from collections_as_published import NFN_IMAGES, dws_fmnist, dws_mnist, function, nfn_cifar, save, siren, state

from weightspace import ConfigError, SpecMismatch
from weightspace.zoo import ImportedConfig, SirenTarget, Zoo, format_of, import_zoo, open_collection
from weightspace.zoo.importing import _dws

POINTS = np.random.default_rng(1).uniform(-1, 1, (9, 2))


def imported(folder, out, name=None, **options) -> Zoo:
    name, place = format_of(folder, name)
    return import_zoo(open_collection(place, name, options), out)


def agrees(zoo: Zoo, folder, offset: float) -> None:
    """Every network computes what its file does, and no two the same."""
    outputs = zoo.config.target.forward(zoo.load(), torch.from_numpy(POINTS).float())
    for row, file in enumerate(zoo.rows["file"]):
        want = function(torch.load(folder / file, weights_only=True), POINTS, offset)
        # 30 times a rounding, twice.
        np.testing.assert_allclose(outputs[row].numpy(), want, atol=2e-6)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2


def test_digits_keep_function_label_and_image(tmp_path):
    folder = dws_mnist(tmp_path / "mnist-inrs")
    before = state(folder)
    zoo = imported(folder, tmp_path / "zoo")
    assert state(folder) == before
    assert len(zoo) == 24
    agrees(zoo, folder, 0.5)
    for file, label, image, copy in zip(
        zoo.rows["file"], zoo.rows["label"], zoo.rows["image_id"], zoo.rows["augmentation"], strict=True
    ):
        assert f"_{label}_{image}/" in file
        assert copy == -1
    assert isinstance(zoo.config, ImportedConfig)
    assert (zoo.config.images, zoo.config.format, zoo.config.source) == ("mnist", "dws_mnist", "mnist-inrs")
    assert zoo.config.target == SirenTarget(widths=(2, 5, 4, 1))
    assert str(tmp_path) not in (tmp_path / "zoo" / "zoo.json").read_text()


def test_testing_is_test_and_a_tenth_of_training_is_drawn(tmp_path):
    zoo = imported(dws_mnist(tmp_path / "mnist-inrs"), tmp_path / "zoo")
    kind = np.array([file.split("_")[2] for file in zoo.rows["file"]])
    assert set(zoo.split("test")) == set(np.flatnonzero(kind == "testing"))
    assert len(zoo.split("val")) == 2
    again = imported(dws_mnist(tmp_path / "elsewhere" / "mnist-inrs"), tmp_path / "again")
    assert (again.rows["split"] == zoo.rows["split"]).all()
    assert again.config == zoo.config


def test_fifty_thousand_digits_give_five_thousand_to_val():
    named = [_dws._Named(False, image % 10, image, -1) for image in range(50_000)]
    assert _dws._by_path(named).count("val") == 5000


def test_copies_of_an_image_share_its_split(tmp_path):
    folder = tmp_path / "inrs"
    for image in range(20):
        for copy in ("", "_augmented_0", "_augmented_1"):
            place = folder / f"mnist_png_training_{image % 10}_{image}{copy}" / "checkpoints" / "model_final.pth"
            save(siren(3 * image + len(copy)), place)
    zoo = imported(folder, tmp_path / "zoo")
    assert sorted(set(zoo.rows["augmentation"].tolist())) == [-1, 0, 1]
    val = zoo.rows["image_id"][zoo.split("val")]
    assert sorted(val.tolist()) == sorted(np.repeat(np.unique(val), 3).tolist())
    assert len(val) == 6


@pytest.mark.parametrize(("tensor", "labels_in"), [(False, "files"), (True, "files"), (False, "table")])
def test_clothes_take_splits_and_labels_from_a_table_of_another_machine(tensor, labels_in, tmp_path):
    folder = dws_fmnist(tmp_path / "fmnist_inrs", tensor=tensor, labels_in=labels_in)
    zoo = imported(folder, tmp_path / "zoo")
    agrees(zoo, folder, 0.5)
    numbers = np.array([int(file.split("_")[-1][:-4]) for file in zoo.rows["file"]])
    assert (zoo.rows["label"] == numbers % 10).all()
    table = json.loads((folder / "splits.json").read_text())
    for split, entry in table.items():
        paths = entry["path"] if isinstance(entry, dict) else entry
        assert sorted(zoo.rows["file"][zoo.split(split)]) == sorted("/".join(p.split("/")[-2:]) for p in paths)
    assert isinstance(zoo.config, ImportedConfig)
    assert (zoo.config.format, zoo.config.images) == ("dws_fmnist", "fashion_mnist")


def test_a_table_of_digits_is_told_apart_by_three_parts_of_each_path(tmp_path):
    folder = dws_mnist(tmp_path / "mnist-inrs", train=6, test=2)
    files = sorted(f"{path.parts[-3]}/{path.parts[-2]}/{path.name}" for path in folder.glob("mnist*/*/model_final.pth"))
    table = {"train": {"path": [f"x/mnist-inrs/{file}" for file in files[:5]], "label": None}, "val": files[5:]}
    table["train"]["label"] = [file.split("_")[3] for file in files[:5]]
    (tmp_path / "mine.json").write_text(json.dumps(table))
    zoo = imported(folder, tmp_path / "zoo", split_file=tmp_path / "mine.json")
    assert sorted(zoo.rows["file"][zoo.split("val")]) == files[5:]
    table["train"]["label"][0] = str((int(files[0].split("_")[3]) + 1) % 10)
    (tmp_path / "mine.json").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=r"model_final\.pth is mislabelled"):
        imported(folder, tmp_path / "other", split_file=tmp_path / "mine.json")


def test_images_in_colour_keep_function_split_and_augmentation(tmp_path):
    folder = nfn_cifar(tmp_path / "siren_cifar_wts")
    before = state(folder)
    zoo = imported(tmp_path, tmp_path / ".." / f"{tmp_path.name}-zoo")  # found inside
    assert state(folder) == before
    agrees(zoo, folder, 0.0)
    rows = zoo.rows
    base = rows["augmentation"] == -1
    assert tuple(rows["image_id"][base]) == NFN_IMAGES
    assert rows["split"][base].tolist() == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert set(rows["split"][~base]) == {"train"}
    assert sorted(rows["image_id"][~base]) == [0, 0, 7, 7, 44_999, 44_999]
    assert (rows["label"] == rows["image_id"] % 10).all()
    assert isinstance(zoo.config, ImportedConfig)
    assert (zoo.config.intensities, zoo.config.rows_first, zoo.config.images) == ((-1, 1), True, "cifar10")
    assert isinstance(zoo.config.target, SirenTarget)
    assert (zoo.config.target.offset, zoo.config.target.omega, zoo.config.target.colour) == (0, 30, True)


def truncated(folder):
    path = next(folder.glob("*training_3_103/checkpoints/model_final.pth"))
    path.write_bytes(path.read_bytes()[:200])


def wrong_shape(folder):
    save(siren(1, (2, 6, 4, 1)), next(folder.glob("*training_3_103/checkpoints/model_final.pth")))


def more_layers(folder):
    path = next(folder.glob("*training_3_103/checkpoints/model_final.pth"))
    save(siren(1) | {"seq.3.weight": torch.ones(1, 1), "seq.3.bias": torch.ones(1)}, path)


def other_names(folder):
    save({"head": torch.ones(2)} | siren(1), next(folder.glob("*training_3_103/checkpoints/model_final.pth")))


def not_finite(folder):
    value = siren(1)
    value["seq.1.weight"][0, 0] = torch.nan
    save(value, next(folder.glob("*training_3_103/checkpoints/model_final.pth")))


def two_labels(folder):
    save(siren(1), folder / "mnist_png_training_9_103" / "checkpoints" / "model_final.pth")


def label_inside(folder):
    save(siren(1) | {"label": 8}, next(folder.glob("*training_3_103/checkpoints/model_final.pth")))


def no_number(folder):
    save(siren(1) | {"label": float("nan")}, next(folder.glob("*training_3_103/checkpoints/model_final.pth")))


def no_class(folder):
    save(siren(1), folder / "mnist_png_training_12_900" / "checkpoints" / "model_final.pth")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (truncated, r"3_103/checkpoints/model_final\.pth cannot be read as a file of tensors"),
        (
            wrong_shape,
            r"3_103/checkpoints/model_final\.pth holds 'seq\.0\.weight' with shape \[6, 2\], where .*\[5, 2\]",
        ),
        (more_layers, r"3_103/checkpoints/model_final\.pth has more layers"),
        (other_names, r"3_103/checkpoints/model_final\.pth holds 'head', which is no parameter of a SIREN"),
        (
            not_finite,
            r"3_103/checkpoints/model_final\.pth: parameter 'seq\.1\.weight' holds values that are not finite",
        ),
        (two_labels, r"mnist_png_training_(3|9)_103/checkpoints/model_final\.pth is mislabelled"),
        (label_inside, r"3_103/checkpoints/model_final\.pth is mislabelled: .*class 3, and of 8"),
        (no_number, r"3_103/checkpoints/model_final\.pth: its entry 'label' is no whole number"),
        (no_class, r"12_900/checkpoints/model_final\.pth has the label 12"),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing(spoil, said, tmp_path):
    folder = dws_mnist(tmp_path / "mnist-inrs", train=6, test=2)
    spoil(folder)
    before = state(folder)
    with pytest.raises((ConfigError, SpecMismatch), match=said):
        imported(folder, tmp_path / "deep" / "zoo")
    assert state(folder) == before
    assert not (tmp_path / "deep").exists()


def spoil_table(folder, change):
    table = json.loads((folder / "splits.json").read_text())
    change(table)
    (folder / "splits.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["train"].append("x/train/model_99.pth"), r"lists 'x/train/model_99\.pth', which is not in"),
        (lambda t: t["train"].pop(), r"model_7\.pth is in no split of .*splits\.json"),
        (lambda t: t["val"].append(t["train"][0]), r"lists train/model_0\.pth twice, in train and in val"),
        (lambda t: t.update(dev=t.pop("val")), r"is no table of splits"),
        (lambda t: t.update(val="x"), r"entry 'val' is no list of paths"),
        (lambda t: t.update(val={"path": t["val"], "label": ["1"]}), r"another number of labels"),
        (lambda t: t.update(val={"path": t["val"], "label": ["cat"] * 2}), r"the label 'cat' of .* is no class"),
    ],
)
def test_a_bad_table_of_splits_is_refused(change, said, tmp_path):
    folder = dws_fmnist(tmp_path / "fmnist_inrs")
    spoil_table(folder, change)
    with pytest.raises(ConfigError, match=said):
        imported(folder, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_a_table_that_is_cut_short_is_refused(tmp_path):
    folder = dws_fmnist(tmp_path / "fmnist_inrs")
    (folder / "splits.json").write_text((folder / "splits.json").read_text()[:-9])
    with pytest.raises(ConfigError, match=r"cannot read the table of splits .*splits\.json: "):
        imported(folder, tmp_path / "zoo")
    with pytest.raises(ConfigError, match=r"gone\.json: No such file"):
        imported(folder, tmp_path / "zoo", split_file=tmp_path / "gone.json")


def test_clothes_without_label_or_table_are_refused(tmp_path):
    folder = dws_fmnist(tmp_path / "fmnist_inrs")
    save(siren(3), folder / "train" / "model_3.pth")
    with pytest.raises(ConfigError, match=r"train/model_3\.pth has no label"):
        imported(folder, tmp_path / "zoo")
    (folder / "splits.json").unlink()
    with pytest.raises(ConfigError, match=r"names no split and label, and .* has no splits\.json"):
        imported(folder, tmp_path / "zoo")


@pytest.mark.parametrize("name", ["randinit_smaller_3s/net60000.pth", "randinit_smaller_3s/last.pth"])
def test_a_misnamed_image_in_colour_is_refused(name, tmp_path):
    folder = nfn_cifar(tmp_path / "siren_cifar_wts", copies=0)
    save(siren(3, (2, 5, 4, 3), nfn=True), folder / name)
    with pytest.raises(ConfigError, match=rf"{name} is mislabelled"):
        imported(folder, tmp_path / "zoo")


def test_an_image_in_two_classes_is_refused(tmp_path):
    folder = nfn_cifar(tmp_path / "siren_cifar_wts")
    save(siren(3, (2, 5, 4, 3), nfn=True), folder / "randinit_smaller_aug0_3s" / "net7.pth")
    with pytest.raises(ConfigError, match=r"net7\.pth is mislabelled: .*net7\.pth is of the same image"):
        imported(folder, tmp_path / "zoo")


def test_the_same_import_continues_where_it_was_stopped(tmp_path, monkeypatch):
    folder = dws_mnist(tmp_path / "mnist-inrs")
    monkeypatch.setattr("weightspace.zoo.importing._collection._MOST", 7)
    whole = imported(folder, tmp_path / "whole")
    assert len(np.unique(whole.rows["shard"])) == 4
    collection = open_collection(folder, "dws_mnist", {})

    def stop(done, *_):
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_zoo(collection, tmp_path / "zoo", progress=stop)
    assert not (tmp_path / "zoo").exists()
    read = []
    continued = type(collection)(
        folder, collection.config, collection.columns, lambda places: (read.append(places), collection.read(places))[1]
    )
    import_zoo(continued, tmp_path / "zoo")
    assert read == [range(14, 21), range(21, 24)]
    want, have = state(tmp_path / "whole"), state(tmp_path / "zoo")
    assert {name: value[0] for name, value in have.items()} == {name: value[0] for name, value in want.items()}
    assert {path.name for path in tmp_path.iterdir()} == {"mnist-inrs", "whole", "zoo"}

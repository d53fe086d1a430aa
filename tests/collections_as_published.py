"""Small collections in the exact layouts of the public ones, for tests of importers."""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from weightspace.zoo import SirenTarget

WIDTHS = (2, 5, 4, 1)


def siren(seed: int, widths: Sequence[int] = WIDTHS, *, nfn: bool = False) -> dict[str, torch.Tensor]:
    """One SIREN under the names of its release."""
    generator = torch.Generator().manual_seed(seed)
    names = ("net.0.linear", "net.1.linear", "net.2") if nfn else ("seq.0", "seq.1", "seq.2")
    out = {}
    for name, a, b in zip(names, widths, widths[1:], strict=False):
        out[f"{name}.weight"] = torch.randn(b, a, generator=generator) * 0.1
        out[f"{name}.bias"] = torch.randn(b, generator=generator) * 0.1
    return out


def save(value: object, path: Path) -> Path:
    """A torch file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


def dws_mnist(folder: Path, train: int = 20, test: int = 4) -> Path:
    """Digits, packed with what packing leaves there."""
    for image in range(train + test):
        kind = "training" if image < train else "testing"
        place = folder / f"mnist_png_{kind}_{image % 10}_{100 + image}" / "checkpoints" / "model_final.pth"
        save(siren(image), place)
        (place.parent / "._model_final.pth").write_bytes(b"\0")
        (place.parent / "model_step_10.pth").write_bytes(b"\0")
    (folder / "__MACOSX" / "mnist_png_training_1_1" / "checkpoints").mkdir(parents=True)
    (folder / "__MACOSX" / "mnist_png_training_1_1" / "checkpoints" / "model_final.pth").write_bytes(b"\0")
    return folder


def dws_fmnist(folder: Path, *, tensor: bool = False, labels_in: str = "files") -> Path:
    """Clothes: splits on the paths of another machine, labels in files or in the table."""
    table: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for image in range(12):
        split = ("train", "val", "test")[0 if image < 8 else 1 + image % 2]
        file = f"{'test' if split == 'test' else 'train'}/model_{image}.pth"
        label = {"label": torch.tensor(image % 10) if tensor else image % 10} if labels_in == "files" else {}
        save(siren(image) | label, folder / file)
        table[split].append(f"/some/where/fmnist_inrs/{file}")
    number = {split: [str(int(path.split("_")[-1][:-4]) % 10) for path in paths] for split, paths in table.items()}
    both = {split: {"path": paths, "label": number[split]} for split, paths in table.items()}
    (folder / "splits.json").write_text(json.dumps(table if labels_in == "files" else both))
    return folder


NFN_IMAGES = (0, 7, 44_999, 45_000, 49_999, 50_000, 59_999)


def nfn_cifar(folder: Path, copies: int = 2) -> Path:
    """Images in colour, and copies of those to train on (and of one that is not)."""
    for image in NFN_IMAGES:
        save(siren(image, (2, 5, 4, 3), nfn=True), folder / f"randinit_smaller_{image % 10}s" / f"net{image}.pth")
        for copy in range(copies if image <= 45_000 else 0):
            place = folder / f"randinit_smaller_aug{copy}_{image % 10}s" / f"net{image}.pth"
            save(siren(image + 7 * copy + 1, (2, 5, 4, 3), nfn=True), place)
    return folder


def function(params: dict[str, torch.Tensor], x: np.ndarray, offset: float) -> np.ndarray:
    """A SIREN written out in numpy, whatever its layers are called."""
    values = [value.numpy().astype(np.float64) for name, value in params.items() if name != "label"]
    h = x
    for place in range(0, len(values), 2):
        h = h @ values[place].T + values[place + 1]
        h = np.sin(SirenTarget().omega * h) if place + 2 < len(values) else h + offset
    return h


CHANNELS, CLASSES = 3, 4
EPOCHS = (0, 40, 86)


def small_cnn_zoo(folder: Path, models: int = 12, dataset: str = "cifar10") -> Path:
    """CNNs of both activations, three checkpoints each, in one array."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {
        "conv2d/bias": (CHANNELS,),
        "conv2d/kernel": (3, 3, 1, CHANNELS),
        "conv2d_1/bias": (CHANNELS,),
        "conv2d_1/kernel": (3, 3, CHANNELS, CHANNELS),
        "conv2d_2/bias": (CHANNELS,),
        "conv2d_2/kernel": (3, 3, CHANNELS, CHANNELS),
        "dense/bias": (CLASSES,),
        "dense/kernel": (CHANNELS, CLASSES),
    }
    lines, start = [["varname", "start_idx", "end_idx", "size", "shape"]], 0
    for name, shape in shapes.items():
        stop = start + int(np.prod(shape))
        lines.append([f"sequential/{name}:0", str(start), str(stop), str(stop - start), str(shape)])
        start = stop
    write_csv(folder / "layout.csv", lines)
    rng = np.random.default_rng(0)
    np.save(folder / "weights.npy", rng.normal(size=(models * len(EPOCHS), start)).astype(np.float32))
    rows = [["config.activation", "config.dataset", "config.learning_rate", "modeldir", "step", *SCORES]]
    for model in range(models):
        for epoch in EPOCHS:
            activation = "relu" if model % 3 else "tanh"
            rows.append([activation, dataset, "0.01", f"gs://x/{model}", str(epoch), *map(str, rng.random(4))])
    write_csv(folder / "metrics.csv.gz", rows)
    return folder


SCORES = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    """A table, packed if its name says so."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(rows)
    content = sink.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def same_padding_free_conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution of stride 2 without padding, images ``[h, w, in]`` and kernel ``[3, 3, in, out]``, as TF has it."""
    size = (x.shape[0] - 3) // 2 + 1
    out = np.empty((size, size, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            out[i, j] = np.tensordot(x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel, axes=3) + bias
    return out


def tf_cnn(row: np.ndarray, image: np.ndarray, activation: str) -> np.ndarray:
    """Logits of a network of the Small CNN Zoo, computed from its row in the layout that TF has."""
    function = np.tanh if activation == "tanh" else lambda v: np.maximum(v, 0)
    place, h = 0, image.astype(np.float64)

    def take(*shape: int) -> np.ndarray:
        nonlocal place
        place += int(np.prod(shape))
        return row[place - int(np.prod(shape)) : place].reshape(shape).astype(np.float64)

    for width in (1, CHANNELS, CHANNELS):
        bias = take(CHANNELS)
        h = function(same_padding_free_conv(h, take(3, 3, width, CHANNELS), bias))
    bias = take(CLASSES)
    return h.mean((0, 1)) @ take(CHANNELS, CLASSES) + bias


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Digest and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
    }

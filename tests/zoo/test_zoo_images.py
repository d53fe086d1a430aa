"""Image sets: splits, averaging, parquet files, and messages about missing data."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from image_sets import write_set
from torch.nn.functional import adaptive_avg_pool2d

from weightspace import ConfigError
from weightspace.zoo import load_images
from weightspace.zoo._images import gray_8x8


def test_digits_are_whole_disjoint_and_always_the_same():
    images, again = load_images("digits"), load_images("digits")
    assert [len(x) for x in (images.train_x, images.val_x, images.test_x)] == [1200, 298, 299]
    everything = torch.cat([images.train_x, images.val_x, images.test_x])
    assert everything.shape == (1797, 64)
    assert everything.min() == -1
    assert everything.max() == 1
    assert len(everything.unique(dim=0)) == 1797
    assert torch.equal(images.test_x, again.test_x)
    for labels in (images.train_y, images.val_y, images.test_y):
        assert len(labels.unique()) == 10


@pytest.mark.parametrize("size", [32, 28, 8])
def test_averaging_is_by_area(size):
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    gray = torch.from_numpy(pixels).double().mean(3)
    if size == 28:  # each pixel is cut in two, so that cells are whole
        gray = gray.repeat_interleave(2, 1).repeat_interleave(2, 2)
    want = adaptive_avg_pool2d(gray[:, None], 8)[:, 0].flatten(1) / 127.5 - 1
    np.testing.assert_allclose(gray_8x8(pixels), want, atol=1e-5)
    np.testing.assert_allclose(gray_8x8(pixels[..., 0]), gray_8x8(pixels[..., :1].repeat(3, axis=3)), atol=1e-6)


def test_parquet_files_are_read_and_the_test_images_halved(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (21, 32, 32, 3), dtype=np.uint8)
    write_set(tmp_path, "cifar10", pixels, np.arange(21) % 10)
    seen = []
    images = load_images("cifar10", tmp_path, lambda done, total, _: seen.append((done, total)))
    assert seen[-1] == (42, 42)
    np.testing.assert_allclose(images.train_x, gray_8x8(pixels), atol=1e-6)
    assert images.train_y.tolist() == (np.arange(21) % 10).tolist()
    halves = torch.cat([images.val_x, images.test_x])
    assert [len(images.val_x), len(images.test_x)] == [10, 11]
    assert torch.equal(halves.unique(dim=0), images.train_x.unique(dim=0))
    monkeypatch.setenv("WEIGHTSPACE_DATA", str(tmp_path))
    assert torch.equal(load_images("cifar10").val_x, images.val_x)


def test_images_keep_their_size_and_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    write_set(tmp_path, "cifar10", pixels, np.arange(9))
    gray, colour = load_images("cifar10", tmp_path, full_size=True), load_images("cifar10", tmp_path, colour=True)
    want = torch.from_numpy(pixels).float().movedim(3, 1) / 127.5 - 1
    torch.testing.assert_close(colour.train_x.view(9, 3, 32, 32), want)
    torch.testing.assert_close(gray.train_x.view(9, 32, 32), want.mean(1))
    with pytest.raises(ConfigError, match="the images of 'mnist' are gray"):
        load_images("mnist", tmp_path, colour=True)


def test_messages_name_the_file_and_the_option(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown image set 'cifar'\. Did you mean 'cifar10'\?"):
        load_images("cifar")
    with pytest.raises(ConfigError, match=r"mnist/train\.parquet.*--data DIR or set WEIGHTSPACE_DATA"):
        load_images("mnist")
    with pytest.raises(ConfigError, match=r"mnist/train\.parquet does not exist.*--data DIR"):
        load_images("mnist", tmp_path)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train.parquet").write_bytes(b"not a table")
    with pytest.raises(ConfigError, match=r"train\.parquet cannot be read as a table"):
        load_images("mnist", tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    write_set(tmp_path, "mnist", np.zeros((3, 28, 28), np.uint8), [0, 1, 2])
    table = pa.table({"image": [{"bytes": b"broken", "path": None}], "label": [0]})
    pq.write_table(table, tmp_path / "mnist" / "test.parquet")
    with pytest.raises(ConfigError, match=r"test\.parquet.*cannot be decoded"):
        load_images("mnist", tmp_path)

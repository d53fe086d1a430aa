"""Images as networks: gradients, fits, and which image a network is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inr_material import tiny_inrs
from zoo_material import content

import weightspace as ws
from weightspace import ConfigError
from weightspace.zoo import (
    InrZooConfig,
    Siren,
    SirenTarget,
    Zoo,
    load_images,
    make_zoo,
    pixel_grid,
    stacked_forward,
    stacked_siren,
)
from weightspace.zoo._fit_inrs import fit_inrs, square_error_gradient
from weightspace.zoo._flat import views
from weightspace.zoo._make_inrs import InrMaker

WIDTHS = st.tuples(st.just(2), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3]))


def stacked(widths: tuple[int, ...], num: int, seed: int) -> tuple[Siren, dict[str, torch.Tensor]]:
    torch.manual_seed(seed)
    nets = [Siren(widths, omega=7.0, offset=0.25).double() for _ in range(num)]
    return nets[0], {name: torch.stack([net.state_dict()[name] for net in nets]) for name in nets[0].state_dict()}


@settings(max_examples=6)
@given(WIDTHS, st.integers(1, 4), st.integers(2, 6), st.integers(0, 99))
def test_stacked_sirens_are_the_module(widths, num, side, seed):
    net, params = stacked(widths, num, seed)
    x = pixel_grid(side).double()
    torch.testing.assert_close(stacked_siren(params, x, 7.0, 0.25), stacked_forward(net, params, x))


@settings(max_examples=6)
@given(WIDTHS, st.integers(1, 4), st.integers(0, 99))
def test_the_written_gradient_is_that_of_autograd(widths, num, seed):
    _, params = stacked(widths, num, seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(9, 2, generator=generator, dtype=torch.float64)
    y = torch.rand(num, widths[-1], 9, generator=generator, dtype=torch.float64)
    out = {name: torch.full_like(value, float("nan")) for name, value in params.items()}
    square_error_gradient(params, x, y, 7.0, out)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    loss = (stacked_siren(leaves, x, 7.0, 0.0) - y.mT).square().mean((1, 2)).sum()
    for name, want in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        torch.testing.assert_close(out[name], want, msg=name)


def test_the_grid_goes_along_rows_from_minus_one_to_one():
    grid = pixel_grid(28)
    assert grid.shape == (784, 2)
    columns = grid[:, 0].view(28, 28)
    assert (columns[:, 1:] > columns[:, :-1]).all()
    assert torch.equal(columns, grid[:, 1].view(28, 28).T)
    assert (grid[0].tolist(), grid[-1].tolist()) == ([-1, -1], [1, 1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inrs") / "zoo"
    make_zoo(tiny_inrs(), folder)
    return folder


def test_a_fit_reaches_its_digit_and_more_steps_come_closer():
    image = (load_images("digits").train_x[:2].view(2, 8, 8) + 1) / 2
    psnr = []
    for steps in (0, 40, 300):
        weights = fit_inrs([1, 2], SirenTarget(), image.unsqueeze(1), steps=steps, learning_rate=1e-3)
        params = views(weights, SirenTarget().shapes())
        shown = stacked_siren(params, pixel_grid(8)).view(2, 8, 8)
        psnr.append(-10 * (shown - image).square().mean((1, 2)).log10())
    assert (psnr[0] < 12).all()
    assert (psnr[1] > psnr[0] + 3).all()
    assert (psnr[2] > 25).all()


def test_rows_describe_the_images_the_networks_are(whole):
    zoo, images = Zoo.open(whole), load_images("digits", full_size=True)
    assert zoo.config == tiny_inrs()
    assert zoo.rows["id"].tolist() == list(range(12))
    params = zoo.load()
    shown = stacked_siren(params, pixel_grid(8)).squeeze(2)
    parts = {"train": (images.train_x, images.train_y), "val": (images.val_x, images.val_y)}
    parts["test"] = (images.test_x, images.test_y)
    for row, picture in enumerate(shown):
        x, y = parts[str(zoo.rows["split"][row])]
        place = int(zoo.rows["image"][row])
        mse = (picture - (x[place] + 1) / 2).square().mean().item()
        assert zoo.rows["mse"][row] == pytest.approx(mse, rel=1e-4)
        assert zoo.rows["psnr"][row] == pytest.approx(-10 * np.log10(mse), abs=1e-3)
        assert zoo.rows["label"][row] == int(y[place])


def test_the_spec_of_the_module_is_the_spec_of_the_zoo(whole):
    zoo = Zoo.open(whole)
    spec = ws.derive(zoo.config.target.build(), pixel_grid(4))
    assert spec == zoo.spec
    assert str(spec) == "in[2] | h0[8] S8 x sign | h1[6] S6 x sign | out[1]"
    assert spec.check(zoo.load()) == 12
    names = list(Siren().state_dict())
    assert list(InrZooConfig().target.shapes()) == names
    assert str(ws.derive(*ws.zoo.siren())) == "in[2] | h0[32] S32 x sign | h1[32] S32 x sign | out[1]"


def test_no_image_is_used_twice():
    images = load_images("digits")
    maker = InrMaker(tiny_inrs(), images, 1500)
    used = [maker._image(run) for run in range(1500)]
    assert len(set(used)) == 1500
    assert sum(split == "train" for split, _ in used) == 1200
    with pytest.raises(ConfigError, match=r"digits has images for 1500 networks.*1501 are asked for.*--num 1500"):
        InrMaker(tiny_inrs(), images, 1501)


def test_more_networks_than_images_are_refused_before_anything_is_written(whole, tmp_path):
    with pytest.raises(ConfigError, match="--num 1500"):
        make_zoo(tiny_inrs(), tmp_path / "more", num=1501)
    assert not (tmp_path / "more").exists()
    before = content(whole)
    with pytest.raises(ConfigError, match="--num 1500"):
        make_zoo(tiny_inrs(), whole, num=1501)
    assert content(whole) == before


def test_networks_start_from_weights_of_their_own(whole):
    zoo = Zoo.open(whole)
    assert len(set(zoo.rows["seed"].tolist())) == 12
    (start, other), target = (SirenTarget(init=kind) for kind in ("even", "sitzmann")), SirenTarget()
    seed = np.random.SeedSequence(0)
    assert np.abs(start.initial_weights(seed)[:96]).max() == pytest.approx((6 / 2) ** 0.5 / 30, rel=0.1)
    assert np.abs(other.initial_weights(seed)[:96]).max() == pytest.approx(1 / 2, rel=0.1)
    assert len(target.initial_weights(seed)) == 1185


def test_hidden_neurons_start_without_biases():
    drawn = torch.from_numpy(SirenTarget().initial_weights(np.random.SeedSequence(0))).unsqueeze(0)
    empty = [name for name, value in views(drawn, SirenTarget().shapes()).items() if not value.any()]
    assert empty == ["layers.0.bias", "layers.1.bias"]


def test_made_twice_or_in_pieces_the_bytes_are_the_same(whole, tmp_path):
    make_zoo(tiny_inrs(), tmp_path / "again")
    assert content(tmp_path / "again") == content(whole)
    # Shards in another order, by loss and repair.
    pieces = tmp_path / "pieces"
    make_zoo(tiny_inrs(), pieces)
    for path in (*pieces.glob("index/shard-00000.*"), *pieces.glob("weights/*/shard-00005.*")):
        path.unlink()
    make_zoo(tiny_inrs(), pieces)
    assert content(pieces) == content(whole)


def test_an_interrupted_zoo_continues_to_the_same_bytes(whole, tmp_path):
    class Stop(Exception):
        pass

    def stop(done: int, total: int, message: str) -> None:
        if message.startswith("fitting") and done > 0.7 * total:
            raise Stop

    with pytest.raises(Stop):
        make_zoo(tiny_inrs(), tmp_path / "zoo", progress=stop)
    assert 0 < len(list((tmp_path / "zoo").glob("index/*"))) < 3
    seen = []
    make_zoo(tiny_inrs(), tmp_path / "zoo", progress=lambda *args: seen.append(args))
    assert content(tmp_path / "zoo") == content(whole)
    assert seen[-1][0] == seen[-1][1] <= 7 * 20


def test_a_larger_num_extends_and_the_neighbours_do_not_matter(tmp_path):
    small = make_zoo(tiny_inrs(num=3), tmp_path / "zoo")
    first = small.load()
    large = make_zoo(tiny_inrs(), tmp_path / "zoo")
    assert all(torch.equal(value[:3], first[name]) for name, value in large.load().items())
    apart = make_zoo(tiny_inrs(shard=3), tmp_path / "apart")
    for name, value in apart.load().items():
        torch.testing.assert_close(value, large.load()[name], atol=1e-5, rtol=1e-4)

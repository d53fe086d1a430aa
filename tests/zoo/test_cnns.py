"""Small CNNs trained in groups: passes, dropout, training and files against the module and torch's own optimizers."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call
from zoo_material import content, draws, random_images

from weightspace.zoo import CNNTarget, CNNZooConfig, Images, load_images, make_zoo
from weightspace.zoo._any_config import parse_config
from weightspace.zoo._cells import blocks, columns, kernel_of, places
from weightspace.zoo._cnn_passes import CNNPasses
from weightspace.zoo._flat import views
from weightspace.zoo._train import groups, initial_buffer, shuffler, training_images
from weightspace.zoo._train_cnns import measure_cnns, train_cnns

DOUBLE = torch.float64
SMALL = CNNTarget(side=15, channels=3, num_classes=4)


def some_network(target: CNNTarget, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.5 * torch.randn(shape, generator=generator, dtype=DOUBLE) for name, shape in target.shapes().items()
    }


def masked(target: CNNTarget, params, x, factors):
    """The network with dropout of its second and third layer, as plain convolutions."""
    function = torch.tanh if target.activation == "tanh" else torch.relu
    _, second, third = places(target.side)
    h = x.view(-1, 1, target.side, target.side)
    for layer in range(3):
        h = function(F.conv2d(h, params[f"convs.{layer}.weight"], params[f"convs.{layer}.bias"], stride=2))
        if layer and factors is not None:
            side = (second, third)[layer - 1]
            grid = factors[layer - 1].view(len(x), side + 1, -1, target.channels)
            h = h * grid[:, :side, :side].permute(0, 3, 1, 2)
    return F.linear(h.mean((2, 3)), params["head.weight"], params["head.bias"])


any_network = given(
    side=st.sampled_from([15, 16, 17, 18, 19, 21, 23, 28, 32]),
    channels=st.integers(1, 4),
    images=st.integers(1, 5),
    activation=st.sampled_from(["tanh", "relu"]),
    seed=st.integers(0, 2**20),
)


@any_network
def test_passes_are_those_of_the_module_at_any_size_with_and_without_dropout(side, channels, images, activation, seed):
    target = CNNTarget(side=side, channels=channels, num_classes=3, activation=activation)
    params = some_network(target, seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(images, side**2, generator=generator, dtype=DOUBLE)
    y = torch.randint(3, (images,), generator=generator)
    module, passes = target.build().double(), CNNPasses(target, 5, DOUBLE)
    some = [1.5 * torch.randint(2, (images, num), generator=generator).to(DOUBLE) for num in passes.units]
    read = columns(x, side)
    for factors in (None, some):
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        if factors is None:
            logits = functional_call(module, leaves, (x.view(-1, 1, side, side),))
        else:
            logits = masked(target, leaves, x, factors)
        torch.testing.assert_close(passes.logits(params, read, factors), logits, atol=1e-12, rtol=1e-10)
        F.cross_entropy(logits, y).backward()
        out = {name: torch.empty_like(value) for name, value in params.items()}
        passes.gradient(params, read, y, out, factors)
        for name, leaf in leaves.items():
            torch.testing.assert_close(out[name], leaf.grad, atol=1e-12, rtol=1e-9)


def test_a_network_that_is_not_finite_leaves_nothing_behind():
    target = CNNTarget(side=17, channels=2, num_classes=3, activation="tanh")
    params, x, y = some_network(target, 0), columns(torch.rand(4, 17**2, dtype=DOUBLE), 17), torch.tensor([0, 1, 2, 0])
    found = []
    for bad in (False, True):
        passes = CNNPasses(target, 4, DOUBLE)
        out = {name: torch.empty_like(value) for name, value in params.items()}
        if bad:
            passes.gradient({name: value * torch.nan for name, value in params.items()}, x, y, out)
        passes.gradient(params, x, y, out)
        found.append(out)
    assert all(torch.equal(found[0][name], found[1][name]) for name in params)


def test_the_matrices_of_a_kernel_give_it_back():
    kernel = torch.randn(3, 2, 3, 3)
    assert torch.equal(kernel_of(blocks(kernel)), kernel)


def images_of(target: CNNTarget, num: int = 60, dtype: torch.dtype = DOUBLE) -> Images:
    return random_images(num, pixels=target.side**2, classes=target.num_classes, dtype=dtype)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_training_equals_torch_network_by_network(activation):
    target = SMALL.model_copy(update={"activation": activation})
    images = images_of(target)
    hypers = draws(9, dropout=(0.0, 0.0), fractions=(0.5,), learning_rate=(1e-3, 1e-2))
    (group,) = groups(hypers)
    group = [hypers[place] for place in group]
    assert {hyper.optimizer for hyper in group} == {"sgd", "adam", "rmsprop"}
    trained = train_cnns(
        group, target, columns(images.train_x, 15), images.train_y, batch_size=8, checkpoints=(0, 1, 2)
    )
    start = initial_buffer(group, target.shapes(), DOUBLE)
    assert torch.equal(trained.weights[:, 0], start)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    module = target.build().double()
    for k, hyper in enumerate(group):
        module.load_state_dict({name: value[k] for name, value in views(start, target.shapes()).items()})
        step = kinds[hyper.optimizer](module.parameters(), lr=hyper.learning_rate, weight_decay=hyper.l2)
        order, shuffle = training_images(hyper, 60), shuffler(hyper.seed)
        assert len(order) == 30
        for epoch in (1, 2):
            shuffle.shuffle(order)
            for index in torch.from_numpy(order).long().split(8):
                step.zero_grad()
                x = images.train_x[index].view(-1, 1, 15, 15)
                F.cross_entropy(module(x), images.train_y[index]).backward()
                step.step()
            for name, value in views(trained.weights[:, epoch], target.shapes()).items():
                torch.testing.assert_close(value[k], module.state_dict()[name], atol=1e-10, rtol=1e-8)


def test_with_whom_a_run_is_grouped_changes_nothing():
    images = images_of(SMALL)
    hypers = draws(8, fractions=(1.0,))
    read = columns(images.train_x, 15)

    def trained(group):
        return train_cnns(group, SMALL, read, images.train_y, batch_size=16, checkpoints=(1, 2)).weights

    group = [hypers[place] for place in groups(hypers)[0]]
    together = trained(group)
    for k, hyper in enumerate(group):
        torch.testing.assert_close(trained([hyper])[0], together[k], atol=1e-12, rtol=1e-10)


def test_a_run_sees_its_own_share_of_the_images_and_no_other():
    images = images_of(SMALL)
    for hyper in draws(6, fractions=(0.1, 0.25)):
        counted: list[int] = []
        own = training_images(hyper, 60)
        assert len(set(own.tolist())) == len(own) == round(60 * hyper.fraction)
        x = torch.full_like(images.train_x, torch.nan)
        x[own] = images.train_x[own]
        for shown in (images.train_x, x):
            found = train_cnns(
                [hyper],
                SMALL,
                columns(shown, 15),
                images.train_y,
                batch_size=4,
                checkpoints=(2,),
                advance=counted.append,
            )
            assert not found.diverged.any()
        assert counted == [len(own)] * 4


def test_a_diverged_run_keeps_its_last_sound_weights_and_spares_the_others():
    images = images_of(SMALL)
    wild, calm = draws(2, optimizers=("sgd",), fractions=(1.0,), inits=("he",), learning_rate=(1e-2, 1e-2))
    wild = dataclasses.replace(wild, learning_rate=1e30)
    read = columns(images.train_x, 15)
    both, alone = (
        train_cnns(group, SMALL, read, images.train_y, batch_size=16, checkpoints=(0, 1, 2))
        for group in ([wild, calm], [calm])
    )
    assert both.diverged.tolist() == [[False, True, True], [False, False, False]]
    assert torch.equal(both.weights[0, 2], both.weights[0, 0])
    torch.testing.assert_close(both.weights[1], alone.weights[0], atol=1e-12, rtol=1e-10)


def wide_digits(*_: object, **__: object) -> Images:
    """Digits as images of 16x16, a few of them."""
    images, fields = load_images("digits"), {}
    for part in ("train", "val", "test"):
        x = getattr(images, f"{part}_x")[:200].view(-1, 1, 8, 8)
        fields[f"{part}_x"] = F.interpolate(x, (16, 16)).flatten(1)
        fields[f"{part}_y"] = getattr(images, f"{part}_y")[:200]
    return Images(name="digits", num_classes=10, **fields)


@pytest.fixture
def tiny(monkeypatch) -> CNNZooConfig:
    monkeypatch.setattr("weightspace.zoo._make.load_images", wide_digits)
    target = CNNTarget(side=16, channels=3, activation="tanh")
    hyper = {"fractions": (0.5, 1.0), "dropout": (0.0, 0.3)}
    fields = {"images": "digits", "target": target, "num": 7, "checkpoints": (0, 1, 3), "batch_size": 32}
    return CNNZooConfig.model_validate({**fields, "hyper": hyper, "shard": 3})


def test_rows_describe_the_networks_and_keep_the_settings(tiny, tmp_path):
    zoo, images = make_zoo(tiny, tmp_path / "zoo"), wide_digits()
    assert parse_config({**tiny.identity(), "num": tiny.num}) == tiny == zoo.config
    assert zoo.rows["epoch"].tolist() == [0, 1, 3] * 7
    params, net = zoo.load(), tiny.target.build()
    for row in range(len(zoo)):
        net.load_state_dict({name: value[row] for name, value in params.items()})
        (hyper,) = [hyper for hyper in draws(7, **tiny.hyper.model_dump()) if hyper.id == zoo.rows["id"][row]]
        own = torch.from_numpy(training_images(hyper, 200))
        parts = {
            "train": (images.train_x[own], images.train_y[own]),
            "val": (images.val_x, images.val_y),
            "test": (images.test_x, images.test_y),
        }
        for part, (x, y) in parts.items():
            with torch.no_grad():
                logits = net(x.view(-1, 1, 16, 16))
            assert zoo.rows[f"{part}_loss"][row] == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-4)
            assert zoo.rows[f"{part}_accuracy"][row] == pytest.approx(float((logits.argmax(1) == y).float().mean()))
        for name in ("seed", "optimizer", "learning_rate", "l2", "init", "dropout", "fraction"):
            assert zoo.rows[name][row] == getattr(hyper, name)
        std = zoo.rows["init_std"][row]
        assert np.isnan(std) if hyper.init_std is None else std == hyper.init_std
    assert zoo.rows["val_loss"][2::3].mean() < zoo.rows["val_loss"][::3].mean()


def test_an_interrupted_zoo_continues_to_the_same_bytes_on_any_number_of_threads(tiny, tmp_path):
    make_zoo(tiny, tmp_path / "one")
    torch.set_num_threads(2)
    try:
        make_zoo(tiny, tmp_path / "two", num=3)
    finally:
        torch.set_num_threads(1)
    make_zoo(tiny, tmp_path / "two")
    assert content(tmp_path / "two") == content(tmp_path / "one")

    def stop(done: int, *_: object) -> None:
        if done > 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_zoo(tiny, tmp_path / "three", progress=stop)
    make_zoo(tiny, tmp_path / "three")
    assert content(tmp_path / "three") == content(tmp_path / "one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoints": (0,)}, "the last at least 1"),
        ({"checkpoints": (2, 1)}, "increasing"),
        ({"target": {"kind": "cnn", "activation": "gelu"}}, "tanh or relu, got 'gelu'"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CNNZooConfig.model_validate(change)


def test_measures_are_those_of_the_module():
    images = images_of(SMALL, 300)
    weights = initial_buffer(draws(3, inits=("he",)), SMALL.shapes(), DOUBLE)
    found = measure_cnns(weights, SMALL, columns(images.train_x, 15), images.train_y)
    params = views(weights, SMALL.shapes())
    for logits, (loss, accuracy) in zip(SMALL.forward(params, images.train_x), found, strict=True):
        assert float(loss) == pytest.approx(float(F.cross_entropy(logits, images.train_y)))
        assert float(accuracy) == pytest.approx(float((logits.argmax(1) == images.train_y).double().mean()))

"""Classifiers from independent seeds: architectures, training, files."""

import pytest
import torch
from inr_material import tiny_inrs, tiny_seeds
from zoo_material import content, tiny_config

import weightspace as ws
from weightspace import ConfigError
from weightspace.zoo import CNNTarget, ResNetTarget, SeedZooConfig, load_images, make_zoo, stacked_forward
from weightspace.zoo._any_config import parse_config
from weightspace.zoo._train_module import initial_module, measure, train_module

FACTORIES = ("siren", "wide_mlp_relu", "wide_mlp_tanh", "cnn_relu", "cnn_tanh", "resnet")
PARAMETERS = {"siren": 1185, "wide_mlp_relu": 932362, "cnn_relu": 4970, "cnn_tanh": 4970}


@pytest.mark.parametrize("name", FACTORIES)
def test_the_architectures_of_the_zoos_have_the_symmetry_they_should(name):
    net, example = getattr(ws.zoo, name)()
    assert len(net(example)) == 1
    spec = ws.derive(net, example, verify=False)
    assert spec.check(net.state_dict()) is None
    # Hidden neurons move in every layer; a batch normalization adds scales to those of ReLU.
    free = {space.scale for space in spec.free}
    assert free == {"sign"} if name in ("siren", "wide_mlp_tanh", "cnn_tanh") else "positive" in free
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS.get(name, sum(p.numel() for p in net.parameters()))


@pytest.mark.parametrize(
    "target", [CNNTarget(side=15, channels=3), ResNetTarget(side=15, channels=2)], ids=lambda t: t.kind
)
def test_stacked_networks_are_the_modules(target):
    torch.manual_seed(0)
    nets = [target.build().eval() for _ in range(3)]
    params = {name: torch.stack([net.state_dict()[name] for net in nets]) for name in nets[0].state_dict()}
    spec = ws.derive(target.build(), target.example())
    assert spec.check(params) == 3
    x = torch.rand(4, *target.example().shape[1:])
    together = stacked_forward(nets[0], params, x)
    for net, out in zip(nets, together, strict=True):
        torch.testing.assert_close(out, net(x), atol=1e-5, rtol=1e-4)


TARGETS = {
    "mlp": {"kind": "mlp", "widths": (64, 6, 10)},
    "cnn": {"kind": "cnn", "side": 16, "channels": 2},
    "resnet": {"kind": "resnet", "side": 16, "channels": 2},
}


def small_images(side: int):
    images = load_images("digits")
    fields = {}
    for part in ("train_x", "val_x", "test_x"):
        x = getattr(images, part)[:200].view(-1, 1, 8, 8)
        fields[part] = torch.nn.functional.interpolate(x, (side, side)).flatten(1)
    for part in ("train_y", "val_y", "test_y"):
        fields[part] = getattr(images, part)[:200]
    return type(images)(name="small", num_classes=10, **fields)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_is_a_function_of_the_seed_and_learns(kind, optimizer):
    images = small_images(8 if kind == "mlp" else 16)
    rate = 0.01 if optimizer == "adam" else 0.1
    config = tiny_seeds(target=TARGETS[kind], optimizer=optimizer, learning_rate=rate, epochs=2, batch_size=20)
    state = torch.random.get_rng_state()
    net, lost = train_module(config, 5, images)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not lost
    assert not net.training
    again, _ = train_module(config, 5, images)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
    shape = config.target.example().shape[1:]
    before, _ = measure(initial_module(config, 5).eval(), images.train_x, images.train_y, shape)
    after, _ = measure(net, images.train_x, images.train_y, shape)
    assert after < before
    other = initial_module(config, 6).state_dict()
    first = next(iter(other))
    assert not torch.equal(other[first], initial_module(config, 5).state_dict()[first])


def test_a_network_that_breaks_down_keeps_its_last_sound_weights():
    target = {"kind": "mlp", "widths": (64, 8, 10), "activation": "relu"}
    config = tiny_seeds(target=target, optimizer="sgd", learning_rate=1e9, epochs=3)
    net, lost = train_module(config, 0, load_images("digits"))
    assert lost
    assert all(value.isfinite().all() for value in net.state_dict().values())


def test_rows_describe_the_networks_and_the_bytes_are_always_the_same(tmp_path):
    zoo, images = make_zoo(tiny_seeds(), tmp_path / "one"), load_images("digits")
    assert zoo.rows["id"].tolist() == [0, 1, 2]
    net = zoo.config.target.build()
    params = zoo.load()
    for row in range(3):
        net.load_state_dict({name: value[row] for name, value in params.items()})
        loss, accuracy = measure(net, images.test_x, images.test_y, torch.Size([64]))
        assert zoo.rows["test_loss"][row] == pytest.approx(loss, rel=1e-5)
        assert zoo.rows["test_accuracy"][row] == pytest.approx(accuracy)
    make_zoo(tiny_seeds(), tmp_path / "two", num=2)
    make_zoo(tiny_seeds(), tmp_path / "two")
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_batch_normalization_counts_stay_integers(tmp_path, monkeypatch):
    monkeypatch.setattr("weightspace.zoo._make.load_images", lambda *_, **__: small_images(16))
    config = tiny_seeds(target=TARGETS["resnet"], num=2)
    zoo = make_zoo(config, tmp_path / "zoo")
    params = zoo.load()
    assert params["norm.num_batches_tracked"].tolist() == [1, 1]
    assert params["norm.running_var"].dtype == torch.float32


def test_every_kind_of_configuration_survives_its_plain_form():
    for config in (tiny_config(), tiny_inrs(), tiny_seeds(), SeedZooConfig(target=CNNTarget())):
        assert parse_config({**config.identity(), "num": config.num}) == config
    with pytest.raises(ValueError, match="unknown kind of zoo 'nope'"):
        parse_config({"kind": "nope"})


def test_a_target_that_does_not_fit_the_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"1024 inputs and 10 outputs cannot classify digits.*target\.side to 8"):
        make_zoo(tiny_seeds(target={"kind": "cnn"}), tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()

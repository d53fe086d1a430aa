"""The vectorized trainer against vmap, torch.optim and a plain loop."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call, grad, vmap
from zoo_material import TINY, draws, random_images

from weightspace import ConfigError, SpecMismatch
from weightspace.spec import derive
from weightspace.zoo import MLP, evaluate, finetune, finetune_path, stacked_forward, stacked_mlp
from weightspace.zoo._flat import num_weights, pack, views
from weightspace.zoo._gradient import cross_entropy_gradient
from weightspace.zoo._optimizers import make_optimizer
from weightspace.zoo._train import Trainer, groups, train_group, training_images
from weightspace.zoo.targets.activations import ACTIVATIONS, activation_function

DOUBLE = torch.float64


def stacked(module: MLP, num: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.5 * torch.randn(num, *value.shape, generator=generator, dtype=DOUBLE).to(dtype)
        for name, value in module.state_dict().items()
    }


any_layout = given(
    widths=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    num=st.integers(1, 4),
    images=st.integers(1, 6),
    activation=st.sampled_from(["tanh", "relu", "gelu", "abs"]),
    seed=st.integers(0, 2**20),
)


@any_layout
def test_stacked_mlp_is_the_module_under_vmap(widths, num, images, activation, seed):
    module = MLP(widths, activation).double()
    params = stacked(module, num, seed)
    x = torch.randn(images, widths[0], dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    slow = stacked_forward(module, params, x)
    torch.testing.assert_close(stacked_mlp(params, x, activation), slow, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(stacked_mlp(params, x.expand(num, -1, -1), activation), slow, atol=1e-12, rtol=1e-12)


@any_layout
def test_gradient_is_that_of_vmap(widths, num, images, activation, seed):
    module = MLP(widths, activation).double()
    params = stacked(module, num, seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num, images, widths[0], dtype=DOUBLE, generator=generator)
    y = torch.randint(widths[-1], (num, images), generator=generator)

    def loss(p, x, y):
        return F.cross_entropy(functional_call(module, p, (x,)), y)

    slow = vmap(grad(loss))(params, x, y)
    fast = {name: torch.empty_like(value) for name, value in params.items()}
    cross_entropy_gradient(params, x, y, activation, None, fast)
    for name, value in slow.items():
        torch.testing.assert_close(fast[name], value, atol=1e-12, rtol=1e-10)
    soft = F.one_hot(y, widths[-1]).transpose(1, 2).to(DOUBLE)
    cross_entropy_gradient(params, x, soft, activation, None, fast)
    for name, value in slow.items():
        torch.testing.assert_close(fast[name], value, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
def test_gradient_under_dropout_is_that_of_the_masked_network(activation):
    module = MLP((5, 4, 3, 2), activation).double()
    params = {name: value.requires_grad_() for name, value in stacked(module, 3).items()}
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 6, 5, dtype=DOUBLE, generator=generator)
    y = torch.randint(2, (3, 6), generator=generator)
    masks = [2 * torch.randint(2, (3, 6, n), generator=generator).to(DOUBLE) for n in (4, 3)]
    h = x
    for index in range(3):
        h = h @ params[f"layers.{index}.weight"].transpose(1, 2) + params[f"layers.{index}.bias"][:, None]
        if index < 2:
            h = activation_function(activation)(h) * masks[index]
    sum(F.cross_entropy(h[k], y[k]) for k in range(3)).backward()
    fast = {name: torch.empty_like(value) for name, value in params.items()}
    cross_entropy_gradient({name: value.detach() for name, value in params.items()}, x, y, activation, masks, fast)
    for name, value in params.items():
        torch.testing.assert_close(fast[name], value.grad, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("kind", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_training_equals_torch_optim_network_by_network(kind, activation):
    images = random_images(70, pixels=7, classes=3, dtype=DOUBLE)
    module = MLP((7, 5, 4, 3), activation).double()
    params = stacked(module, 3)
    rates, decays = torch.tensor([1e-3, 1e-2, 5e-2], dtype=DOUBLE), torch.tensor([0, 1e-4, 1e-2], dtype=DOUBLE)
    shapes = {name: tuple(value.shape[1:]) for name, value in params.items()}
    order = np.stack([np.random.default_rng(k).permutation(70) for k in range(3)]).astype(np.int32)

    def gradient(p, index, out):
        flat = index.reshape(-1)
        x, y = images.train_x[flat].view(*index.shape, -1), images.train_y[flat].view(index.shape)
        cross_entropy_gradient(p, x, y, activation, None, out)

    weights = pack(params)
    optimizer = make_optimizer(kind, rates, decays, num_weights(shapes))
    trainer = Trainer(weights, shapes, [(slice(None), optimizer)], gradient, batch_size=16)
    for _ in range(3):
        assert trainer.epoch(torch.from_numpy(order)) == 3 * 70

    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[kind]
    for k in range(3):
        module.load_state_dict({name: value[k] for name, value in params.items()})
        step = make(module.parameters(), lr=rates[k].item(), weight_decay=decays[k].item())
        for _ in range(3):
            for index in torch.from_numpy(order[k]).long().split(16):
                step.zero_grad()
                F.cross_entropy(module(images.train_x[index]), images.train_y[index]).backward()
                step.step()
        for name, value in views(weights, shapes).items():
            torch.testing.assert_close(value[k], module.state_dict()[name], atol=1e-10, rtol=1e-10)


def test_grouping_changes_a_run_by_rounding_only():
    images = random_images()
    hypers = draws(24, dropout=(0.1, 0.5))

    def trained(members):
        out = {}
        for places in groups(members):
            group = [members[place] for place in places]
            weights = train_group(group, TINY, images, batch_size=32, checkpoints=(1, 2)).weights
            out |= {hyper.id: row for hyper, row in zip(group, weights, strict=True)}
        return out

    together = trained(hypers)
    for part in (hypers[:5], hypers[5:]):
        for run, weights in trained(part).items():
            torch.testing.assert_close(weights, together[run], atol=2e-5, rtol=2e-4)


def test_groups_hold_one_fraction_and_optimizers_side_by_side():
    hypers = draws(150)
    found = groups(hypers)
    assert sorted(place for group in found for place in group) == list(range(150))
    for group in found:
        members = [hypers[place] for place in group]
        assert len({hyper.fraction for hyper in members}) == 1
        assert len(group) <= 32
        kinds = [hyper.optimizer for hyper in members]
        assert kinds == sorted(kinds)


def test_a_fraction_makes_that_share_of_the_steps():
    images, counted = random_images(300), []
    for hyper in draws(12):
        counted.clear()
        train_group([hyper], TINY, images, batch_size=64, checkpoints=(2,), advance=counted.append)
        assert counted == [round(300 * hyper.fraction)] * 2
        own = training_images(hyper, 300)
        assert len(set(own.tolist())) == len(own) == counted[0]


def test_a_diverged_run_keeps_its_last_sound_weights_and_spares_the_others():
    images = random_images()
    wild, calm = draws(2, optimizers=("sgd",), fractions=(1.0,), inits=("he",))
    relu = TINY.model_copy(update={"activation": "relu"})
    wild = dataclasses.replace(wild, learning_rate=1e30, dropout=0.0)
    calm = dataclasses.replace(calm, learning_rate=1e-2, dropout=0.0)
    both = train_group([wild, calm], relu, images, batch_size=32, checkpoints=(1, 2))
    alone = train_group([calm], relu, images, batch_size=32, checkpoints=(1, 2))
    assert both.diverged.tolist() == [[True, True], [False, False]]
    assert both.weights.isfinite().all()
    torch.testing.assert_close(both.weights[1], alone.weights[0], atol=1e-5, rtol=1e-4)


def test_evaluation_equals_torch_one_network_at_a_time():
    images = random_images(700, dtype=DOUBLE)
    module = MLP(TINY.widths).double()
    params = stacked(module, 11)
    result = evaluate(params, images.train_x, images.train_y, "tanh", predictions=True)
    own = evaluate(params, images.train_x.expand(11, -1, -1), images.train_y.expand(11, -1), "tanh")
    assert result.predictions is not None
    for k in range(11):
        logits = functional_call(module, {name: value[k] for name, value in params.items()}, (images.train_x,))
        torch.testing.assert_close(result.loss[k], F.cross_entropy(logits, images.train_y), atol=1e-12, rtol=1e-12)
        assert result.accuracy[k] == (logits.argmax(1) == images.train_y).double().mean()
        assert torch.equal(result.predictions[k].long(), logits.argmax(1))
    torch.testing.assert_close(own.loss, result.loss, atol=1e-12, rtol=1e-12)
    assert torch.equal(own.accuracy, result.accuracy)
    with torch.inference_mode():
        assert torch.equal(evaluate(params, images.train_x, images.train_y).loss, result.loss)


def test_finetuning_is_deterministic_in_any_portions_and_at_any_epoch():
    images = random_images()
    spec = derive(MLP(TINY.widths), torch.zeros(1, 64))
    params = stacked(MLP(TINY.widths), 5, dtype=torch.float32)
    before = {name: value.clone() for name, value in params.items()}
    path, _ = finetune_path(params, spec, images, optimizer="adam", epochs=(1, 3), seed=4)
    again = finetune(params, spec, images, optimizer="adam", epochs=3, seed=4)
    part = {name: value[3:] for name, value in params.items()}
    portion = finetune(part, spec, images, optimizer="adam", epochs=3, seed=4, ids=[3, 4])
    other = finetune(part, spec, images, optimizer="adam", epochs=3, seed=4)
    for name in params:
        assert torch.equal(params[name], before[name])
        assert torch.equal(path[3][name], again[name])
        torch.testing.assert_close(portion[name], again[name][3:], atol=1e-5, rtol=1e-4)
    assert any((other[name] - again[name][3:]).abs().max() > 1e-3 for name in params)
    with torch.inference_mode():
        silently = finetune(params, spec, images, optimizer="adam", epochs=3, seed=4)
    assert all(torch.equal(silently[name], again[name]) for name in again)
    losses = [evaluate(p, images.train_x, images.train_y).loss.mean() for p in (params, path[1], path[3])]
    assert losses[0] > losses[1] > losses[2]


def test_finetuning_follows_the_objective_with_l1_and_own_outputs():
    images = random_images(64, dtype=DOUBLE)
    module = MLP(TINY.widths).double()
    spec = derive(module, torch.zeros(1, 64, dtype=DOUBLE))
    params = stacked(module, 1)
    for distill in (False, True):
        tuned = finetune(params, spec, images, epochs=2, batch_size=64, l1=1e-2, distill=distill, learning_rate=0.1)
        # One batch holds all images, so the order does not matter.
        module.load_state_dict({name: value[0] for name, value in params.items()})
        with torch.no_grad():
            goal = module(images.train_x).softmax(1) if distill else images.train_y
        step = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(2):
            step.zero_grad()
            penalty = sum(value.abs().sum() for value in module.parameters())
            (F.cross_entropy(module(images.train_x), goal) + 1e-2 * penalty).backward()
            step.step()
        for name, value in module.state_dict().items():
            torch.testing.assert_close(tuned[name][0], value, atol=1e-10, rtol=1e-10)


def test_finetuning_refuses_networks_of_another_architecture():
    images = random_images()
    spec = derive(MLP((64, 9, 10)), torch.zeros(1, 64))
    with pytest.raises(SpecMismatch, match=r"layers\.0\.weight"):
        finetune(stacked(MLP(TINY.widths), 2), spec, images)


def test_an_unknown_activation_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown activation 'tanhh'.*tanh, sin"):
        MLP((2, 2), "tanhh")
    assert "tanh" in ACTIVATIONS

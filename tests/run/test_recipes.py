"""Recipes are complete configurations, found by name."""

import pytest

import weightspace
from weightspace import ConfigError, recipes
from weightspace.run import parse_run
from weightspace.zoo import ZooConfig


@pytest.mark.parametrize("name", recipes.RUNS)
def test_every_run_recipe_is_complete_and_knows_its_name(name):
    config = recipes.get(name)
    assert config.name == name
    assert parse_run(config.model_dump()) == config
    assert config.zoo.make is not None


@pytest.mark.parametrize("name", recipes.ZOOS)
def test_every_zoo_recipe_is_the_architecture_of_the_paper(name):
    config = recipes.zoo(name)
    assert config.images in name
    assert config.target.nonlinearity.split()[0] in name.replace("inr", "sin").replace("resnet", "relu")
    if isinstance(config, ZooConfig):
        assert config.target.widths == (64, 48, 32, 16, 10)
    else:
        plain = name.replace("mlp512", "wide_mlp").replace("cnn_zoo", "cnn").replace(f"_{config.images}", "")
        inr = "siren_colour" if name == "inr_cifar10" else "siren"
        architecture = inr if "inr" in name else plain
        net, example = getattr(weightspace.zoo, architecture)()
        assert config.target.example().shape == example.shape
        assert str(config.target.build()) == str(net)


def test_a_typo_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'amortize_digits'"):
        recipes.get("amortize-digit")
    with pytest.raises(ConfigError, match="Did you mean 'digits_mlp_tanh'"):
        recipes.zoo("digits_mlp_tan")
    with pytest.raises(ConfigError, match="recipe of 'weightspace zoo make'"):
        recipes.get("digits_mlp_tanh")

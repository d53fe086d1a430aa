"""Complete configurations by name; the command line looks them up, nothing else imports them."""

import difflib
from collections.abc import Callable, Mapping
from typing import TypeVar

from .._errors import ConfigError
from ..run import Run
from ..zoo import AnyZooConfig
from . import amortize, zoos

T = TypeVar("T")

RUNS: dict[str, Callable[[], Run]] = {
    "demo": amortize.demo,
    "amortize_digits": amortize.amortize_digits,
    "amortize_cifar10_tanh_ce": amortize.amortize_cifar10_tanh_ce,
    "amortize_cifar10_tanh_distill": amortize.amortize_cifar10_tanh_distill,
    "amortize_cifar10_relu_ce": amortize.amortize_cifar10_relu_ce,
    "amortize_cifar10_relu_distill": amortize.amortize_cifar10_relu_distill,
}
"""Recipes of ``weightspace train``."""

ZOOS: dict[str, Callable[[], AnyZooConfig]] = {
    "digits_mlp_tanh": zoos.digits_mlp_tanh,
    "digits_mlp_relu": zoos.digits_mlp_relu,
    "cifar10_mlp_tanh": zoos.cifar10_mlp_tanh,
    "cifar10_mlp_relu": zoos.cifar10_mlp_relu,
    "inr_digits": zoos.inr_digits,
    "inr_mnist": zoos.inr_mnist,
    "mlp512_mnist_relu": zoos.mlp512_mnist_relu,
    "mlp512_mnist_tanh": zoos.mlp512_mnist_tanh,
    "cnn_cifar10_relu": zoos.cnn_cifar10_relu,
    "cnn_cifar10_tanh": zoos.cnn_cifar10_tanh,
    "resnet_fashion_mnist": zoos.resnet_fashion_mnist,
}
"""Recipes of ``weightspace zoo make``."""


def get(name: str) -> Run:
    """The run recipe called ``name``.

    Raises:
        ConfigError: with the closest name if there is none of that name.
    """
    return _find(name, RUNS, ZOOS, "weightspace zoo make")()


def zoo(name: str) -> AnyZooConfig:
    """The zoo recipe called ``name``.

    Raises:
        ConfigError: with the closest name if there is none of that name.
    """
    return _find(name, ZOOS, RUNS, "weightspace train")()


def names() -> list[str]:
    """Names of all run recipes."""
    return list(RUNS)


def zoo_names() -> list[str]:
    """Names of all zoo recipes."""
    return list(ZOOS)


def _find(name: str, known: Mapping[str, T], others: Mapping[str, object], other_verb: str) -> T:
    if name in known:
        return known[name]
    if name in others:
        hint = f"That is a recipe of '{other_verb}'. "
    else:
        close = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown recipe {name!r}. {hint}Choose one of: {', '.join(known)}.")

"""Complete configurations by name; the command line looks them up, nothing else imports them."""

import difflib
from collections.abc import Callable, Mapping
from typing import TypeVar

from .._errors import ConfigError
from ..run import Run
from ..run.verbs.orbit_config import OrbitRun
from ..zoo import AnyZooConfig
from . import amortize, orbits, readers, zoos

T = TypeVar("T")

RUNS: dict[str, Callable[[], Run]] = {
    "demo": amortize.demo,
    "amortize_digits": amortize.amortize_digits,
    "amortize_cifar10_tanh_ce": amortize.amortize_cifar10_tanh_ce,
    "amortize_cifar10_tanh_distill": amortize.amortize_cifar10_tanh_distill,
    "amortize_cifar10_relu_ce": amortize.amortize_cifar10_relu_ce,
    "amortize_cifar10_relu_distill": amortize.amortize_cifar10_relu_distill,
    "amortize_cnn_cifar10_relu_ce": amortize.amortize_cnn_cifar10_relu_ce,
    "classify_inr_digits": readers.classify_inr_digits,
    "classify_inr_mnist": readers.classify_inr_mnist,
    "edit_inr_digits": readers.edit_inr_digits,
    "edit_inr_mnist": readers.edit_inr_mnist,
    "predict_accuracy_digits": readers.predict_accuracy_digits,
    "predict_accuracy_cnn_relu": readers.predict_accuracy_cnn_relu,
    "predict_accuracy_cnn_tanh": readers.predict_accuracy_cnn_tanh,
}
"""Recipes of ``weightspace train``."""

ZOOS: dict[str, Callable[[], AnyZooConfig]] = {
    "digits_mlp_tanh": zoos.digits_mlp_tanh,
    "digits_mlp_relu": zoos.digits_mlp_relu,
    "cifar10_mlp_tanh": zoos.cifar10_mlp_tanh,
    "cifar10_mlp_relu": zoos.cifar10_mlp_relu,
    "inr_digits": zoos.inr_digits,
    "inr_mnist": zoos.inr_mnist,
    "inr_fashion_mnist": zoos.inr_fashion_mnist,
    "inr_mnist_fast": zoos.inr_mnist_fast,
    "inr_fashion_mnist_fast": zoos.inr_fashion_mnist_fast,
    "inr_cifar10": zoos.inr_cifar10,
    "mlp512_mnist_relu": zoos.mlp512_mnist_relu,
    "mlp512_mnist_tanh": zoos.mlp512_mnist_tanh,
    "cnn_cifar10_relu": zoos.cnn_cifar10_relu,
    "cnn_cifar10_tanh": zoos.cnn_cifar10_tanh,
    "cnn_zoo_cifar10_relu": zoos.cnn_zoo_cifar10_relu,
    "cnn_zoo_cifar10_tanh": zoos.cnn_zoo_cifar10_tanh,
    "resnet_fashion_mnist": zoos.resnet_fashion_mnist,
}
"""Recipes of ``weightspace zoo make``."""

ORBITS: dict[str, Callable[[], OrbitRun]] = {
    "orbit_inr_mnist": orbits.orbit_inr_mnist,
    "orbit_inr_digits": orbits.orbit_inr_digits,
    "orbit_cnn_cifar10": orbits.orbit_cnn_cifar10,
}
"""Recipes of ``weightspace interpolate``."""

_BY_VERB: dict[str, Mapping[str, object]] = {
    "weightspace train": RUNS,
    "weightspace zoo make": ZOOS,
    "weightspace interpolate": ORBITS,
}


def get(name: str) -> Run:
    """The run recipe called ``name``.

    Raises:
        ConfigError: with the closest name if there is none of that name.
    """
    return _find(name, RUNS)()


def zoo(name: str) -> AnyZooConfig:
    """The zoo recipe called ``name``.

    Raises:
        ConfigError: with the closest name if there is none of that name.
    """
    return _find(name, ZOOS)()


def orbit(name: str) -> OrbitRun:
    """The recipe of an orbit experiment called ``name``.

    Raises:
        ConfigError: with the closest name if there is none of that name.
    """
    return _find(name, ORBITS)()


def names() -> list[str]:
    """Names of all run recipes."""
    return list(RUNS)


def zoo_names() -> list[str]:
    """Names of all zoo recipes."""
    return list(ZOOS)


def orbit_names() -> list[str]:
    """Names of all recipes of orbit experiments."""
    return list(ORBITS)


def _find(name: str, known: Mapping[str, T]) -> T:
    if name in known:
        return known[name]
    verb = next((verb for verb, recipes in _BY_VERB.items() if name in recipes), None)
    if verb is not None:
        hint = f"That is a recipe of '{verb}'. "
    else:
        close = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown recipe {name!r}. {hint}Choose one of: {', '.join(known)}.")

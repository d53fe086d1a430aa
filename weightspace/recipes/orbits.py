"""Orbit experiments: copies of one network in different gauges, brought together by several methods."""

from ..run.verbs.orbit_config import OrbitPanel, OrbitRun
from .zoos import cnn_cifar10_relu, inr_digits, inr_mnist

_FIGURES = (
    OrbitPanel(name="3a", kind="permutations", sigma=0.005),
    OrbitPanel(name="3b", kind="signs", sigma=0.005),
    OrbitPanel(name="3c", kind="all", sigma=0.005),
    OrbitPanel(name="7a", kind="permutations"),
    OrbitPanel(name="7b", kind="signs"),
    OrbitPanel(name="7c", kind="all"),
)
"""Panels of arXiv:2511.12601, by their names there."""


def orbit_inr_mnist() -> OrbitRun:
    """10 MNIST INRs of the test split, 512 copies of each: Figs. 3 and 7 of arXiv:2511.12601."""
    return OrbitRun(name="orbit_inr_mnist", zoo=inr_mnist(), panels=_FIGURES)


def orbit_inr_digits() -> OrbitRun:
    """The same on INRs of the embedded 8x8 digits, with fewer copies; zoo included, well under a minute."""
    return OrbitRun(name="orbit_inr_digits", zoo=inr_digits(), panels=_FIGURES, copies=32)


def orbit_cnn_cifar10() -> OrbitRun:
    """Small CNNs on gray CIFAR-10: permutations with log-normal scales for ReLU, with signs for tanh (give its zoo)."""
    panels = (OrbitPanel(name="noise", kind="all", sigma=0.02), OrbitPanel(name="exact", kind="all"))
    return OrbitRun(name="orbit_cnn_cifar10", zoo=cnn_cifar10_relu(), split=None, copies=16, points=21, panels=panels)

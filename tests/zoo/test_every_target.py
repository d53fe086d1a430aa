"""Every target keeps what zoos, tasks and verbs rely on; see target_suite.py."""

from types import MappingProxyType

from target_suite import TargetSuite
from torch import nn

from weightspace.zoo import CNNTarget, MLPTarget, ModuleTarget, ResNetTarget, SirenTarget

LARGER = MappingProxyType({"side": 32})
"""Shapes of convolutions do not show the size of images."""


class TestMLP(TargetSuite):
    target = MLPTarget(widths=(7, 6, 5, 3), activation="relu")
    activation = "relu"
    other = CNNTarget(side=15, channels=2)


class TestTanhMLP(TargetSuite):
    """Tanh has a way of its own."""

    target = MLPTarget(widths=(5, 4, 2), activation="tanh")
    activation = "tanh"
    other = ResNetTarget(side=16, channels=2)


class TestCNN(TargetSuite):
    target = CNNTarget(side=15, channels=3, num_classes=4, activation="tanh")
    activation = "tanh"
    other = ResNetTarget(side=16, channels=3)
    unseen = LARGER


class TestResNet(TargetSuite):
    target = ResNetTarget(side=16, channels=4, num_classes=3)
    activation = "relu"
    other = CNNTarget(side=15, channels=2)
    unseen = LARGER


class TestSiren(TargetSuite):
    target = SirenTarget(widths=(2, 6, 5, 1), omega=7.0, offset=0.25)
    activation = None
    other = MLPTarget(widths=(2, 6, 5, 1))


def their_module() -> nn.Module:
    """Somebody's own function."""
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 2))


class TestModule(TargetSuite):
    target = ModuleTarget(factory=f"{__name__}:their_module", input=(2, 3))
    activation = None
    other = MLPTarget(widths=(3, 5, 2))

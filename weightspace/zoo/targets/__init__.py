"""Target networks: the small networks that are data, one interface for all of them."""

from typing import Annotated, get_args

from pydantic import Field

from ._target import AbstractTarget as AbstractTarget
from ._target import stacked_forward as stacked_forward
from .activations import ActivationName as ActivationName
from .activations import activation_function as activation_function
from .cnn import CNN as CNN
from .cnn import CNNTarget as CNNTarget
from .mlp import MLP as MLP
from .mlp import MLPTarget as MLPTarget
from .mlp import stacked_mlp as stacked_mlp
from .module import ModuleTarget as ModuleTarget
from .resnet import ResidualBlock as ResidualBlock
from .resnet import ResNet as ResNet
from .resnet import ResNetTarget as ResNetTarget
from .siren import Siren as Siren
from .siren import SirenTarget as SirenTarget
from .siren import pixel_grid as pixel_grid
from .siren import stacked_siren as stacked_siren

Target = MLPTarget | CNNTarget | ResNetTarget | SirenTarget | ModuleTarget
"""Every target that ships with the library, and anybody's module."""

TARGETS: tuple[type[Target], ...] = get_args(Target)

AnyTarget = Annotated[Target, Field(discriminator="kind")]
"""A field that holds one of them."""

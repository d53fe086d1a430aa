"""Zoos: sets of trained networks. Targets, images, the vectorized trainer, and the files they are kept in."""

from ._config import ZooConfig as ZooConfig
from ._evaluate import Evaluation as Evaluation
from ._evaluate import evaluate as evaluate
from ._finetune import finetune as finetune
from ._finetune import finetune_path as finetune_path
from ._hyper import HyperSpace as HyperSpace
from ._images import Images as Images
from ._images import load_images as load_images
from ._make import make_zoo as make_zoo
from ._targets import MLP as MLP
from ._targets import MLPTarget as MLPTarget
from ._targets import Siren as Siren
from ._targets import stacked_forward as stacked_forward
from ._targets import stacked_mlp as stacked_mlp
from ._zoo import Zoo as Zoo

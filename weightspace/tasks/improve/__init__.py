"""Improve networks: operators that lower a network's loss, or thin it out, in one pass (arXiv:2510.08300)."""

from ._config import CrossEntropy as CrossEntropy
from ._config import Distill as Distill
from ._config import ImproveTable as ImproveTable
from ._task import Improve as Improve

"""States on neurons and weights, after arXiv:2406.10685, with what keeps them alive and exact."""

from ._family import ScaleFamily as ScaleFamily
from ._models import EquivariantOperator as EquivariantOperator
from ._models import InvariantFunctional as InvariantFunctional

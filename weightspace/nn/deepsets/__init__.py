"""Deep Sets over neurons: every neuron is described by itself, and descriptions are averaged."""

from ._family import DeepSetsFamily as DeepSetsFamily
from ._models import DeepSetsFunctional as DeepSetsFunctional
from ._models import DeepSetsOperator as DeepSetsOperator

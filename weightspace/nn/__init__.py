"""Metanetworks: networks that read networks, and the parts they are built from."""

from ._economy import checkpointed as checkpointed
from ._equivariant import Mlp as Mlp
from ._equivariant import ReScaleEq as ReScaleEq
from ._equivariant import ScaleEq as ScaleEq
from ._equivariant import ScaleInv as ScaleInv
from ._interfaces import AbstractFamily as AbstractFamily
from ._interfaces import AbstractFunctional as AbstractFunctional
from ._interfaces import AbstractOperator as AbstractOperator
from ._interfaces import Architecture as Architecture
from ._invariant import Absolute as Absolute
from ._invariant import Symmetrized as Symmetrized
from ._invariant import UnitNorm as UnitNorm
from ._norm import GaugeNorm as GaugeNorm
from .deepsets import DeepSetsFamily as DeepSetsFamily
from .flat import FlatFamily as FlatFamily
from .published import PRESETS as PRESETS
from .published import Preset as Preset
from .published import PublishedFamily as PublishedFamily
from .published import paper as paper
from .scale import EquivariantOperator as EquivariantOperator
from .scale import InvariantFunctional as InvariantFunctional
from .scale import ScaleFamily as ScaleFamily
from .scale import without_positive_scales as without_positive_scales
from .statistics import StatisticsFamily as StatisticsFamily

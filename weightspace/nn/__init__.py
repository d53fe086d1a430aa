"""Metanetworks: networks that read networks, and the parts they are built from."""

from ._economy import checkpointed as checkpointed
from ._equivariant import Mlp as Mlp
from ._equivariant import ReScaleEq as ReScaleEq
from ._equivariant import ScaleEq as ScaleEq
from ._equivariant import ScaleInv as ScaleInv
from ._invariant import Absolute as Absolute
from ._invariant import Symmetrized as Symmetrized
from ._invariant import UnitNorm as UnitNorm
from ._models import EquivariantOperator as EquivariantOperator
from ._models import InvariantFunctional as InvariantFunctional
from ._models import without_positive_scales as without_positive_scales
from ._norm import GaugeNorm as GaugeNorm
from .published import PRESETS as PRESETS
from .published import Preset as Preset
from .published import paper as paper

"""Which neuron space acts on which parameter axis: the spec, its text, and ``derive``."""

from ._axis import Axis as Axis
from ._axis import Joined as Joined
from ._axis import Scale as Scale
from ._caches import without_caches as without_caches
from ._derive import derive as derive
from ._inputs import Example as Example
from ._inputs import Inputs as Inputs
from ._inputs import outputs_of as outputs_of
from ._labels import linear_part as linear_part
from ._labels import relabeled as relabeled
from ._layout import Bias as Bias
from ._layout import Layout as Layout
from ._layout import Weight as Weight
from ._layout import layout as layout
from ._spec import NeuronSpace as NeuronSpace
from ._spec import ScaleName as ScaleName
from ._spec import SymmetrySpec as SymmetrySpec
from ._spec import num_parameters as num_parameters
from ._stand_ins import Rules as Rules
from ._subgroups import without_scales as without_scales
from ._text import axis_text as axis_text
from ._text import parse as parse
from ._text import to_text as to_text
from ._untouched import copied as copied
from ._untouched import untouched as untouched
from .deriving._pointwise import scale_group as scale_group

"""The group of changes that leave a network's function alone, and its action on parameters."""

from ._act import act as act
from ._act import stack as stack
from ._element import Element as Element
from ._element import compose as compose
from ._element import identity as identity
from ._element import inverse as inverse
from ._element import sample as sample
from ._neuron import NeuronGauge as NeuronGauge
from ._neuron import change_from_normal_form as change_from_normal_form
from ._neuron import from_normal_form as from_normal_form
from ._neuron import has_positive_scales as has_positive_scales
from ._neuron import neuron_gauge as neuron_gauge
from ._neuron import neuron_relevance as neuron_relevance
from ._neuron import normal_form as normal_form
from ._neuron import reciprocal_or_zero as reciprocal_or_zero
from ._neuron import rescale as rescale
from ._neuron import safe_norm as safe_norm
from ._scale import SCALE_GROUPS as SCALE_GROUPS
from ._scale import AbstractScaleGroup as AbstractScaleGroup
from ._verify import same_function as same_function
from .canonical import Report as Report
from .canonical import ScaleForm as ScaleForm
from .canonical import canonicalize as canonicalize
from .canonical import phase as phase

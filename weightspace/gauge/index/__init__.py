"""Index tables that canonical forms and matching share: which neuron owns which entry, and where neurons stand."""

from ._neuron_rows import neuron_rows as neuron_rows
from ._owners import Owners as Owners
from ._owners import owners as owners
from ._places import arrange as arrange
from ._places import has_own_order as has_own_order
from ._places import places as places

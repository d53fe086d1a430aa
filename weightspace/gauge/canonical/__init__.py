"""One network from each orbit: canonical scales, signs, order and phases."""

from ._owners import Owners as Owners
from ._owners import owners as owners
from ._phase import phase as phase
from ._places import arrange as arrange
from ._places import has_own_order as has_own_order
from ._places import places as places
from ._report import Report as Report
from ._verb import ScaleForm as ScaleForm
from ._verb import canonicalize as canonicalize

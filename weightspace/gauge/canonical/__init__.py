"""One network from each orbit: canonical scales, signs, order and phases."""

from ._phase import phase as phase
from ._report import Report as Report
from ._sizes import norm_of as norm_of
from ._sizes import units as units
from ._sums import Sums as Sums
from ._table import Tables as Tables
from ._table import tables as tables
from ._verb import ScaleForm as ScaleForm
from ._verb import balance as balance
from ._verb import canonicalize as canonicalize
from ._verb import lengths as lengths

"""One network from each orbit: canonical scales, signs, order and phases."""

from ._phase import phase as phase
from ._report import Report as Report
from ._table import units as units
from ._verb import ScaleForm as ScaleForm
from ._verb import canonicalize as canonicalize

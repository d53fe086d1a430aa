"""Networks from different trainings brought together: alignment with a proof, merging, and the barrier between them."""

from ._align import Alignment as Alignment
from ._align import align as align

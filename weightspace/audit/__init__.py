"""Run the laws of a gauge against anybody's metanetwork: error by space and group, with negative controls."""

from ._audit import audit as audit
from ._report import HEADER as HEADER
from ._report import Report as Report
from ._report import Row as Row

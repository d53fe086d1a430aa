"""Figures as SVG text: what reports and verbs draw with."""

from ._boxes import Box as Box
from ._boxes import boxes as boxes
from ._curves import Metric as Metric
from ._curves import curves as curves
from ._svg import BROKEN as BROKEN
from ._svg import GUIDE as GUIDE
from ._svg import INK as INK
from ._svg import METHODS as METHODS
from ._svg import OTHER as OTHER
from ._svg import OURS as OURS
from ._svg import STYLE as STYLE
from ._svg import drawn as drawn
from ._svg import empty as empty

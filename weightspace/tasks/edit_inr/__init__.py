"""Edit images that are networks: operators whose new INR shows the edited image (arXiv:2406.10685, section 6.4)."""

from ._task import EditInr as EditInr
from .edits import EDITS as EDITS
from .edits import edited as edited

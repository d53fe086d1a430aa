"""Vocabulary shared by every layer.

Shape letters: ``b`` networks, ``n`` neurons of a space, ``m`` fan-out, ``d`` fan-in, ``k`` kernel elements,
``c`` feature channels, ``p`` probe inputs or images, ``t`` checkpoints.
"""

from collections.abc import Callable

from torch import Tensor

Params = dict[str, Tensor]
"""Parameters under their ``state_dict`` names; stacked parameters carry one leading axis ``b``."""

Progress = Callable[[int, int, str], None]
"""Called with units done, units in all, and a message."""

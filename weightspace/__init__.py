"""weightspace: learn from, improve, align and merge neural networks, respecting the symmetries of their weights.

    import weightspace as ws

    spec = ws.derive(net, example)
    twin = ws.act(ws.sample(spec, seed=0), params, spec)
    ws.same_function(net, twin)

Public names are loaded when they are first used, so that importing the package (and asking the command line
for help) does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ._errors import ConfigError as ConfigError
from ._errors import SpecError as SpecError
from ._errors import SpecMismatch as SpecMismatch
from ._errors import WeightSpaceError as WeightSpaceError
from ._errors import ZooError as ZooError

if TYPE_CHECKING:
    from . import alignment as alignment
    from . import audit as audit
    from . import files as files
    from . import gauge as gauge
    from . import nn as nn
    from . import recipes as recipes
    from . import run as run
    from . import spec as spec
    from . import tasks as tasks
    from . import testing as testing
    from . import view as view
    from . import zoo as zoo
    from .alignment import align as align
    from .gauge import Element as Element
    from .gauge import act as act
    from .gauge import compose as compose
    from .gauge import derive as derive
    from .gauge import fingerprint as fingerprint
    from .gauge import identity as identity
    from .gauge import inverse as inverse
    from .gauge import same as same
    from .gauge import same_function as same_function
    from .gauge import sample as sample
    from .spec import SymmetrySpec as SymmetrySpec
    from .spec import parse as parse
    from .spec import to_text as to_text

__version__ = "0.1.0"

_LAYERS = ("alignment", "audit", "files", "gauge", "nn", "recipes", "run", "spec", "tasks", "testing", "view", "zoo")
_HOME = {
    "Element": "gauge",
    "act": "gauge",
    "align": "alignment",
    "compose": "gauge",
    "fingerprint": "gauge",
    "identity": "gauge",
    "same": "gauge",
    "inverse": "gauge",
    "same_function": "gauge",
    "sample": "gauge",
    "SymmetrySpec": "spec",
    "derive": "gauge",
    "parse": "spec",
    "to_text": "spec",
}


if not TYPE_CHECKING:
    # Hidden from type checkers, so that they still report names that do not exist.
    def __getattr__(name: str) -> object:
        if name in _LAYERS:
            return import_module(f".{name}", __name__)
        if name in _HOME:
            value = getattr(import_module(f".{_HOME[name]}", __name__), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAYERS, *_HOME})

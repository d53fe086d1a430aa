"""SIRENs in files of their own: the parameters of each under our names, whatever a module called its layers."""

import re
from pathlib import Path
from typing import final

from pydantic import ValidationError

from ..._errors import ConfigError, SpecMismatch
from ..._types import Params
from ...files.checkpoint import Checkpoint, open_checkpoint
from ..targets import SirenTarget

_LAYER = re.compile(r"(?:.*\.)?(\d+)\.(?:linear\.)?(weight|bias)")
LABEL = "label"
"""An entry beside the parameters of some files: the class of the image."""


@final
class SirenFiles:
    """Reads the SIRENs of a folder; all have the architecture of the first.

    Attributes:
        target: Their architecture.
    """

    def __init__(self, folder: Path, first: str, *, offset: float) -> None:
        """
        Raises:
            ConfigError: if the first file cannot be read.
            SpecMismatch: if it is no image.
        """
        self._folder, self._first = folder, first
        found = open_checkpoint(folder / first)
        shapes = {name: found.shapes[theirs] for name, theirs in _names(found).items()}
        weights = [shapes.get(f"layers.{index}.weight", ()) for index in range(len(shapes) // 2)]
        if len(weights) != 3 or any(len(shape) != 2 for shape in weights):
            raise SpecMismatch(f"{folder / first} is no SIREN of three layers: it holds {_listed(found)}. {_WAY_ON}")
        widths = (weights[0][1], *(shape[0] for shape in weights))
        try:
            self.target = SirenTarget.model_validate({"widths": widths, "offset": offset})
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise SpecMismatch(f"{folder / first}: {reason}. {_WAY_ON}") from error
        self._shapes = self.target.shapes()

    def read(self, file: str) -> tuple[Params, int | None]:
        """The parameters in a file, and its label if it has one.

        Raises:
            ConfigError: if it cannot be read.
            SpecMismatch: if names or shapes are others, or a number is not finite.
        """
        path = self._folder / file
        found = open_checkpoint(path)
        names = _names(found)
        for name, shape in self._shapes.items():
            if name not in names:
                raise SpecMismatch(f"{path} has no {name!r}: it holds {_listed(found)}. {_WAY_ON}")
            have = found.shapes[names[name]]
            if have != shape:
                raise SpecMismatch(
                    f"{path} holds {names[name]!r} with shape {list(have)}, where {self._first} has {list(shape)}. "
                    "A zoo has one architecture: take networks of the other out of the folder."
                )
        if len(names) > len(self._shapes):
            raise SpecMismatch(f"{path} has more layers than {self._first}: {_listed(found)}. {_WAY_ON}")
        return {name: found.read(names[name]) for name in self._shapes}, _label(path, found)


_WAY_ON = "Fetch the file again, or take it out of the folder."


def _names(found: Checkpoint) -> dict[str, str]:
    """By our name, the name that the file has."""
    names: dict[str, str] = {}
    for theirs in found.stored:
        if theirs == LABEL:
            continue
        match = _LAYER.fullmatch(theirs)
        ours = f"layers.{match[1]}.{match[2]}" if match else ""
        if not match or ours in names:
            raise SpecMismatch(f"{found.path} holds {theirs!r}, which is no parameter of a SIREN. {_WAY_ON}")
        names[ours] = theirs
    return names


def _label(path: Path, found: Checkpoint) -> int | None:
    value: float | None = found.numbers.get(LABEL)
    if LABEL in found.stored:
        tensor = found.read(LABEL)
        value = tensor.item() if tensor.numel() == 1 else None
    elif value is None and LABEL not in found.left_out:
        return None
    if value is None or not float(value).is_integer():
        raise ConfigError(f"{path}: its entry {LABEL!r} is no whole number. Save it as one, or take it out.")
    return int(value)


def _listed(found: Checkpoint) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in list(found.shapes.items())[:8])

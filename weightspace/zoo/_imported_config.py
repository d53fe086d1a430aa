"""Configuration of a zoo whose networks somebody else has trained."""

from typing import Any, Literal, final

from pydantic import Field

from .._frozen import MOST_RUNS, Frozen
from .targets import AnyTarget

UNKNOWN = "unknown"
"""In place of the name of an image set."""


@final
class ImportedConfig(Frozen):
    """Where the networks of an imported zoo come from, and what they are.

    No path of a machine is in it: the same files give the same zoo wherever they lie.
    """

    kind: Literal["imported"] = "imported"
    format: str = Field(description="Layout of the collection: a name of FORMATS.")
    source: str = Field(description="Name of its folder.")
    digest: str = Field(description="Of names and sizes of its files, and of the tables that were read with them.")
    target: AnyTarget = Field(description="Architecture.")
    images: str = Field(default=UNKNOWN, description="Image set the networks are about, if it is known.")
    num: int = Field(ge=1, le=MOST_RUNS, description="Networks.")
    checkpoints: tuple[int, ...] = Field(default=(0,), min_length=1, max_length=1, description="Epoch of all of them.")
    shard: int = Field(default=1000, ge=1, description="Networks per shard: the unit that is written and resumed.")
    intensities: tuple[float, float] = Field(
        default=(0.0, 1.0), description="Of INRs: outputs, offset included, that mean black and white."
    )
    rows_first: bool = Field(default=False, description="Of INRs: coordinates are (row, column), not (column, row).")

    def identity(self) -> dict[str, Any]:
        """What may not change once the zoo exists, as plain data."""
        return self.model_dump(mode="json", exclude={"num"})

"""The first format of saved operators, that of the shipped ones: of the scale family, for MLPs, and nothing else.

Their files name the activation and leave the kinds of family, task and target out.
"""

import json
from collections.abc import Mapping
from typing import Any

from ...nn import AbstractFamily, ScaleFamily
from ...spec import SymmetrySpec
from ...zoo import MLPTarget
from .._dataset import Dataset
from .._task import AbstractTask
from ._task import Improve

NAME = "weightspace-operator-1"


def fits(family: AbstractFamily, task: AbstractTask, dataset: Dataset) -> bool:
    """Whether the format says all that there is to say."""
    plain = isinstance(family, ScaleFamily) and family.symmetry != "permutations"
    return plain and isinstance(task, Improve) and isinstance(dataset.target, MLPTarget)


def written(family: AbstractFamily, left_out: set[str]) -> dict[str, str]:
    """What the metadata say of a family that fits, beside what the task says of itself."""
    plain = family.model_dump()
    return {
        "format": NAME,
        "model": family.model_dump_json(exclude=left_out | {"kind", "symmetry"}),
        "symmetry_broken": json.dumps(plain["symmetry"] == "broken"),
    }


def read(metadata: Mapping[str, str], spec: SymmetrySpec) -> tuple[ScaleFamily, Improve, MLPTarget]:
    """Family, task and target of a file.

    Raises:
        KeyError: if an entry is missing.
        ValueError: if one does not fit.
    """
    symmetry = "broken" if json.loads(metadata["symmetry_broken"]) else "full"
    task = Improve.model_validate({"objective": json.loads(metadata["objective"])})
    activation: Any = metadata["activation"]
    target = MLPTarget.of_shapes({name: spec.shape(name) for name in spec.axes}, activation)
    if target is None:
        raise ValueError("its spec is not that of an MLP")
    return ScaleFamily.model_validate(json.loads(metadata["model"]) | {"symmetry": symmetry}), task, target

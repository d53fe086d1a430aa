"""What the numbers of a table follow from, as short hashes: a row with another hash is computed again."""

import hashlib
import json
from typing import Any

from .._types import Params
from ..spec import to_text
from ..tasks import SPLITS, AbstractProblem


def identity(problem: AbstractProblem) -> str:
    """Hash of the networks and other tensors that a table is made from, and of nothing about where they lie."""
    dataset = problem.dataset
    found = hashlib.sha256(f"{dataset.target.nonlinearity}\n{to_text(dataset.spec)}".encode())
    for name in SPLITS:
        networks = dataset.splits[name]
        _add(found, networks.params)
        for key, column in sorted(networks.rows.items()):
            found.update(f"{key}{column.dtype}".encode())
            found.update("\n".join(map(str, column)).encode() if column.dtype == object else column.tobytes())
    _add(found, problem.inputs())
    return found.hexdigest()[:16]


def short_hash(value: Any) -> str:
    """Hash of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _add(found: Any, tensors: Params) -> None:
    for name, tensor in tensors.items():
        found.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().data)

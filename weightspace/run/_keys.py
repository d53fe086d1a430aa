"""What the numbers of a table follow from, as short hashes: a row with another hash is computed again."""

import hashlib
import json
from typing import Any

import numpy as np
from torch import Tensor

from .._types import Params
from ..spec import to_text
from .material import Material


def identity(material: Material) -> str:
    """Hash of the networks and images that a table is made from, and of nothing about where they lie."""
    found = hashlib.sha256(f"{material.activation}\n{to_text(material.spec)}".encode())
    for networks in (material.train, material.val, material.test):
        _add(found, networks.params)
        found.update(np.ascontiguousarray(networks.runs).tobytes())
        found.update(np.ascontiguousarray(networks.val_accuracy).tobytes())
    images = material.images
    _add(found, {name: value for name, value in vars(images).items() if isinstance(value, Tensor)})
    return found.hexdigest()[:16]


def short_hash(value: Any) -> str:
    """Hash of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _add(found: Any, tensors: Params) -> None:
    for name, tensor in tensors.items():
        found.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().data)

"""The kinds of zoo, told apart by the ``kind`` of their configuration."""

from collections.abc import Mapping
from typing import Any

from ._cnn_config import CNNZooConfig
from ._config import ZooConfig
from ._imported_config import ImportedConfig
from ._inr_config import InrZooConfig
from ._seed_config import SeedZooConfig

AnyZooConfig = ZooConfig | InrZooConfig | SeedZooConfig | CNNZooConfig
"""What a zoo can be made from."""

OpenedConfig = AnyZooConfig | ImportedConfig
"""What an open zoo came from."""


def parse_config(value: Mapping[str, Any]) -> OpenedConfig:
    """The configuration written as plain data; without a ``kind`` it is a :class:`ZooConfig`, the first there was.

    Raises:
        ValueError: for a kind that this version does not know, or an entry that is out of range (pydantic's error).
    """
    kinds = {
        None: ZooConfig,
        "inr": InrZooConfig,
        "seeds": SeedZooConfig,
        "cnns": CNNZooConfig,
        "imported": ImportedConfig,
    }
    kind = value.get("kind")
    if kind not in kinds:
        raise ValueError(f"unknown kind of zoo {kind!r}")
    return kinds[kind].model_validate(value)

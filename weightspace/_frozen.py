"""The base of all configurations: frozen data without unknown keys, with numbers that a run can come to an end with."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

MOST = 10**9
"""Largest number of a configuration: a count above it belongs to no run that ends."""

MOST_RUNS = 10**7
"""Most training runs of a zoo."""

MOST_SEED = 2**63 - 1
"""Largest seed: generators take no larger one."""


class Frozen(BaseModel):
    """Base of all configurations: no unknown keys, no changes, no number that is infinite or beyond all bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: Any, info: Any) -> Any:
        most = MOST_SEED if info.field_name == "seed" else MOST
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and abs(number) > most:
                raise ValueError(f"must be at most {most:g}")
        return value

"""What every metanetwork checks before it reads: sizes, choices, types of numbers."""

from collections.abc import Mapping
from numbers import Integral

from torch import Tensor

from .._errors import ConfigError, SpecError, SpecMismatch
from ..spec import SymmetrySpec, layout


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ``ConfigError`` unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ConfigError(
            f"{option}={value!r} is unknown for a metanetwork. Choose one of {', '.join(map(repr, allowed))}."
        )


def check_sizes(spec: SymmetrySpec, **sizes: int) -> None:
    """Raises ``SpecError`` for an architecture without weights and ``ConfigError`` for a size below 1."""
    if not layout(spec).weights:
        raise SpecError(
            f"the architecture {spec} has no weight between two neuron spaces, so there is nothing to read. "
            "Pinned layers leave none: see print(ws.to_text(spec))."
        )
    check_counts(**sizes)


def check_counts(**sizes: int) -> None:
    """Raises ``ConfigError`` for a size below 1."""
    for option, value in sizes.items():
        if not isinstance(value, Integral):
            raise ConfigError(f"{option}={value!r} is no whole number. Give 1 or more.")
        if value < 1:
            raise ConfigError(f"{option}={value} is too small for a metanetwork. Give 1 or more.")


def check_stack(params: Mapping[str, Tensor], spec: SymmetrySpec, own: Tensor) -> int:
    """The number of networks; at least one, stacked.

    Raises:
        SpecMismatch: unless that is so, with the parameters of ``spec`` and the metanetwork's type of numbers.
    """
    num = spec.check(params)
    check_dtype(params, own)
    if num is None:
        raise SpecMismatch(
            "the parameters are of one network, a metanetwork reads stacked ones. "
            "Stack it: {name: value[None] for name, value in params.items()}."
        )
    if num == 0:
        raise SpecMismatch("the stack holds 0 networks, so there is nothing to read. Give at least one.")
    return num


def check_dtype(params: Mapping[str, Tensor], own: Tensor) -> None:
    """Raises ``SpecMismatch`` unless the networks have the metanetwork's type of numbers."""
    for name, value in params.items():
        if value.is_floating_point() and value.dtype != own.dtype:
            raise SpecMismatch(
                f"parameter {name!r} is {value.dtype}, the metanetwork is {own.dtype}. Convert one of them: "
                f"model.to({value.dtype}), or {{k: v.to({own.dtype}) for k, v in params.items()}}."
            )

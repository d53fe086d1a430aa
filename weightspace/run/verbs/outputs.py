"""How far the outputs of two networks of one architecture are apart."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...gauge import cast, random_like, runnable, same_function
from ...spec import Example, Inputs


def output_difference(
    module: nn.Module, first: Mapping[str, Tensor], second: Mapping[str, Tensor], example: Example
) -> float:
    """Largest difference between the outputs with ``first`` and with ``second``, relative to their size.

    Computed in float64 where the network runs in it, on normal inputs and random tokens of the example's shapes.

    Args:
        module: The architecture; left as it was.
        first: Parameters of one network, of any floating-point types.
        second: Of the other one.
        example: Its inputs; see :func:`weightspace.same_function`.

    Raises:
        ConfigError: if the module is on the meta device, or cannot be run.
        SpecMismatch: if an output is not finite.
    """
    inputs = Inputs.of(example)
    net, dtype = runnable(module, first, inputs)
    net.load_state_dict(dict(first))
    return same_function(net, cast(second, dtype), random_like(net, inputs, dtype).example)


def as_written(params: Mapping[str, Tensor], dtypes: Mapping[str, torch.dtype]) -> dict[str, Tensor]:
    """The parameters as a file of these number types holds them, in their own types again: rounded."""
    return {name: value.to(dtypes[name]).to(value.dtype) for name, value in params.items()}


def rounding_difference(
    module: nn.Module, exact: Mapping[str, Tensor], written: Mapping[str, Tensor], example: Example
) -> float:
    """:func:`output_difference` of parameters and what :func:`as_written` made of them; 0 if these are the same."""
    if all(torch.equal(value, written[name]) for name, value in exact.items()):
        return 0.0
    return output_difference(module, exact, written, example)

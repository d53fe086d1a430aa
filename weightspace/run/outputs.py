"""How far the outputs of two networks of one architecture are apart."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .._errors import ConfigError
from ..gauge import same_function


def output_difference(
    module: nn.Module, first: Mapping[str, Tensor], second: Mapping[str, Tensor], example: Tensor | tuple[Tensor, ...]
) -> float:
    """Largest difference between the outputs with ``first`` and with ``second``, relative to their size.

    Computed in float64 where the network runs in it, on normal inputs and random tokens of the example's shapes.

    Args:
        module: The architecture; left as it was.
        first: Parameters of one network, of any floating-point types.
        second: Of the other one.
        example: Its input, or a tuple of its inputs.

    Raises:
        ConfigError: if the module is on the meta device, or cannot be run.
        SpecMismatch: if an output is not finite.
    """
    if any(value.is_meta for value in (*module.parameters(), *module.buffers())):
        raise ConfigError("the outputs of a module on the meta device cannot be compared. Make it on the CPU.")
    args = example if isinstance(example, tuple) else (example,)
    reason: Exception | None = None
    for dtype in (torch.float64, torch.float32):
        try:
            net = copy.deepcopy(module).to("cpu", dtype).eval()
            net.load_state_dict(dict(first))
            theirs = {n: v.to(dtype) if v.is_floating_point() else v for n, v in second.items()}
            return same_function(net, theirs, probes(net, args, dtype))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            reason = error  # not every network runs in float64
    raise ConfigError(
        f"{type(module).__name__} cannot be run on inputs of shape {', '.join(str(list(arg.shape)) for arg in args)} "
        f"({str(reason).splitlines()[0] if str(reason) else type(reason).__name__}). Give other shapes, or use --spec."
    ) from reason


def probes(net: nn.Module, args: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Inputs unlike the zeros and ones of an example: normal numbers, and tokens that every embedding has."""
    generator = torch.Generator().manual_seed(0)
    words = min((part.num_embeddings for part in net.modules() if isinstance(part, nn.Embedding)), default=0)
    found = []
    for arg in args:
        if arg.is_floating_point():
            found.append(torch.randn(arg.shape, generator=generator, dtype=torch.float64).to(dtype))
        elif words and arg.dtype == torch.long and arg.ndim > 1:
            found.append(torch.randint(words, arg.shape, generator=generator))
        else:
            found.append(arg.cpu())
    return tuple(found)

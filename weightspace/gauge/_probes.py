"""Inputs that show what a network computes, and the widest number type in which it can be run on them."""

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from .._errors import ConfigError
from .._types import Params
from ..spec import Inputs, copied, without_caches
from ._verify import _outputs

SIZES, DRAWS = (0.1, 1.0, 10.0), 2
"""Sizes of the random inputs, and how many there are of each: between two, the outputs of unrelated inputs differ."""


def runnable(module: nn.Module, params: Mapping[str, Tensor], inputs: Inputs) -> tuple[nn.Module, torch.dtype]:
    """A copy on the CPU in eval mode in the widest float type it runs in with these parameters, and the type.

    Raises:
        ConfigError: if the module is on the meta device, or runs in no type.
    """
    if any(value.is_meta for value in (*module.parameters(), *module.buffers())):
        raise ConfigError("the outputs of a module on the meta device cannot be compared. Make it on the CPU.")
    module = without_caches(module, inputs)
    reason: Exception | None = None
    for dtype in (torch.float64, torch.float32):
        try:
            net = (copied(module) or copy.deepcopy(module)).to("cpu", dtype).eval()
            _outputs(net, cast(params, dtype), random_like(net, inputs, dtype))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            reason = error  # not every network runs in float64
        else:
            return net, dtype
    raise ConfigError(
        f"{type(module).__name__} cannot be run on inputs of shape {inputs.shapes} "
        f"({str(reason).splitlines()[0] if str(reason) else type(reason).__name__}). Give other shapes."
    ) from reason


def cast(params: Mapping[str, Tensor], dtype: torch.dtype) -> Params:
    """The parameters on the CPU, those of floating-point numbers in one type."""
    return {n: v.detach().cpu().to(dtype) if v.is_floating_point() else v.detach().cpu() for n, v in params.items()}


def random_like(net: nn.Module, inputs: Inputs, dtype: torch.dtype, *, size: float = 1.0, seed: int = 0) -> Inputs:
    """Inputs unlike the zeros and ones of an example: normal numbers, and tokens that every embedding has."""
    generator = torch.Generator().manual_seed(seed)
    words = min((part.num_embeddings for part in net.modules() if isinstance(part, nn.Embedding)), default=0)

    def drawn(arg: Tensor) -> Tensor:
        if arg.is_floating_point():
            return (size * torch.randn(arg.shape, generator=generator, dtype=torch.float64)).to(dtype)
        if words and arg.dtype == torch.long and arg.ndim > 1:
            return torch.randint(words, arg.shape, generator=generator)
        return arg.cpu()

    return inputs.map(drawn)


def groups_of_inputs(net: nn.Module, inputs: Inputs, dtype: torch.dtype) -> Iterator[tuple[str, list[Inputs]]]:
    """Groups of inputs of one kind, of like size."""
    floats = [arg for arg in inputs.tensors if arg.is_floating_point()]
    for place, size in enumerate(SIZES if floats else SIZES[:1]):
        draws = [random_like(net, inputs, dtype, size=size, seed=DRAWS * place + draw) for draw in range(DRAWS)]
        yield f"random inputs of size {size:g}" if floats else "random tokens", draws
    if any(bool((arg != arg.flatten()[:1]).any()) for arg in inputs.tensors):
        yield "the example", [inputs.map(lambda arg: arg.cpu().to(dtype) if arg.is_floating_point() else arg.cpu())]

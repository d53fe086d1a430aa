"""Numerical proof that two parameter vectors are the same network."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .._errors import SpecMismatch
from ..spec import Example, Inputs, outputs_of, untouched, without_caches


def same_function(
    module: nn.Module,
    params: Mapping[str, Tensor] | nn.Module,
    example: Example | None = None,
    *,
    seed: int = 0,
) -> float:
    """Largest difference between the outputs of ``module`` and of ``module`` with ``params``, relative to their size.

    0 to rounding error means that both are the same network on the inputs compared; it is a proof on these
    inputs only, so give inputs that exercise the network if the default ones do not.

    Args:
        module: The network; run in eval mode without caches of earlier calls, and left as it was.
        params: Parameters under the module's ``state_dict`` names, or a second module of the same architecture.
        example: Inputs (a tensor, a tuple for several arguments, a dict for keywords). Default: 64 standard normal
            vectors for a network whose first layer is ``nn.Linear``, four images of 32x32 for one that starts with a
            convolution.
        seed: Of the default inputs.

    Returns:
        max |f(x) - f'(x)| / max |f(x)| over inputs and outputs: all tensors in what the network returns, but not what
        a language model returns for its own next call (``past_key_values``, caches).

    Raises:
        SpecMismatch: if a name or shape of ``params`` differs from the module's, a value or output is not
            finite, no tensor is returned, or no default inputs can be guessed.
        SpecError: if the example is neither of these.
    """
    theirs = dict(params.state_dict()) if isinstance(params, nn.Module) else dict(params)
    own = dict(module.state_dict())
    _compare(own, theirs)
    inputs = Inputs.of(_probes(module, seed) if example is None else example)
    module = without_caches(module, inputs)
    try:
        here, there = _outputs(module, own, inputs), _outputs(module, theirs, inputs)
    except RuntimeError as error:
        if example is not None:
            raise
        raise SpecMismatch(
            f"{type(module).__name__} does not take the inputs guessed for it, of shape {inputs.shapes} "
            f"({str(error).splitlines()[0]}). Give some: ws.same_function(net, params, example)."
        ) from error
    if not here:
        raise SpecMismatch(
            f"{type(module).__name__} returns no tensors, so there is nothing to compare. Return them, in a tuple, a "
            "dict or a dataclass."
        )
    if any(a.shape != b.shape for a, b in zip(here, there, strict=True)):
        raise SpecMismatch(
            f"the outputs of {type(module).__name__} change their shape with the parameters, so they cannot be "
            "compared. Compare what is computed before rows are chosen by value."
        )
    size = _largest(here)
    gap = _largest([a - b for a, b in zip(here, there, strict=True)])
    if not (math.isfinite(size) and math.isfinite(gap)):
        raise SpecMismatch(
            "an output is not finite, so the two networks cannot be compared. "
            "Check the parameters: all(v.isfinite().all() for v in params.values())."
        )
    return gap / size if size > 0 else gap


def _largest(tensors: list[Tensor]) -> float:
    """Largest magnitude; NaN if any entry is, which max() of numbers would drop."""
    return float(
        torch.tensor(
            [float(value.abs().max()) for value in tensors if value.numel()] or [0.0], dtype=torch.float64
        ).max()
    )


def _outputs(module: nn.Module, params: Mapping[str, Tensor], inputs: Inputs) -> list[Tensor]:
    fresh = inputs.map(Tensor.clone)  # a forward pass may write into its input
    with torch.no_grad(), untouched(module) as net:
        return list(outputs_of(functional_call(net, dict(params), fresh.args, fresh.keywords, tie_weights=False)))


def _compare(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    for name in [*own, *theirs]:
        if name not in own or name not in theirs or own[name].shape != theirs[name].shape:
            here = list(own[name].shape) if name in own else "absent"
            there = list(theirs[name].shape) if name in theirs else "absent"
            raise SpecMismatch(
                f"parameter {name!r} is {here} in the module and {there} in the parameters given. "
                "Compare networks of one architecture (one network, not a stack)."
            )


def _probes(module: nn.Module, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    some = next(module.parameters(), None)
    dtype = torch.float32 if some is None else some.dtype
    device = None if some is None else some.device
    first = next((m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    if isinstance(first, nn.Linear):
        shape: tuple[int, ...] = (64, first.in_features)
    elif isinstance(first, nn.Conv2d):
        shape = (4, first.in_channels, 32, 32)
    else:
        raise SpecMismatch(
            f"cannot guess inputs for {type(module).__name__}. Give some: ws.same_function(net, params, example)."
        )
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype=dtype, device=device)

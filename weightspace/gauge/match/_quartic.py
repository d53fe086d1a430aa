"""The best scale for every pair of neurons: where a rescaled neuron is nearest to another one, in closed form."""

import torch
from jaxtyping import Float
from torch import Tensor

MOST_STEPS, _POLISH = 50, 3
"""Newton steps; and those after the closed form, which loses half the digits where roots nearly meet."""

_STILL = 0.1
"""Newton's method has arrived: the next step would be the square of this times the root of the rounding."""


def best_scale(
    fan_in: Float[Tensor, "*s"], into: Float[Tensor, "*s"], out_of: Float[Tensor, "*s"], fan_out: Float[Tensor, "*s"]
) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
    """The ``s > 0`` with the smallest ``s^2 P - 2 s p + R / s^2 - 2 r / s``, and that value.

    Args:
        fan_in: ``P > 0``, squared norm of what ``s`` multiplies.
        into: ``p``, its product with what it is compared with.
        out_of: ``r``, the same for what ``s`` divides.
        fan_out: ``R > 0``, its squared norm.

    Returns:
        The scale and the smallest value. A neuron without fan-in or fan-out (``P`` or ``R`` is 0) keeps scale 1.

    The stationary points are the positive roots of ``P s^4 - p s^3 + r s - R``, of which there is at least one. In
    units of the scale that balances both the equation is ``s^4 - a s^3 + c s - 1``; for ``a`` and ``c`` up to 2 the
    function is convex in ``log s``, so Newton's method finds its minimum, elsewhere Ferrari's formula gives all roots.
    """
    alive = (fan_in > 0) & (fan_out > 0)
    big, small = fan_in.where(alive, 1.0), fan_out.where(alive, 1.0)
    unit = (small / big) ** 0.25
    size = (big * small) ** 0.5
    a = (into * unit / size).where(alive, 0.0)
    c = (out_of / unit / size).where(alive, 0.0)
    found = _newton(torch.ones_like(a), a, c, MOST_STEPS)
    several = (a > 2) | (c > 2)
    if bool(several.any()):
        found[several] = _best_root(a[several], c[several])
    value = torch.where(alive, _value(found, a, c) * size, fan_in - 2 * into + fan_out - 2 * out_of)
    return torch.where(alive, found * unit, 1.0), value


def _best_root(a: Tensor, c: Tensor) -> Tensor:
    found = torch.ones_like(a)
    value = _value(found, a, c)
    for root in _roots(a, c):
        polished = _newton(root, a, c, _POLISH)
        its = _value(polished, a, c)
        better = its < value
        found, value = torch.where(better, polished, found), torch.where(better, its, value)
    return found


def _value(s: Tensor, a: Tensor, c: Tensor) -> Tensor:
    return s * (s - 2 * a) + (1 / s - 2 * c) / s


def _roots(a: Tensor, c: Tensor) -> list[Tensor]:
    """Magnitudes of the four roots of ``s^4 - a s^3 + c s - 1``: any real positive root is among them."""
    # Depressed by s = y + a / 4: y^4 + p y^2 + q y + r.
    p = -3 / 8 * a**2
    q = -(a**3) / 8 + c
    r = -3 / 256 * a**4 + a * c / 4 - 1
    # A root m > 0 of the resolvent m^3 + p m^2 + (p^2 / 4 - r) m - q^2 / 8 by Cardano, in complex numbers.
    b1, b0 = p**2 / 4 - r, -(q**2) / 8
    f = b1 - p**2 / 3
    g = 2 * p**3 / 27 - p * b1 / 3 + b0
    inner = torch.sqrt((g**2 / 4 + f**3 / 27).to(torch.complex128))
    plus, minus = -g / 2 + inner, -g / 2 - inner
    u = torch.where(plus.abs() >= minus.abs(), plus, minus) ** (1 / 3)
    turn = torch.tensor([1, complex(-0.5, 0.75**0.5), complex(-0.5, -(0.75**0.5))], dtype=torch.complex128)
    safe = torch.where(u.abs() > 1e-150, u, torch.ones_like(u))
    rest = torch.where(u.abs() > 1e-150, f / (3 * safe), torch.zeros_like(u))
    options = torch.stack([u * w - rest / w for w in turn]) - p / 3
    m = options.gather(0, options.abs().argmax(0, keepdim=True))[0]
    root = torch.sqrt(2 * m)
    some = root.abs() > 1e-150
    lift = torch.where(some, q / (2 * torch.where(some, root, torch.ones_like(root))), torch.zeros_like(root))
    found = []
    for sign in (1, -1):
        half = torch.sqrt(root**2 / 4 - (p / 2 + m + sign * lift))
        for other in (1, -1):
            found.append((sign * root / 2 + other * half + a / 4).abs().clamp(1e-100, 1e100))
    return found


def _newton(s: Tensor, a: Tensor, c: Tensor, steps: int) -> Tensor:
    """Newton's method in the logarithm, with steps of at most a factor of two."""
    still = _STILL * torch.finfo(s.dtype).eps ** 0.5
    for _ in range(steps):
        square, ahead, back = s * s, a * s, c / s
        inverse = 1 / square
        bend = 2 * (square + inverse) - ahead - back
        step = ((inverse - square + ahead - back) / bend.where(bend > 0, torch.inf)).clamp(-0.7, 0.7)
        s = s * step.exp()
        if float(step.abs().max()) < still:
            break
    return s

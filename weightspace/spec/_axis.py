"""Labels of parameter axes: which neuron owns each entry, and by which scales it is multiplied."""

from dataclasses import dataclass
from typing import Literal, final

ScalePart = Literal["all", "sign", "size"]
"""What of a scale acts: the number itself, only its sign, or only its magnitude."""


@final
@dataclass(frozen=True)
class Scale:
    """A power of a space's scale, or of its sign or magnitude alone.

    Even functions and batch normalization let one of the two pass and not the other: what follows ``abs`` sees
    the magnitude, the gain of a batch normalization makes up for the sign.
    """

    space: str
    power: int = 1
    part: ScalePart = "all"


@final
@dataclass(frozen=True)
class Axis:
    """Label of a parameter axis: a neuron space, the power of its scale, and how its neurons own the entries.

    An axis that nothing acts on has ``space=None`` and ``power=0``; its size is ``repeat``.

    Attributes:
        space: Whose permutation moves the entries.
        power: Of the space's own scale. 0: the entries are permuted only (slopes of a PReLU).
        repeat: Consecutive entries per neuron (the spatial positions of a flattened feature map).
        times: How often the whole sequence of neurons follows on itself.
        scales: Further scales that multiply the entries, of spaces like this one, around it, or of size 1.
        over: The entries are the neurons of one block only, that of the neuron of this space which the
            parameter's other axis names (the fan-in of a grouped convolution).
        index: The neuron of each entry, where they do not come in order; the entries of one neuron are taken in
            their order.
        offset: Is added before and taken away after scaling (a running variance ``v`` becomes
            ``s^2 (v + eps) - eps``).
    """

    space: str | None
    power: int = 1
    repeat: int = 1
    times: int = 1
    scales: tuple[Scale, ...] = ()
    over: str | None = None
    index: tuple[int, ...] | None = None
    offset: float = 0.0

    @property
    def parts(self) -> "tuple[Axis, ...]":
        """The pieces of the axis, one after the other."""
        return (self,)

    @property
    def plain(self) -> bool:
        """Whether a space, a power and a repeat say all there is."""
        return self == Axis(self.space, self.power, self.repeat)


@final
@dataclass(frozen=True)
class Joined:
    """Label of an axis along which several spaces follow each other, as after a concatenation."""

    parts: tuple[Axis, ...]

    @property
    def plain(self) -> bool:
        """Never: see :attr:`Axis.plain`."""
        return False

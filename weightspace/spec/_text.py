"""Text notation of a spec: ``parse(to_text(spec)) == spec``.

One line per space, a blank line, one line per parameter::

    in[3] fixed
    h0[8] positive
    h1[8] like h0 positive
    a0[4]
    q0[32] within a0 nonzero
    out[4] fixed

    0.weight       h0 in~ .3 .3
    1.running_var  h0^2@1e-05
    1.weight       h1&h0^sign
    3.weight       out h1*9~+in~

``~`` is power -1 (fan-out), ``^2`` another power, ``^sign`` and ``^size`` take the sign or the magnitude of the
scale alone, ``&`` multiplies by a further scale. ``h0*9`` are nine consecutive entries per neuron, ``9*h0`` nine
times the neurons one after the other, ``h0{0,2,1,3}`` neurons in another order, ``q0/a0`` the neurons of one block
only, ``+`` joins spaces along an axis, ``@`` is an offset added before scaling and taken away after it; ``.3`` is
an axis of three entries that nothing acts on. A free space without a word is permuted only; ``ordered`` neurons
keep their places. A first line ``# not proven: WHY`` says that the symmetry was never tried on a network.
"""

import math
import re
from typing import cast

from .._errors import SpecError
from ._axis import Axis, Joined, Scale, ScalePart
from ._spec import NeuronSpace, ScaleName, SymmetrySpec

_SPACE = re.compile(
    r"(?P<name>[A-Za-z_]\w*)\[(?P<size>\d+)\](?:\s+like\s+(?P<like>[A-Za-z_]\w*))?"
    r"(?:\s+within\s+(?P<within>[A-Za-z_]\w*))?(?:\s+along\s+(?P<along>[A-Za-z_]\w*))?(?P<ordered>\s+ordered)?(?:\s+(?P<word>fixed|sign|positive|nonzero))?"
)
_POWER = r"(?P<inverse>~)|\^(?P<power>-?\d*)(?P<part>sign|size)?"
_AXIS = re.compile(
    r"(?:(?P<times>\d+)\*)?(?P<name>[A-Za-z_]\w*)(?:/(?P<over>[A-Za-z_]\w*))?(?:\*(?P<repeat>\d+))?"
    rf"(?:\{{(?P<index>\d+(?:,\d+)*)\}})?(?:{_POWER})?(?P<scales>(?:&[^&@+]+)*)(?:@(?P<offset>[-+.\de]+))?"
)
_SCALE = re.compile(rf"(?P<name>[A-Za-z_]\w*)(?:{_POWER})?")

_DOUBT = "# not proven:"
"""Starts the first line of a spec that was derived and not tried."""

_DIGITS = 12
"""Most digits of a whole number: longer ones count nothing that exists, and Python reads no number of thousands."""

_SHOWN = 100
"""Characters of a line that a message repeats."""


def to_text(spec: SymmetrySpec) -> str:
    """The spec as text, one line per space and per parameter."""
    spaces = [_space_text(space) for space in spec.spaces]
    width = max((len(name) for name in spec.axes), default=0)
    params = [f"{name:<{width}}  {' '.join(map(axis_text, axes))}".rstrip() for name, axes in spec.params]
    doubt = [f"{_DOUBT} {spec.unproven}"] if spec.unproven else []
    return "\n".join([*doubt, *spaces, "", *params]) + "\n"


def parse(text: str) -> SymmetrySpec:
    """The spec written in ``text``.

    Raises:
        SpecError: naming the line that cannot be read.
    """
    spaces: list[NeuronSpace] = []
    params: list[tuple[str, tuple[Axis | Joined, ...]]] = []
    unproven = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped:
            continue
        if not (spaces or params or unproven) and stripped.startswith(f"{_DOUBT} "):
            unproven = " ".join(stripped.removeprefix(_DOUBT).split())
            continue
        try:
            # Space lines come before the first parameter line; a parameter name never looks like `name[3]`.
            space = _SPACE.match(stripped) if not params else None
            if space:
                spaces.append(_space(space))
            else:
                name, *labels = stripped.split()
                params.append((name, tuple(map(_axis, labels))))
        except SpecError as error:
            raise SpecError(f"line {number} of the spec, {_short(stripped)}: {error}") from None
    return SymmetrySpec(tuple(spaces), tuple(params), unproven)


def axis_text(axis: Axis | Joined) -> str:
    """The label of one axis as text."""
    return "+".join(map(_part_text, axis.parts))


def _space_text(space: NeuronSpace) -> str:
    like = f" like {space.like}" if space.like else ""
    within = f" within {space.within}" if space.within else ""
    along = f" along {space.along}" if space.along else ""
    ordered = " ordered" if space.ordered else ""
    word = "fixed" if space.fixed else "" if space.scale == "trivial" else space.scale
    return f"{space.name}[{space.size}]{like}{within}{along}{ordered} {word}".rstrip()


def _space(match: re.Match[str]) -> NeuronSpace:
    size, word = _whole(match["size"]), match["word"]
    if match.end() != len(match.string) or size == 0:
        raise SpecError(
            "cannot read this space. Write NAME[SIZE] with a size of at least 1, then 'like NAME', 'within NAME' or "
            "'ordered' if need be, and one of the words fixed, sign, positive, nonzero, or none."
        )
    scale = cast(ScaleName, word if word not in (None, "fixed") else "trivial")
    return NeuronSpace(
        match["name"],
        size,
        scale,
        word == "fixed",
        match["like"],
        match["within"],
        match["along"],
        bool(match["ordered"]),
    )


def _part_text(axis: Axis) -> str:
    if axis.space is None:
        return f".{axis.repeat}"
    times = f"{axis.times}*" if axis.times != 1 else ""
    over = f"/{axis.over}" if axis.over else ""
    repeat = f"*{axis.repeat}" if axis.repeat != 1 else ""
    index = f"{{{','.join(map(str, axis.index))}}}" if axis.index is not None else ""
    scales = "".join(f"&{scale.space}{_power_text(scale.power, scale.part)}" for scale in axis.scales)
    offset = f"@{axis.offset!r}" if axis.offset else ""
    return f"{times}{axis.space}{over}{repeat}{index}{_power_text(axis.power)}{scales}{offset}"


def _power_text(power: int, part: ScalePart = "all") -> str:
    if part == "all":
        return {1: "", -1: "~"}.get(power, f"^{power}")
    return f"^{ {1: '', -1: '-'}.get(power, power) }{part}"


def _axis(label: str) -> Axis | Joined:
    # A plus also stands in an exponent (an offset of 1e+00), which no number written by repr at this size has.
    parts = tuple(map(_part, label.split("+")))
    return parts[0] if len(parts) == 1 else Joined(parts)


def _part(label: str) -> Axis:
    if re.fullmatch(r"\.\d+", label):
        return Axis(None, 0, _whole(label[1:]))
    match = _AXIS.fullmatch(label)
    scales = [_SCALE.fullmatch(word) for word in match["scales"].split("&")[1:]] if match else []
    if match is None or match["part"] or None in scales:
        raise SpecError(
            f"cannot read the axis {_short(label)}. "
            "Write a space (h0), its inverse (h0~), a power (h0^2), a repeat (h0*9) or a plain size (.3)."
        )
    return Axis(
        match["name"],
        _power(match),
        _whole(match["repeat"] or "1"),
        _whole(match["times"] or "1"),
        tuple(
            Scale(scale["name"], _power(scale), cast(ScalePart, scale["part"] or "all")) for scale in scales if scale
        ),
        match["over"],
        tuple(map(_whole, match["index"].split(","))) if match["index"] else None,
        _offset(match["offset"]),
    )


def _power(match: re.Match[str]) -> int:
    if match["inverse"]:
        return -1
    return {None: 1, "": 1, "-": -1}.get(match["power"]) or _whole(match["power"])


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise SpecError(
            f"the number {_short(text)} is too large for a size or a power. Write at most {_DIGITS} digits."
        )
    return int(text)


def _offset(text: str | None) -> float:
    try:
        value = float(text or 0.0)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f"the offset {_short(f'@{text}')} is no number. Write e.g. @1e-05.")
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")

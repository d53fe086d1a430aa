"""Text notation of a spec: ``parse(to_text(spec)) == spec``.

One line per space, a blank line, one line per parameter::

    in[3] fixed
    h0[8] positive
    h1[6]
    out[4] fixed

    0.weight  h0 in~ .3 .3
    0.bias    h0
    3.weight  h1 h0*9~
    5.weight  out h1~

``~`` is power -1 (fan-out), ``^2`` another power, ``h0*9`` nine consecutive entries per neuron, ``.3`` an axis
of three entries that nothing acts on. A free space without a word is permuted only.
"""

import re

from .._errors import SpecError
from ._spec import Axis, NeuronSpace, ScaleName, SymmetrySpec

_SPACE = re.compile(r"(?P<name>[A-Za-z_]\w*)\[(?P<size>\d+)\](?:\s+(?P<word>fixed|sign|positive|nonzero))?")
_AXIS = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\*(?P<repeat>\d+))?(?:(?P<inverse>~)|\^(?P<power>-?\d+))?")


def to_text(spec: SymmetrySpec) -> str:
    """The spec as text, one line per space and per parameter."""
    spaces = [_space_text(space) for space in spec.spaces]
    width = max((len(name) for name in spec.axes), default=0)
    params = [f"{name:<{width}}  {' '.join(map(_axis_text, axes))}".rstrip() for name, axes in spec.params]
    return "\n".join([*spaces, "", *params]) + "\n"


def parse(text: str) -> SymmetrySpec:
    """The spec written in ``text``.

    Raises:
        SpecError: naming the line that cannot be read.
    """
    spaces: list[NeuronSpace] = []
    params: list[tuple[str, tuple[Axis, ...]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped:
            continue
        # Space lines come before the first parameter line; a parameter name never looks like `name[3]`.
        space = _SPACE.match(stripped) if not params else None
        if space:
            if space.end() != len(stripped) or int(space["size"]) == 0:
                raise SpecError(
                    f"line {number} of the spec, {stripped!r}: cannot read this space. Write NAME[SIZE] with a size "
                    "of at least 1 and one of the words fixed, sign, positive, nonzero, or none."
                )
            spaces.append(_space(space))
        else:
            name, *labels = stripped.split()
            params.append((name, tuple(_axis(label, number, stripped) for label in labels)))
    return SymmetrySpec(tuple(spaces), tuple(params))


def _space_text(space: NeuronSpace) -> str:
    word = "fixed" if space.fixed else "" if space.scale == "trivial" else space.scale
    return f"{space.name}[{space.size}] {word}".rstrip()


def _space(match: re.Match[str]) -> NeuronSpace:
    scales: dict[str | None, ScaleName] = {"sign": "sign", "positive": "positive", "nonzero": "nonzero"}
    word = match["word"]
    return NeuronSpace(match["name"], int(match["size"]), scales.get(word, "trivial"), word == "fixed")


def _axis_text(axis: Axis) -> str:
    if axis.space is None:
        return f".{axis.repeat}"
    repeat = f"*{axis.repeat}" if axis.repeat != 1 else ""
    power = {1: "", -1: "~"}.get(axis.power, f"^{axis.power}")
    return f"{axis.space}{repeat}{power}"


def _axis(label: str, number: int, line: str) -> Axis:
    if re.fullmatch(r"\.\d+", label):
        return Axis(None, 0, int(label[1:]))
    match = _AXIS.fullmatch(label)
    if match is None:
        raise SpecError(
            f"line {number} of the spec, {line!r}: cannot read the axis {label!r}. "
            "Write a space (h0), its inverse (h0~), a power (h0^2), a repeat (h0*9) or a plain size (.3)."
        )
    power = -1 if match["inverse"] else int(match["power"] or 1)
    return Axis(match["name"], power, int(match["repeat"] or 1))

"""Names of tensors: what wrappers put before them, and how the names of a file fit those of an architecture."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from torch import nn

from .._errors import SpecMismatch
from ..spec import SymmetrySpec

_COMPILED = "_orig_mod."
"""What a compiled module puts before its names, anywhere inside a network."""

_WRAPPERS = ("module.", "model.", "net.", "network.")
"""What parallel modules, and modules that hold a network, put before all names."""

Ties = Sequence[Collection[str]]
"""Groups of names that are one tensor in the module; a file may hold it once."""


def ties_of(module: nn.Module | None) -> list[list[str]]:
    """Groups of names that are one tensor in the module, e.g. of an embedding and the head that is tied to it."""
    groups: dict[int, list[str]] = {}
    for name, value in () if module is None else module.named_parameters(remove_duplicate=False):
        groups.setdefault(id(value), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def plain_names(stored: Iterable[str]) -> dict[str, str]:
    """By plain name, the name in the file; wrappers go where all names have them."""
    names = _compiled(stored)
    found = True
    while found and names:
        found = next((word for word in _WRAPPERS if all(name.startswith(word) for name in names)), "")
        names = {name.removeprefix(found): stored for name, stored in names.items()} if found else names
    return names


def fitting_names(stored: Iterable[str], wanted: Sequence[str], ties: Ties = ()) -> dict[str, str] | None:
    """By name of an architecture, the name in the file; ``None`` if they do not fit.

    All names of the file may stand in a container (``model.0.weight``), and so may all of the architecture. A file
    may lack a name that is tied to another one. It may hold no further names in the same container; what it holds
    elsewhere is not named here.

    Raises:
        SpecMismatch: if the file holds the architecture in two containers.
    """
    names = _compiled(stored)
    tied = {name: group for group in ties for name in group}
    # A name that has to be there says what may stand before all of them.
    anchor = next((name for name in wanted if name not in tied), wanted[0] if wanted else "")
    for container in _containers(wanted):
        short = anchor.removeprefix(container)
        before = [name.removesuffix(short) for name in names if name == short or name.endswith(f".{short}")]
        fits = {prefix: _with(prefix, container, names, wanted, tied) for prefix in before}
        found = {prefix: fit for prefix, fit in fits.items() if fit is not None}
        if len(found) > 1 and "" not in found:
            one, other = sorted(found)[:2]
            raise SpecMismatch(
                f"the network is there twice, under {one!r} and {other!r}. Save the one that is meant in a file of its "
                "own."
            )
        if found:
            return found.get("", next(iter(found.values())))
    return None


def by_order(shapes: Mapping[str, tuple[int, ...]], spec: SymmetrySpec) -> dict[str, str] | None:
    """By name of an architecture, the tensor at the same place in the order of the computation.

    Only where the order leaves no choice: the architecture is a chain, in which each matrix reads what the one before
    it wrote, and shapes and roles (weight, bias, running mean and variance) agree place by place.
    """
    names = [name for name in spec.axes if _role(name) != "num_batches_tracked"]
    if len(names) != len(shapes) or len(names) < len(spec.axes):
        return None
    last: set[str] | None = None
    for name, (stored, shape) in zip(names, shapes.items(), strict=True):
        if spec.shape(name) != shape or (_role(name) in _KNOWN and _role(name) != _role(stored)):
            return None
        wrote, *read = [{spec.root(part.space) for part in axis.parts if part.space} for axis in spec.axes[name]]
        expected = read[0] if read and len(shape) > 1 else wrote
        if last is not None and expected != last:
            return None
        last = wrote
    return dict(zip(names, shapes, strict=True))


_KNOWN = ("weight", "bias", "running_mean", "running_var")


def _role(name: str) -> str:
    return name.rpartition(".")[2]


def _with(
    prefix: str, container: str, names: Mapping[str, str], wanted: Sequence[str], tied: Mapping[str, Collection[str]]
) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name in wanted:
        alike = (name, *tied.get(name, ()))
        there = next((known for other in alike if (known := prefix + other.removeprefix(container)) in names), None)
        if there is None:
            return None
        found[name] = names[there]
    return found


def _containers(wanted: Sequence[str]) -> Iterator[str]:
    """Nothing, and the dotted words before all names, from the shortest on."""
    container = ""
    while wanted and all(name.startswith(container) for name in wanted):
        yield container
        word, dot, _ = wanted[0].removeprefix(container).partition(".")
        if not dot:
            return
        container += word + dot


def _compiled(stored: Iterable[str]) -> dict[str, str]:
    """Names without what compiling put into them, unless two would become one."""
    stored = list(stored)
    names = {name.replace(_COMPILED, ""): name for name in stored}
    return names if len(names) == len(stored) else {name: name for name in stored}

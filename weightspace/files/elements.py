"""Elements of the gauge as files: tensors ``perm.NAME`` and ``scale.NAME`` by space, the spec in the metadata."""

from collections.abc import Mapping
from pathlib import Path

import torch

from .._errors import ConfigError, SpecError
from ..gauge import SCALE_GROUPS, Element
from ..spec import NeuronSpace, SymmetrySpec, parse, to_text
from . import atomic

_FORMAT = "weightspace-element-1"


def save_element(path: Path, element: Element, spec: SymmetrySpec, about: Mapping[str, str] | None = None) -> None:
    """Write an element, or a batch of them, with the spec it belongs to; ``load_element`` returns it to the bit.

    Args:
        path: A ``.safetensors`` file.
        element: What to write.
        spec: The gauge that it is a member of.
        about: Further metadata, such as what it maps to what.

    Raises:
        ConfigError: if the place is no ``.safetensors`` file or cannot be written.
    """
    check_name(path)
    tensors = {f"perm.{name}": value for name, value in element.perm.items()}
    tensors |= {f"scale.{name}": value for name, value in element.scale.items()}
    atomic.save_tensors(path, tensors, {**(about or {}), "format": _FORMAT, "spec": to_text(spec)})


def load_element(path: Path) -> tuple[Element, SymmetrySpec]:
    """The element in a file, and the spec of the networks that it acts on.

    Raises:
        ConfigError: if the file cannot be read, is no file of an element, or what it holds is no member of the gauge.
    """
    tensors, metadata = atomic.load_tensors(path)
    try:
        spec = parse(metadata["spec"]) if metadata.get("format") == _FORMAT else None
    except (KeyError, SpecError) as error:
        raise ConfigError(f"{path} holds no readable spec ({error}). Write the element again.") from error
    if spec is None:
        raise ConfigError(f"{path} is no file of an element. Make one: weightspace same A B --spec FILE --out {path}")
    wanted = {f"{part}.{space.name}" for space in spec.free for part in ("perm", "scale")}
    if wanted != set(tensors):
        name = min(wanted ^ set(tensors))
        raise ConfigError(f"{path} {'lacks' if name in wanted else 'holds an unknown'} {name!r}. Write it again.")
    perm = {space.name: tensors[f"perm.{space.name}"] for space in spec.free}
    element = Element(perm, {space.name: tensors[f"scale.{space.name}"] for space in spec.free})
    for space in spec.free:
        if not _is_member(element, space):
            raise ConfigError(
                f"{path}: what it holds for {space} is no permutation with scales of this group. Write it again."
            )
    return element, spec


def check_name(path: Path) -> None:
    """Refuses a name that does not end in ``.safetensors``.

    Raises:
        ConfigError: if so.
    """
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path} is not a .safetensors file. Type e.g. {path.with_suffix('.safetensors')}")


def _is_member(element: Element, space: NeuronSpace) -> bool:
    perm, scale = element.perm[space.name], element.scale[space.name]
    if perm.dtype != torch.int64 or not scale.is_floating_point() or perm.shape != scale.shape or not perm.ndim:
        return False
    places = torch.arange(space.size)
    sound = perm.shape[-1] == space.size and bool((perm.sort(-1).values == places).all())
    return sound and bool(SCALE_GROUPS[space.scale].contains(scale).all())

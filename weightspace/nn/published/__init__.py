"""The published ScaleGMN configurations, exact, and as cheap as their mathematics allows."""

from dataclasses import replace

from ..._errors import ConfigError
from ...spec import SymmetrySpec
from ._chain import spec_of
from ._family import PublishedFamily as PublishedFamily
from ._models import PublishedFunctional as PublishedFunctional
from ._models import PublishedOperator as PublishedOperator
from ._presets import PRESETS as PRESETS
from ._presets import Preset as Preset
from ._released import MixedFunctional as MixedFunctional

Published = PublishedFunctional | PublishedOperator | MixedFunctional


def paper(
    name: str | Preset,
    *,
    layout: tuple[int, ...] | SymmetrySpec | None = None,
    width: int | None = None,
    rounds: int | None = None,
    out: int | None = None,
) -> Published:
    """A metanetwork of a published configuration, with fresh weights.

    Called with stacked parameters it returns a vector per network, or new parameters; ``hetero`` takes a bool per
    network as well (see :class:`MixedFunctional`).

    Its formula is the published one. Not reproduced are the defects of the released code: backward edges that break
    positive scales, mixed-up edge positions, two dropout masks in a symmetrized invariant, dropout on the changes of
    biases, and modules that no output depends on.

    Args:
        name: A name in ``PRESETS``, ``permutation: NAME`` for its gauge-free baseline, or a preset of your own.
        layout: Neurons per layer, or the spec of the networks read (a chain of layers). Default: as published.
        width: Channels of every state. Default: as published.
        rounds: Rounds of message passing. Default: as published.
        out: Length of the vector of a functional. Default: as published.

    Raises:
        ConfigError: for an unknown name, a size below 1, or ``out`` for an operator.
        SpecError: for a spec that is no chain of layers, or has other scale groups than the configuration.

    Source: arXiv:2406.10685, tables and released configurations; arXiv:2510.08300, appendix D.1 for operators.
    """
    preset = name if isinstance(name, Preset) else _find(str(name))
    if out is not None and preset.readout == "operator":
        raise ConfigError(f"out={out}: an operator returns parameters, not a vector. Leave out= away.")
    sizes = {"width": width, "rounds": rounds, "out": out}
    preset = replace(preset, **{key: value for key, value in sizes.items() if value is not None})
    if isinstance(layout, SymmetrySpec):
        spec = layout
    else:
        if not isinstance(layout, (tuple, list, type(None))):
            raise ConfigError(f"layout={layout!r} is no layout. Give neurons per layer, (2, 32, 32, 1), or a spec.")
        preset = preset if layout is None else replace(preset, layout=tuple(layout))
        spec = spec_of(preset)
    if preset.group == "hetero":
        return MixedFunctional(preset, spec)
    return (PublishedOperator if preset.readout == "operator" else PublishedFunctional)(preset, spec)


def _find(name: str) -> Preset:
    baseline, _, plain = name.rpartition("permutation:")
    plain = plain.strip()
    if baseline or plain not in PRESETS:
        raise ConfigError(
            f"there is no published configuration {name!r}. Choose one of {', '.join(map(repr, PRESETS))}, "
            "or 'permutation: NAME' for the gauge-free baseline of one."
        )
    return replace(PRESETS[plain], group="permutation") if plain != name.strip() else PRESETS[plain]

"""The two metanetworks: an invariant functional and an equivariant operator."""

from collections.abc import Mapping
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import ConfigError, SpecError
from ..._types import Params
from ...spec import SymmetrySpec, layout, without_scales
from ...view import PlainView
from .._checks import check_choice, check_counts, check_sizes, check_stack
from .._divided import Back, divided, has_normal_form
from .._economy import Recomputable
from .._interfaces import AbstractFunctional, AbstractOperator
from .._invariant import SignInvariant
from ._readout import EquivariantReadout, InvariantReadout
from ._rounds import Direction, Round
from ._state import Embed, State

PositiveMethod = Literal["normal_form", "blocks"]
"""How positive scales are handled: divided out exactly beforehand, or passed through ScaleGMN blocks."""


@final
class Backbone(Recomputable):
    """Final states of ``b`` stacked networks, and the way back for changes of what was read.

    The last round computes what the read-out reads: of operators (``edges``) the states of weights and of spaces with
    biases, of functionals those of all spaces.
    """

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int,
        rounds: int,
        direction: Direction,
        sign: SignInvariant,
        positive: PositiveMethod,
        symmetry_broken: bool,
        *,
        edges: bool,
    ) -> None:
        super().__init__()
        self.plain = plain_view(spec)
        if positive == "blocks" and (self.plain is not None or not has_normal_form(spec)):
            raise ConfigError(
                f"positive='blocks' measures every neuron by its fan-in, which the architecture {spec} does not allow: "
                "neurons are bound to each other, or have no fan-in. Take positive='normal_form'."
            )
        inner = spec if self.plain is None else self.plain.plain
        check_sizes(inner, width=width, rounds=rounds)
        check_choice("direction", direction, ("forward", "bidirectional"))
        check_choice("sign", sign, ("absolute", "symmetrized"))
        check_choice("positive", positive, ("normal_form", "blocks"))
        self.spec = spec
        # Networks are read in normal form, by ScaleGMN blocks too. These are equivariant, so in exact arithmetic
        # nothing changes; in float32 a nearly dead neuron (1e-40) would overflow them. The broken control has the
        # same parts, and skips the division.
        self.divides = not symmetry_broken
        self.inner = without_scales(inner, keep_signs=True) if positive == "normal_form" else inner
        sign = "none" if symmetry_broken else sign
        self.embed = Embed(self.inner, width)
        every = [space.name for space in self.inner.spaces]
        some = [name for name in every if layout(self.inner).biases_of(name)] if edges else every
        first = (Round(self.inner, width, direction, sign, every, True) for _ in range(rounds - 1))
        self.rounds = nn.ModuleList([*first, Round(self.inner, width, direction, sign, some or every, edges)])

    def forward(self, params: Mapping[str, Tensor]) -> tuple[State, Back]:
        """States after all rounds, and what brings changes back to the networks' own scales."""
        check_stack(params, self.spec, self.embed.context.weight)
        back: Back = dict
        if self.divides:
            params, back = divided(params, self.spec)
        if self.plain is not None:
            params = self.plain(params)
        return self.run([(one,) for one in self.rounds], self.embed(params)), back


@final
class InvariantFunctional(AbstractFunctional):
    """A vector per network, the same for every network of an orbit.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns ``[b, out]``.

    Args:
        spec: Architecture of the networks read.
        width: Channels of every state.
        out: Length of the vector.
        rounds: Rounds of message passing; four let every layer of a four-layer network meet the others.
        direction: ``forward`` along the weights only, or ``bidirectional``.
        sign: Invariant for sign groups: ``absolute`` (cheap) or ``symmetrized`` (more expressive).
        positive: Positive scales: ``normal_form`` (only permutations are left) or ``blocks`` (ScaleGMN).
        symmetry_broken: Leave the canonicalization out; the control of arXiv:2510.08300, not invariant.

    Raises:
        ConfigError: for an unknown choice, a size below 1, or blocks where they cannot measure neurons.
        SpecError: if the architecture has no weights, or one that joins heads, groups or more than two spaces, by name.

    Source: arXiv:2406.10685, section 5. Ours differs in the neuron gauge of backward edges, normalization,
    outer-product edge updates and inputs in units of their layer.
    """

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int = 32,
        out: int = 1,
        *,
        rounds: int = 4,
        direction: Direction = "bidirectional",
        sign: SignInvariant = "absolute",
        positive: PositiveMethod = "normal_form",
        symmetry_broken: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        options = (width, rounds, direction, sign, positive, symmetry_broken)
        self.backbone = Backbone(spec, *options, edges=False)
        read = "none" if symmetry_broken else sign
        check_counts(out=out)
        self.readout = InvariantReadout(self.backbone.inner, width, out, read)

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        return self.readout(self.backbone(params)[0])


@final
class EquivariantOperator(AbstractOperator):
    """New parameters for every network: old ones plus learned changes that move with the gauge.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns the same.

    Args:
        spec: Architecture of the networks read and written.
        width: Channels of every state.
        rounds: Rounds of message passing.
        direction: ``bidirectional`` (default; what a gradient needs) or ``forward``.
        sign: Invariant for sign groups: ``absolute`` (cheap) or ``symmetrized`` (more expressive).
        positive: Positive scales: ``normal_form`` (only permutations are left) or ``blocks`` (ScaleGMN).
        symmetry_broken: Leave the canonicalization out; the control of arXiv:2510.08300, not equivariant.

    Raises:
        ConfigError: for an unknown choice, a size below 1, or blocks where they cannot measure neurons.
        SpecError: if the architecture has no weights, or one that joins heads, groups or more than two spaces, by name.

    Source: arXiv:2510.08300, section 2 and appendix D.1, on the blocks of arXiv:2406.10685.
    """

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int = 32,
        *,
        rounds: int = 4,
        direction: Direction = "bidirectional",
        sign: SignInvariant = "absolute",
        positive: PositiveMethod = "normal_form",
        symmetry_broken: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        options = (width, rounds, direction, sign, positive, symmetry_broken)
        self.backbone = Backbone(spec, *options, edges=True)
        self.readout = EquivariantReadout(self.backbone.inner, width)

    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are."""
        state, back = self.backbone(params)
        plain = self.backbone.plain
        rest = {} if plain is not None else {name: params[name] for name in layout(self.spec).rest}
        change = self.readout(state, rest)
        change = back(change if plain is None else plain.write(change))
        return {name: value.to(params[name].dtype) for name, value in change.items()}


def plain_view(spec: SymmetrySpec) -> PlainView | None:
    """How networks are read whose parameters are not all weights and biases of freely permuted neurons.

    Raises:
        SpecError: for a parameter that cannot be read, by name.
    """
    try:
        layout(spec)
    except SpecError:
        return PlainView(spec)
    return None

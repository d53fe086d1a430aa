"""The two metanetworks: an invariant functional and an equivariant operator."""

from collections.abc import Collection, Mapping
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from ..._types import Params
from ...gauge import NeuronGauge, change_from_normal_form, has_positive_scales, normal_form
from ...spec import SymmetrySpec, layout, without_scales
from .._checks import check_choice, check_dtype, check_sizes
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
    """Final states of ``b`` stacked networks, the parameters read, and the neuron gauge divided out before.

    The last round computes what the read-out reads: the states of the spaces ``nodes`` (of all, if there are none),
    and of the edges if ``edges``.
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
        nodes: Collection[str],
        edges: bool,
    ) -> None:
        super().__init__()
        check_sizes(spec, width=width, rounds=rounds)
        check_choice("direction", direction, ("forward", "bidirectional"))
        check_choice("sign", sign, ("absolute", "symmetrized"))
        check_choice("positive", positive, ("normal_form", "blocks"))
        self.spec = spec
        # Networks are read in normal form, by ScaleGMN blocks too. These are equivariant, so in exact arithmetic
        # nothing changes; in float32 a nearly dead neuron (1e-40) would overflow them. The broken control has the
        # same parts, and skips the division.
        self.divides = has_positive_scales(spec) and not symmetry_broken
        self.inner = without_scales(spec, keep_signs=True) if positive == "normal_form" else spec
        sign = "none" if symmetry_broken else sign
        self.embed = Embed(self.inner, width)
        every = [space.name for space in spec.spaces]
        inner = (Round(self.inner, width, direction, sign, every, True) for _ in range(rounds - 1))
        self.rounds = nn.ModuleList([*inner, Round(self.inner, width, direction, sign, nodes or every, edges)])

    def forward(self, params: Mapping[str, Tensor]) -> tuple[State, Mapping[str, Tensor], NeuronGauge | None]:
        self.spec.check(params)
        check_dtype(params, self.embed.context.weight)
        gauge = None
        if self.divides:
            params, gauge = normal_form(params, self.spec)
        return self.run([(one,) for one in self.rounds], self.embed(params)), params, gauge


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
        ConfigError: for an unknown choice or a size below 1.
        SpecError: if the architecture has no weights.

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
        self.backbone = Backbone(spec, *options, nodes=[space.name for space in spec.spaces], edges=False)
        read = "none" if symmetry_broken else sign
        check_sizes(spec, out=out)
        self.readout = InvariantReadout(self.backbone.inner, width, out, read)

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        state, _, _ = self.backbone(params)
        return self.readout(state)


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
        ConfigError: for an unknown choice or a size below 1.
        SpecError: if the architecture has no weights.

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
        biased = [space.name for space in spec.spaces if layout(spec).biases_of(space.name)]
        self.backbone = Backbone(spec, *options, nodes=biased, edges=True)
        self.readout = EquivariantReadout(self.backbone.inner, width)

    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are."""
        state, read, gauge = self.backbone(params)
        rest = {name: params[name] for name in layout(self.spec).rest}
        change = self.readout(state, rest)
        return change if gauge is None else change_from_normal_form(change, read, gauge, self.spec)

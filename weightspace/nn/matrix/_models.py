"""The two metanetworks of the matrix family."""

from collections.abc import Mapping
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import ConfigError
from ..._types import Params
from ...spec import SymmetrySpec
from ...view import MatrixView
from .._checks import check_choice, check_stack
from .._divided import Back, divided
from .._economy import Recomputable
from .._equivariant import Mlp
from .._interfaces import AbstractFunctional, AbstractOperator
from ._changes import Changes
from ._functional import Pool
from ._messages import Direction
from ._nodes import Nodes
from ._probes import Probing
from ._reading import Reader, Reading
from ._rounds import Round
from ._start import Start


@final
class Backbone(Recomputable):
    """States of all neurons after the last round, the context, what was read, and the way back for changes."""

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int,
        rounds: int,
        direction: Direction,
        *,
        even: bool,
        probing: Probing | None,
        broken: bool,
    ) -> None:
        super().__init__()
        check_choice("direction", direction, ("forward", "bidirectional"))
        self.spec, self.broken = spec, broken
        self.view = MatrixView(spec)
        self.nodes = Nodes(self.view)
        self.reader = Reader(self.view, self.nodes, even, broken)
        self.probes = None if probing is None else probing.build(spec, self.nodes)
        extra = ({}, 0) if self.probes is None else (self.probes.channels, self.probes.num_context)
        self.start = Start(self.nodes, self.reader, width, extra)
        self.rounds = nn.ModuleList(
            Round(self.view, self.nodes, width, direction, even=even, broken=broken) for _ in range(rounds)
        )

    def forward(self, params: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Reading, Back]:
        check_stack(params, self.spec, self.start.units)
        back: Back = dict
        if not self.broken:
            params, back = divided(params, self.spec)
        reading = self.reader(params, self.start.units.dtype)
        x, context = self.start(reading, None if self.probes is None else self.probes(params))
        x = self.run([(one, context, reading) for one in self.rounds], x)
        return x, context, reading, back


@final
class MatrixFunctional(AbstractFunctional):
    """A vector per network, the same for every network of an orbit.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns ``[b, out]``.

    Args:
        spec: Architecture of the networks read.
        width: Channels of every neuron's state.
        out: Length of the vector.
        rounds: Rounds of messages; four let every layer of a four-layer network meet the others.
        direction: ``forward`` along the weights only, or ``bidirectional``.
        even: Send magnitudes along squared weights as well.
        probing: Learned inputs that run through the networks.
        weights: Read the weights; without, outputs on the learned inputs alone.
        symmetry_broken: Leave scales and signs in: the control, not invariant.

    Raises:
        SpecError: for a parameter that cannot be read as matrices, by name.
        ConfigError: for an unknown direction, or if neither weights nor probes are read.

    Source: probes alone: Kahana et al. 2024, arXiv:2410.10811 (theirs makes the inputs from learned codes).
    """

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int = 32,
        out: int = 1,
        *,
        rounds: int = 4,
        direction: Direction = "bidirectional",
        even: bool = True,
        probing: Probing | None = None,
        weights: bool = True,
        symmetry_broken: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        if weights:
            options = {"even": even, "probing": probing, "broken": symmetry_broken}
            self.backbone = Backbone(spec, width, rounds, direction, **options)
            self.readout = Pool(self.backbone.nodes, width, out, symmetry_broken)
        elif probing is None:
            raise ConfigError("a functional with weights=False and probes=0 reads nothing. Set probes to 1 or more.")
        else:
            self.probes = probing.build(spec, None)
            hidden = nn.Linear(self.probes.num_context, 2 * width), nn.SiLU()
            self.head = nn.Sequential(*hidden, Mlp(2 * width, 2 * width, out))
        self.weights = weights

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        if not self.weights:
            check_stack(params, self.spec, self.probes.inputs)
            return self.head(self.probes(params)[1])
        x, context, _, _ = self.backbone(params)
        return self.readout(x, context)


@final
class MatrixOperator(AbstractOperator):
    """New parameters for every network: old ones plus learned changes that move with the gauge.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns the same. Whole numbers stay.

    Args:
        spec: Architecture of the networks read and written.
        width: Channels of every neuron's state.
        rounds: Rounds of messages.
        direction: ``bidirectional`` (default; what a gradient needs) or ``forward``.
        even: Send magnitudes along squared weights as well.
        probing: Learned inputs that run through the networks.
        symmetry_broken: Leave scales and signs in: the control, not equivariant.

    Raises:
        SpecError: for a parameter that cannot be read as matrices, by name.
        ConfigError: for an unknown direction.
    """

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int = 32,
        *,
        rounds: int = 4,
        direction: Direction = "bidirectional",
        even: bool = True,
        probing: Probing | None = None,
        symmetry_broken: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        options = {"even": even, "probing": probing, "broken": symmetry_broken}
        self.backbone = Backbone(spec, width, rounds, direction, **options)
        self.readout = Changes(self.backbone.view, self.backbone.nodes, width, symmetry_broken)

    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are."""
        x, context, reading, back = self.backbone(params)
        change = back(self.backbone.view.write(self.readout(x, context, reading)))
        return {name: value.to(params[name].dtype) for name, value in change.items()}

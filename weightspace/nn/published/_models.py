"""The published metanetworks, assembled from a preset."""

from collections.abc import Callable, Mapping
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import SpecError
from ..._types import Params
from ...gauge import NeuronGauge, change_from_normal_form, normal_form
from ...spec import ScaleName, SymmetrySpec
from .._checks import check_sizes, check_stack
from .._economy import Recomputable
from .._interfaces import AbstractFunctional, AbstractOperator
from ._chain import Chain, chain
from ._cone import Needed, cone
from ._permutation import PlainRound
from ._presets import Preset
from ._readout import FullGraph, LastLayer, PlainFullGraph, Steps
from ._rounds import Round, directions, evolving
from ._state import ChainState, Embed


@final
class PublishedBackbone(Recomputable):
    """Final states of ``b`` stacked networks of a feed-forward architecture.

    Args:
        preset: The configuration.
        spec: The architecture of the networks read.
        last: What the read-out reads.
        operator: Whether the last round ends in one number per vertex and a kernel per edge.
    """

    backward_kernels: Callable[[Tensor], Tensor] | None = None
    """What backward messages read instead of the kernels; only history sets it."""

    def __init__(self, preset: Preset, spec: SymmetrySpec, last: Needed, *, operator: bool) -> None:
        super().__init__()
        self.chain: Chain = chain(spec)
        self.embed = Embed(preset, self.chain)
        self.directions = directions(preset)
        self.reads_positions = preset.positions_in_messages and preset.group != "permutation"
        kind = PlainRound if preset.group == "permutation" else Round
        rounds = [kind(preset, self.chain, skip=preset.skip) for _ in range(preset.rounds - 1)]
        if operator:
            rounds.append(kind(preset, self.chain, node_out=1, edge_out=self.chain.kernel))
        else:
            rounds.append(kind(preset, self.chain, update_edges=False, skip=preset.skip))
        self.rounds = nn.ModuleList(rounds)
        self.needed = cone(len(self.chain.sizes), preset.rounds, evolving(preset), last)

    def forward(self, params: Mapping[str, Tensor], group: ScaleName) -> ChainState:
        biases, kernels = self.chain.read(params)
        streams = {}
        for name in self.directions:
            changed = self.backward_kernels if name == "back" else None
            read = kernels if changed is None else [changed(kernel) for kernel in kernels]
            streams[name] = self.embed.edges_of(read, name)
        positions = self.embed.positions() if self.reads_positions else None
        state = ChainState(self.embed.nodes_of(biases, kernels[0]), streams)
        steps = [(one, needed, group, positions) for one, needed in zip(self.rounds, self.needed, strict=True)]
        return self.run(steps, state)


@final
class PublishedFunctional(AbstractFunctional):
    """A published configuration that gives a vector per network, the same for every network of an orbit.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns ``[b, out]``. Networks with
    positive scales are read in normal form, where the neuron gauge is 1 and a weight and its reciprocal gauge
    partner coincide: that is the published formula with backward edges that keep the law.

    Source: arXiv:2406.10685; see :func:`paper`.
    """

    def __init__(self, preset: Preset, spec: SymmetrySpec) -> None:
        super().__init__()
        self.preset = preset
        self.spec = spec
        self.group = group_of(preset, spec)
        check_sizes(spec, width=preset.width, rounds=preset.rounds, out=preset.out)
        self.in_normal_form = self.group == "positive"
        shape = chain(spec)
        if preset.readout == "last_layer":
            self.readout = LastLayer(preset, shape)
        else:
            self.readout = PlainFullGraph(preset) if preset.group == "permutation" else FullGraph(preset, shape)
        last = Needed(self.readout.reads(len(shape.sizes)), {})
        self.backbone = PublishedBackbone(preset, spec, last, operator=False)

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        state, _ = self._last(params)
        return self.readout(state, self.group)

    def states(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Final vertex states ``[b, n, c]`` by space, of the spaces that the read-out depends on.

        A scale that acts on a hidden neuron acts on its state.
        """
        state, gauge = self._last(params)
        found = zip(self.backbone.chain.spaces, state.nodes, strict=True)
        return {name: x if gauge is None else x * gauge[name].unsqueeze(-1) for name, x in found if x is not None}

    def _last(self, params: Mapping[str, Tensor]) -> tuple[ChainState, NeuronGauge | None]:
        check_stack(params, self.spec, self.backbone.embed.vertex.weight)
        gauge = None
        if self.in_normal_form:
            params, gauge = normal_form(params, self.spec)
        return self.backbone(params, self.group), gauge


@final
class PublishedOperator(AbstractOperator):
    """A published configuration that gives new parameters for every network; they move with the gauge.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns the same. Published operators are for
    signs; with positive scales, which is ours, changes on the fan-out of nearly dead neurons are damped as in
    :class:`weightspace.nn.EquivariantOperator`.

    Source: arXiv:2406.10685 and arXiv:2510.08300, appendix D.1; see :func:`paper`.
    """

    def __init__(self, preset: Preset, spec: SymmetrySpec) -> None:
        super().__init__()
        self.preset = preset
        self.spec = spec
        self.group = group_of(preset, spec)
        self.in_normal_form = self.group == "positive"
        check_sizes(spec, width=preset.width, rounds=preset.rounds)
        shape = chain(spec)
        self.steps = Steps(shape)
        last = Needed(self.steps.reads(len(shape.sizes)), {"ahead": frozenset(range(len(shape.weights)))})
        self.backbone = PublishedBackbone(preset, spec, last, operator=True)

    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are."""
        check_stack(params, self.spec, self.backbone.embed.vertex.weight)
        read, gauge = normal_form(params, self.spec) if self.in_normal_form else (params, None)
        biases, kernels = self.steps(self.backbone(read, self.group))
        change = self.backbone.chain.write(biases, kernels, read)
        return change if gauge is None else change_from_normal_form(change, read, gauge, self.spec)


def group_of(preset: Preset, spec: SymmetrySpec) -> ScaleName:
    """The scale group that a preset's model needs on hidden spaces.

    Raises:
        SpecError: if the spec has another one.
    """
    if preset.group == "permutation":
        return "trivial"
    wanted: ScaleName = "positive" if preset.group == "hetero" else preset.group
    for space in spec.free:
        if space.scale != wanted:
            raise SpecError(
                f"this configuration is for networks whose hidden neurons have {wanted} scales; space {space.name!r} "
                f"has {space.scale}. Choose another configuration, or the baseline 'permutation: NAME'."
            )
    return wanted

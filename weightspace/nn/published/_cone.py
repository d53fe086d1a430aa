"""Which states the result depends on, round by round; the others are not computed."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Needed:
    """What has to be known after a round.

    Attributes:
        nodes: Layers, by number.
        edges: Weights by number, per direction of the messages that read them.
    """

    nodes: frozenset[int]
    edges: dict[str, frozenset[int]]


def receivers(direction: str, layer: int, num_layers: int) -> int | None:
    """The number of the weight through which messages of a direction reach a layer, if any does."""
    weight = layer - 1 if direction == "ahead" else layer
    return weight if 0 <= weight < num_layers - 1 else None


def cone(num_layers: int, rounds: int, evolving: dict[str, bool], last: Needed) -> list[Needed]:
    """What is needed after every round.

    Args:
        num_layers: Layers of neurons.
        rounds: Rounds of message passing.
        evolving: Per direction, whether its edge states change from round to round.
        last: What the read-out reads.
    """
    plan = [last]
    for _ in range(rounds - 1):
        after = plan[0]
        nodes = set(after.nodes)
        edges = {direction: set(after.edges.get(direction, ())) for direction in evolving}
        for direction in evolving:
            for layer in after.nodes:
                weight = receivers(direction, layer, num_layers)
                if weight is not None:
                    nodes.add(layer - 1 if direction == "ahead" else layer + 1)
                    edges[direction].add(weight)
            for weight in after.edges.get(direction, ()):
                nodes.update((weight, weight + 1))
        kept = {d: frozenset(edges[d] if evolves else ()) for d, evolves in evolving.items()}
        plan.insert(0, Needed(frozenset(nodes), kept))
    return plan

"""Scales read off one layer after the other, from the inputs on: fan-in norms of 1, and signs.

A space can be read once every other scale that acts on its fan-in is settled. Where spaces wait for each other (a
recurrent or residual weight), the entries between them are left out; a space that has no fan-in of its own is read
from its fan-out, and so is a neuron whose fan-in is 0. Where nothing can be read (two scales that only act together,
and may undo each other), the smallest space keeps its scale and counts as not decided.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._balance import balanced_scales
from ._table import Incidence, Table, Tables

ROUNDING = 4e-16
"""Relative change of a logarithm at which it has arrived."""

Part = tuple[Table, Tensor, Incidence]
"""A table, which of its entries only one scale that is not settled acts on, and where that scale acts."""


def norm_scales(squares: Tables) -> tuple[Float[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Log scales at which every fan-in has norm 1 (a fan-out, where there is none), and the neurons not decided.

    Args:
        squares: Tables of ``w^2``; they count by their powers.
    """
    log = torch.zeros((squares.num, squares.size), dtype=torch.float64)
    dead, kept = torch.zeros_like(log, dtype=torch.bool), torch.zeros(squares.size, dtype=torch.bool)
    for space, parts in _in_turn(squares):
        own = squares.home[:-1] == space
        if not parts:
            kept = kept | own
            continue
        here = _take(squares, space, parts, dead, partial(_scaled, log=log))
        powers = sorted({incidence.power for _, _, incidence in parts}, key=abs)
        # In logarithms: sums of huge weights, scaled to norm 1, are below all numbers in units of the weights.
        sums = [(p, (abs(p) * here.pull(lambda other, p=p: float(other == p))).log()) for p in powers]
        alive = here.pull(abs) > 0
        step, unit = torch.zeros_like(log), 2 * squares.log_unit.unsqueeze(-1)
        for _ in range(100):
            total = torch.stack([part + 2 * p * step for p, part in sums]).logsumexp(0) + unit
            change = -total.where(alive, 0.0) / (2 * powers[-1])
            step = step + change
            if bool((change.abs() <= ROUNDING * (1 + step.abs())).all()):
                break
        log, dead = log + step, dead | (own & ~alive)
    kept = kept & squares.some(abs)
    rest, lost = balanced_scales(
        squares.with_values([_scaled(table, log) for table in squares.tables]), 2.0, dead & ~kept
    )
    return log + rest, lost | kept


def signs(cubes: Tables, squares: Tables, tolerance: float) -> tuple[Float[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Signs for which the cubes of every fan-in have a positive sum, and the neurons where that says nothing (1).

    Args:
        cubes: Tables of ``w^3``.
        squares: Of their squares: a table of sums of cubes says nothing of how large the cubes are.
        tolerance: A sum within this fraction of the norm of the cubes, as which rounding makes it, says nothing.
    """
    sizes = {id(cube): square.value for cube, square in zip(cubes.tables, squares.tables, strict=True)}
    sign = torch.ones((cubes.num, cubes.size), dtype=torch.float64)
    tied, empty = (torch.zeros_like(sign, dtype=torch.bool) for _ in range(2))
    kept, turns = torch.zeros(cubes.size, dtype=torch.bool), list(_in_turn(cubes))
    for space, parts in turns:
        own = cubes.home[:-1] == space
        if not parts:
            kept = kept | own
            continue
        sign, clear, none = _read_signs(cubes, sizes, space, parts, sign, tied, tolerance)
        tied, empty = tied | (own & ~clear), empty | (own & none)
    settled = torch.ones(len(cubes.start) + 1, dtype=torch.bool)
    for space, parts in reversed(turns):  # what has no fan-in has its fan-out to be read from
        which = (cubes.home[:-1] == space) & empty
        fan_out = _parts(cubes, space, -1, settled)[0]
        if parts and fan_out and bool(which.any()):
            new, clear, none = _read_signs(cubes, sizes, space, fan_out, sign, tied & ~which, tolerance)
            sign, tied = torch.where(which, new, sign), tied & ~(which & (clear | none))
        elif parts:
            tied = tied & ~which  # a sign that does nothing
    return sign, (tied | kept) & cubes.some(abs)


def _read_signs(
    cubes: Tables,
    sizes: Mapping[int, Tensor],
    space: int,
    parts: list[Part],
    sign: Tensor,
    tied: Tensor,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The signs with those of a space read off its parts, the neurons they are clear for, and those with zeros only.

    Where all parts together say nothing, the first one that does by itself decides: balanced scales make two entries of
    a neuron equal in size where it has no more, and if their signs differ their sum is what rounding makes of it.
    """

    def sums(some: list[Part]) -> tuple[Tensor, Tensor]:
        total = _take(cubes, space, some, tied, partial(_flipped, sign=sign)).pull(lambda _: 1.0)
        norm = _take(cubes, space, some, tied, lambda table: sizes[id(table)]).pull(lambda _: 1.0).sqrt()
        return total, norm

    total, norm = sums(parts)
    clear, none = total.abs() > tolerance * norm, (norm == 0) & (total == 0)
    for part in parts if len(parts) > 1 else ():
        if bool((clear | none).all()):
            break
        its, size = sums([part])
        more = ~clear & (its.abs() > tolerance * size)
        total, clear = torch.where(more, its, total), clear | more
    return torch.where(clear & (total < 0), -1.0, sign), clear, none


def _scaled(table: Table, log: Tensor) -> Tensor:
    return table.value * (2 * table.exponent(log)).exp()


def _flipped(table: Table, sign: Tensor) -> Tensor:
    return table.value * table.product(sign)


def _in_turn(tables: Tables) -> Iterator[tuple[int, list[Part]]]:
    """For one space after the other what can be read of it."""
    waiting, done = list(range(len(tables.start))), torch.zeros(len(tables.start) + 1, dtype=torch.bool)
    done[-1] = True  # no neuron
    while waiting:
        space, parts = _next(tables, waiting, done)
        yield space, parts
        done[space] = True
        waiting.remove(space)


def _next(tables: Tables, waiting: list[int], done: Tensor) -> tuple[int, list[Part]]:
    """A space whose fan-in can be read whole; else one with any fan-in, else any fan-out, else the smallest."""
    some: tuple[int, list[Part]] | None = None
    for space in waiting:
        parts, whole = _parts(tables, space, 1, done)
        if parts and whole:
            return space, parts
        some = some or ((space, parts) if parts else None)
    fan_out = ((space, _parts(tables, space, -1, done)[0]) for space in waiting)
    some = some or next((found for found in fan_out if found[1]), None)
    sizes = torch.bincount(tables.home, minlength=len(tables.start))
    return some or (min(waiting, key=lambda place: int(sizes[place])), [])


def _parts(tables: Tables, space: int, side: int, done: Tensor) -> tuple[list[Part], bool]:
    """What can be read of one side of a space, and whether that is all of the side."""
    found, whole = [], True
    for table in tables.tables:
        homes = [tables.home[incidence.owner] for incidence in table.incidences]
        for place, incidence in enumerate(table.incidences):
            if incidence.power * side < 0 or not bool((homes[place] == space).any()):
                continue
            own = homes[place] == space
            clear = own
            for other, home in enumerate(homes):
                clear = clear & done[home] if other != place else clear
            whole = whole and bool((clear == own).all())
            if bool(clear.any()):
                found.append((table, clear, replace(incidence, owner=torch.where(own, incidence.owner, -1))))
    return found, whole


def _take(tables: Tables, space: int, parts: list[Part], dead: Tensor, move: Callable[[Table], Tensor]) -> Tables:
    """Tables of the parts alone, moved, without the entries of settled neurons that are dead."""
    padded = torch.cat([dead, dead.new_zeros(len(dead), 1)], -1)
    taken = []
    for table, clear, own in parts:
        value = move(table).where(clear, 0.0)
        for incidence in table.incidences:
            other = torch.where(tables.home[incidence.owner] == space, -1, incidence.owner)
            value = value.where(~padded[:, other], 0.0)
        taken.append(Table(value, (own,)))
    return replace(tables, tables=tuple(taken))

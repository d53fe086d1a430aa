"""Exact rank of a sparse matrix of small whole numbers, by elimination modulo a prime."""

from collections.abc import Iterable, Mapping

Row = Mapping[int, int]
"""Entries of a row by column; what is not there is 0."""

LARGE_PRIME = 2**61 - 1
"""Modulo a prime the rank is that over the rationals unless the prime divides every largest minor.

Our entries are powers of scales, mostly -1, 1 and 2; no minor of theirs reaches this prime by chance.
"""


def pivot_columns(rows: Iterable[Row], prime: int = LARGE_PRIME) -> set[int]:
    """Columns that are no combination of the columns before them; as many as the rank.

    Short rows are taken first: they settle most columns at once, and the long ones then fall apart.
    """
    echelon: dict[int, dict[int, int]] = {}
    for given in sorted(rows, key=len):
        row = {column: value % prime for column, value in given.items() if value % prime}
        while row:
            lead = min(row)
            if lead not in echelon:
                unit = pow(row[lead], -1, prime)
                echelon[lead] = {column: value * unit % prime for column, value in row.items()}
                break
            times = row[lead]
            for column, value in echelon[lead].items():
                left = (row.get(column, 0) - times * value) % prime
                if left:
                    row[column] = left
                else:
                    row.pop(column, None)
    return set(echelon)

"""The matcher on which ``same`` and ``align`` stand: the element that brings one network nearest to another one.

Families of neuron spaces are matched one after the other, each exactly: products of all pairs of neurons, the best
sign and scale of every pair, an assignment on what they cost.
"""

from ._assign import LARGE as LARGE
from ._assign import assign as assign
from ._carriers import Carrier as Carrier
from ._carriers import Family as Family
from ._carriers import families as families
from ._carriers import with_inside as with_inside
from ._copies import matched as matched
from ._costs import pair_costs as pair_costs
from ._costs import products as products
from ._descent import Descent as Descent
from ._descent import descend as descend
from ._problem import Problem as Problem
from ._problem import distance as distance
from ._problem import problem as problem
from ._quartic import best_scale as best_scale
from ._starts import Progress as Progress
from ._starts import best_start as best_start
from ._starts import starts as starts
from ._step import best_signs as best_signs
from ._step import changes as changes
from ._step import element_of as element_of
from ._step import match_family as match_family
from ._step import move as move

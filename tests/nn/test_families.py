"""Every family of metanetworks keeps what it claims; see family_suite.py."""

from family_suite import FamilySuite

from weightspace.nn import DeepSetsFamily, FlatFamily, PublishedFamily, ScaleFamily, StatisticsFamily

NO_OPERATOR_PRESET = "no operator.*'mnist_edit'"
"""A preset is one thing or the other."""
UNUSED_ENDS = r"messages\.(ahead\.map\.ends\.mlps\.input|back\.map\.ends\.mlps\.output)"
"""As published: each direction has maps at both ends, though no message goes ahead to inputs or back to outputs."""

HUGE = 1e10
"""As published: states are multiplied by weights in every round, and not divided by their size."""


class TestScale(FamilySuite):
    family = ScaleFamily(width=8, rounds=2)
    laws = frozenset({"permutation", "sign", "positive"})


class TestScalePermutations(FamilySuite):
    family = ScaleFamily(width=8, rounds=2, symmetry="permutations")
    laws = frozenset({"permutation"})


class TestDeepSets(FamilySuite):
    family = DeepSetsFamily(width=8)
    laws = frozenset({"permutation", "sign", "positive"})


class TestDeepSetsPermutations(FamilySuite):
    family = DeepSetsFamily(width=8, symmetry="permutations")
    laws = frozenset({"permutation"})


class TestFlat(FamilySuite):
    family = FlatFamily(width=16)
    laws = frozenset()


class TestStatistics(FamilySuite):
    family = StatisticsFamily(width=16)
    laws = frozenset({"permutation"})
    no_operator = "nothing of single weights.*kind: scale"


class TestPublishedSigns(FamilySuite):
    family = PublishedFamily(preset="fmnist_cls -B", width=8, rounds=2)
    largest = HUGE
    laws = frozenset({"permutation", "sign"})
    one_group = "sign"
    no_operator = NO_OPERATOR_PRESET
    idle = UNUSED_ENDS


class TestPublishedPositiveScales(FamilySuite):
    family = PublishedFamily(preset="svhn relu -B", width=8, rounds=2)
    largest = HUGE
    laws = frozenset({"permutation", "positive"})
    one_group = "positive"
    no_operator = NO_OPERATOR_PRESET
    idle = UNUSED_ENDS


class TestPublishedOperator(FamilySuite):
    family = PublishedFamily(preset="mnist_edit -B", width=8, rounds=2)
    largest = HUGE
    laws = frozenset({"permutation", "sign"})
    one_group = "sign"
    no_functional = "no functional.*'mnist_cls'"
    idle = r"rounds\.1\.messages\.back\.map\.ends\.mlps\.input"  # as published: the last states of inputs are not read
    least_change = 1e-6  # as published: steps start at 0.01


class TestPublishedBaseline(FamilySuite):
    family = PublishedFamily(preset="fmnist_cls", width=8, rounds=2, symmetry="permutations")
    largest = HUGE
    laws = frozenset({"permutation"})
    no_operator = NO_OPERATOR_PRESET

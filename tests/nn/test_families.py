"""Every family of metanetworks keeps what it claims; see family_suite.py."""

from family_suite import FamilySuite

from weightspace.nn import DeepSetsFamily, FlatFamily, PublishedFamily, ScaleFamily, StatisticsFamily

NO_OPERATOR_PRESET = "no operator.*'mnist_edit'"
"""A preset is one thing or the other."""


class TestScale(FamilySuite):
    family = ScaleFamily(width=8, rounds=2)
    laws = {"permutation", "sign", "positive"}


class TestScalePermutations(FamilySuite):
    family = ScaleFamily(width=8, rounds=2, symmetry="permutations")
    laws = {"permutation"}


class TestDeepSets(FamilySuite):
    family = DeepSetsFamily(width=8)
    laws = {"permutation", "sign", "positive"}


class TestDeepSetsPermutations(FamilySuite):
    family = DeepSetsFamily(width=8, symmetry="permutations")
    laws = {"permutation"}


class TestFlat(FamilySuite):
    family = FlatFamily(width=16)
    laws = set()


class TestStatistics(FamilySuite):
    family = StatisticsFamily(width=16)
    laws = {"permutation"}
    no_operator = "nothing of single weights.*kind: scale"


class TestPublishedSigns(FamilySuite):
    family = PublishedFamily(preset="mnist_cls -B", width=8, rounds=2)
    laws = {"permutation", "sign"}
    one_group = "sign"
    no_operator = NO_OPERATOR_PRESET


class TestPublishedPositiveScales(FamilySuite):
    family = PublishedFamily(preset="cifar10 relu", width=8, rounds=2)
    laws = {"permutation", "positive"}
    one_group = "positive"
    no_operator = NO_OPERATOR_PRESET


class TestPublishedOperator(FamilySuite):
    family = PublishedFamily(preset="mnist_edit -B", width=8, rounds=2)
    laws = {"permutation", "sign"}
    one_group = "sign"
    no_functional = "no functional.*'mnist_cls'"


class TestPublishedBaseline(FamilySuite):
    family = PublishedFamily(preset="mnist_cls", width=8, rounds=2, symmetry="permutations")
    laws = {"permutation"}
    no_operator = NO_OPERATOR_PRESET

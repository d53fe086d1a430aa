"""One rule per operator: the labels of its result, and what it says about those of its operands."""

from . import _rules_axes, _rules_entries, _rules_layers, _rules_products, _rules_recurrent
from ._registry import RULES

__all__ = ["RULES", "_rules_axes", "_rules_entries", "_rules_layers", "_rules_products", "_rules_recurrent"]

"""Errors a user can act on: what is wrong with the value at hand, where, and the line to type next."""


class WeightSpaceError(Exception):
    """Base of every error this library raises on purpose; the command line prints it and exits with 2."""


class SpecError(WeightSpaceError):
    """A symmetry spec cannot be derived, parsed or built."""


class SpecMismatch(WeightSpaceError):
    """Parameters do not fit the spec they are used with (name, shape, values)."""


class ZooError(WeightSpaceError):
    """A zoo on disk is missing, truncated or inconsistent."""


class ConfigError(WeightSpaceError):
    """A recipe, option, data set or path cannot be used."""

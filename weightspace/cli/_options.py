"""Options made from a configuration: every entry is one, with its description, default and check."""

from typing import TypeVar

T = TypeVar("T")


def configured(default: T, options: list[str], verb: str, about: str) -> T:
    """``default`` with the entries that the options name replaced, e.g. ``--train.learning-rate 1e-3``.

    Leaves with code 0 after ``--help`` and, with a message that suggests what was meant, with code 2 after an
    option that does not exist or a value that does not fit.
    """
    import tyro

    return tyro.cli(
        type(default),
        prog=f"weightspace {verb}",
        description=about,
        args=options,
        default=default,
        # A union keeps the kind that the default has, so that options are plain and not behind a subcommand.
        config=(tyro.conf.AvoidSubcommands,),
    )

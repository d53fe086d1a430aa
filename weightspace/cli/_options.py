"""Options made from a configuration: every entry is one, with its description, default and check."""

import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from typing import Any, TypeVar

from .._errors import ConfigError

T = TypeVar("T")

_BOUNDS = (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))


def configured(default: T, options: list[str], verb: str, about: str) -> T:
    """``default`` with the entries that the options name replaced, e.g. ``--train.learning-rate 1e-3``.

    Leaves with code 0 after ``--help``.

    Raises:
        ConfigError: for an option that does not exist (with those that were perhaps meant), or a value that does not
            fit (with what is allowed).
    """
    import tyro

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(
                type(default),
                prog=f"weightspace {verb}",
                description=about,
                args=options,
                default=default,
                # A union keeps the kind that the default has, so that options are plain and not behind a subcommand.
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as leave:
        if not leave.code:
            raise
        reason = _refused_value(default, leave) or _flat(said.getvalue())
        raise ConfigError(f"{reason} All options: weightspace {verb} --help") from None


def _refused_value(default: Any, leave: SystemExit) -> str:
    """What is wrong with the first value that the configuration itself refused; empty if it was not that."""
    from pydantic import ValidationError

    group, refused = "", None
    for error in _causes(leave):
        # tyro knows which group of options it was building, the validation which entry of the group.
        place = getattr(error, "arg", None)
        group = place if isinstance(place, str) else group
        refused = error if isinstance(error, ValidationError) else refused
    if refused is None:
        return ""
    entry = refused.errors(include_url=False)[0]
    # A number in the place counts the items of a list; the root is named after its class.
    group = group if any(group.split(".")[0] == name for name in type(default).model_fields) else ""
    names = [*filter(None, group.split(".")), *(part for part in entry["loc"] if isinstance(part, str))]
    option = "--" + ".".join(names).replace("_", "-")
    allowed = _allowed(default, names)
    if entry["type"] == "finite_number":
        allowed = f"a finite number, {allowed}".rstrip(", ")
    # A value may be refused for something else than its range, and then says what.
    wrong = f"must be {allowed}" if allowed and entry["type"] != "value_error" else entry["msg"]
    # What a whole group refuses says its own values.
    value = "" if isinstance(entry["input"], Mapping) else f" is {entry['input']}, but"
    return f"{option}{value or ':'} {wrong.removeprefix('Value error, ')}." if names else f"{entry['msg']}."


def _allowed(default: Any, names: list[str]) -> str:
    """Range of an entry in words, e.g. ``at least 0 and at most 1``; empty if it has none."""
    owner: Any = default
    for name in names[:-1]:
        owner = getattr(owner, name, None)
    fields: Mapping[str, Any] = getattr(type(owner), "model_fields", {})
    marks = fields[names[-1]].metadata if names and names[-1] in fields else []
    return " and ".join(
        words.format(f"{getattr(m, key):g}") for m in marks for key, words in _BOUNDS if hasattr(m, key)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _flat(box: str) -> str:
    """The text in tyro's box as one line, without the frame and its own line about help."""
    # A stream that cannot show lines gets a frame of ASCII signs.
    lines = [line.strip("│| ") for line in box.splitlines() if line[:1] not in {"╭", "╰", "+"}]
    kept = [line for line in lines if line.strip("─-") and not line.startswith("For full helptext")]
    return " ".join(kept).rstrip(".") + "."

"""What a verb may write over: nothing that is there already, unless ``--overwrite`` says so, or it is its own.

While a verb works, a mark beside its ``--out`` holds its words. One that is killed leaves the mark behind, by which the
same command knows what it had begun to write; it then writes all of it again.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .._errors import ConfigError

WRITTEN = ("out", "element", "draw")
"""Arguments that name what most verbs write."""


def add_overwrite(parser: argparse.ArgumentParser, *, resumes: bool) -> None:
    """``--overwrite``, for a parser that has ``--out``."""
    if "--out" in parser._option_string_actions:
        what = "results of another configuration or other inputs there" if resumes else "what is there already"
        parser.add_argument("--overwrite", action="store_true", help=f"replace {what} (default: refuse)")


@contextmanager
def guarded(args: argparse.Namespace, names: tuple[str, ...], words: Sequence[str]) -> Iterator[None]:
    """The places that these arguments name, if they are free.

    Args:
        args: Of the verb.
        names: Arguments that name what it writes.
        words: The command, by which it knows what it has begun.

    Raises:
        ConfigError: naming the option to change.
    """
    out: Path | None = getattr(args, "out", None)
    mark, said = None if out is None else out.with_name(f".{out.name}.unfinished"), "\n".join(words)
    if not (mark is not None and _content(mark) == said):
        _check_free(args, names)
    if mark is None:
        yield
        return
    with suppress(OSError):
        mark.write_text(said)
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        _remove(mark)
        raise
    _remove(mark)


def _remove(mark: Path) -> None:
    with suppress(OSError):  # where no mark could be written the verb has said why
        mark.unlink(missing_ok=True)


def _content(mark: Path) -> str | None:
    try:
        return mark.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _check_free(args: argparse.Namespace, names: tuple[str, ...]) -> None:
    read = {path.resolve() for path in _read(args, names)}
    for name in names:
        path: Path | None = getattr(args, name, None)
        if path is not None and path.is_file() and path.resolve() in read:
            raise ConfigError(f"the result would replace its input {path}. Choose another --{name}.")
        if path is None or args.overwrite:
            continue
        way_on = f"Add --overwrite to replace what is in the way, or choose another --{name}."
        if path.is_dir():
            held = sorted(path.iterdir())
            if held:
                raise ConfigError(f"--{name} {path} holds files already, e.g. {held[0].name}. {way_on}")
        elif path.exists() or path.is_symlink():
            raise ConfigError(f"--{name} {path} is there already. {way_on}")


def _read(args: argparse.Namespace, written: tuple[str, ...]) -> Iterator[Path]:
    """Every path among the arguments that the verb does not write."""
    for name, value in vars(args).items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if name not in written and isinstance(each, (str, Path)):
                yield Path(each)

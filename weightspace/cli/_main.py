"""``weightspace``: finds the verb, runs it, and turns errors a user can act on into one message and an exit code."""

import errno
import os
import sys
from collections.abc import Sequence

from .. import __version__
from .._errors import ConfigError, WeightSpaceError
from . import (
    align,
    apply,
    audit,
    barrier,
    canonicalize,
    dedupe,
    demo,
    evaluate,
    fingerprint,
    gauge_freedom,
    inspect,
    interpolate,
    merge,
    perturb,
    same,
    train,
    zoo,
    zoo_import,
)
from ._verb import Verb, suggest

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        demo.DEMO,
        zoo.MAKE,
        zoo_import.IMPORT,
        zoo.INFO,
        zoo.SHOW,
        zoo.CHECK,
        train.TRAIN,
        evaluate.EVALUATE,
        apply.APPLY,
        apply.FINETUNE,
        evaluate.REPORT,
        inspect.INSPECT,
        same.SAME,
        fingerprint.FINGERPRINT,
        dedupe.DEDUPE,
        canonicalize.CANONICALIZE,
        align.ALIGN,
        align.MOVE,
        merge.MERGE,
        barrier.BARRIER,
        perturb.PERTURB,
        interpolate.INTERPOLATE,
        audit.AUDIT,
        gauge_freedom.GAUGE_FREEDOM,
    )
}

_OUTSIDE = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
    errno.EEXIST: "it is a file, not a folder",
    errno.ENAMETOOLONG: "the name is longer than the system allows",
    errno.ELOOP: "the links to it go round in a circle",
}
"""Errors of the operating system that are the user's to mend; any other is a mistake of ours and shows its trace."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 what was checked does not hold, 2 something to mend, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Read when torch is loaded. Threads that wait by spinning make small operations some thirty times slower
    # as soon as another program holds one of the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "" not in sys.path:
        # A kind of the user's own, package.module:Class, may lie in the current folder. Last, so that no file there
        # takes the place of a library.
        sys.path.append("")
    try:
        _dispatch(words)
    except WeightSpaceError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output has gone (`| head`); what is left to print has no place to go.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        place = f"{str(error.filename)[:200]}: " if error.filename else ""
        return _complain(
            f"{place}{_OUTSIDE[error.errno]}. Mend this or choose another place; the same command continues."
        )
    except ValueError as error:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        return _complain(_invalid(error.errors(include_url=False)))
    except SystemExit as leave:
        # argparse after --help, tyro also after an error that it has printed itself.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
        return
    if words[0] == "--version":
        print(f"weightspace {__version__}")
        return
    for length in (2, 1):
        verb = VERBS.get(" ".join(words[:length]))
        if verb is not None:
            verb.start(words[length:])
            return
    _unknown(words)


def _unknown(words: list[str]) -> None:
    """A group without a verb shows its verbs; anything else is an error with the nearest verb."""
    group = [verb for verb in VERBS.values() if verb.name.startswith(f"{words[0]} ")]
    if group and (len(words) == 1 or words[1] in {"-h", "--help"}):
        print(_list(group))
        return
    said = " ".join(words[:2]) if group else words[0]
    hint = suggest(said, [*VERBS, *(name.split()[0] for name in VERBS)])
    raise ConfigError(f"there is no command {said!r}.{hint} Type: weightspace --help")


def _help() -> str:
    return (
        "weightspace: learn from, improve, align and merge neural networks, respecting the symmetries of their "
        f"weights.\n\nusage: weightspace VERB ...\n\n{_list(list(VERBS.values()))}\n\n"
        "Type 'weightspace VERB --help' for arguments and an example. Every command can be interrupted;\n"
        "the same command continues. --version prints the version."
    )


def _list(verbs: list[Verb]) -> str:
    return "\n".join(f"  {verb.name:<10} {verb.summary}" for verb in verbs)


def _invalid(errors: list) -> str:
    """Every entry of a configuration that does not fit, one a line."""
    lines = [f"{'.'.join(map(str, entry['loc'])) or 'configuration'}: {entry['msg']}" for entry in errors]
    return "\n  ".join(["the configuration does not fit:", *lines])


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2

"""What a verb of the command line is, and the parser that answers a typo with the word that was meant."""

import argparse
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Never, final

from .._errors import ConfigError
from ._out import WRITTEN, add_overwrite, guarded


@final
@dataclass(frozen=True)
class Verb:
    """One command: its words, one line of help, a paragraph, an example, its arguments and what it does.

    ``run`` gets the parsed arguments, and the words that ``arguments`` did not name if ``passes_on`` is set
    (they are then read from the recipe's own configuration); otherwise an unknown word is an error. A verb that
    ``resumes`` knows its own folder again; any other finds nothing in the places that the arguments ``writes`` name.
    """

    name: str
    summary: str
    about: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], object]
    run: Callable[[argparse.Namespace, list[str]], object]
    passes_on: bool = False
    resumes: bool = False
    writes: tuple[str, ...] = WRITTEN

    def start(self, words: list[str]) -> None:
        """Parse the words after the verb and run it.

        Raises:
            ConfigError: for words that this verb does not know.
        """
        parser = _Parser(
            prog=f"weightspace {self.name}",
            description=f"{self.summary}\n\n{self.about}",
            epilog=f"example:\n  {self.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            # A verb that passes words on shows the recipe's options as well, once it knows the recipe.
            add_help=not self.passes_on or not words or words[0].startswith("-"),
        )
        self.arguments(parser)
        add_overwrite(parser, resumes=self.resumes)
        known, unknown = parser.parse_known_args(words)
        # Words that are passed on may be options of the configuration; only a slip in one of ours is sure.
        strange = [word for word in unknown if not self.passes_on or suggest(word, _options(parser), likeness=0.8)]
        if strange:
            raise ConfigError(
                f"'weightspace {self.name}' does not know {strange[0]!r}.{suggest(strange[0], _options(parser))} "
                f"Type: {parser.prog} --help"
            )
        if self.resumes:
            self.run(known, unknown)
            return
        with guarded(known, self.writes, [self.name, *words]):
            self.run(known, unknown)


def suggest(word: str, known: Iterable[str], *, likeness: float = 0.5) -> str:
    """`` Did you mean 'x'?`` for the nearest known word that is alike enough (0 to 1), or nothing."""
    near = difflib.get_close_matches(word.split("=")[0], list(known), n=1, cutoff=likeness)
    return f" Did you mean {near[0]!r}?" if near else ""


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


@final
class _Parser(argparse.ArgumentParser):
    """Raises instead of printing and leaving: errors are reported in one place."""

    def error(self, message: str) -> Never:
        usage = " ".join(self.format_usage().split())
        raise ConfigError(f"{message[:1].upper()}{message[1:]}. The {usage} (more: {self.prog} --help)")

"""The command line: ``weightspace VERB ...``, one file a group of verbs; only verbs that need torch import it."""

from ._main import main as main

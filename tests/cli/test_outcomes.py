"""Whatever ends a command: one message, the right exit code, and a trace only for a mistake of ours."""

import errno

import pytest
from pydantic import BaseModel, ConfigDict

from weightspace import SpecMismatch
from weightspace.cli import _main, main
from weightspace.cli._verb import Verb


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int


def ends_with(error, monkeypatch):
    def run(_known, _unknown):
        raise error

    verb = Verb("break", "Break.", "For tests.", "weightspace break", lambda _: None, run)
    monkeypatch.setitem(_main.VERBS, "break", verb)
    return main(["break"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SpecMismatch("two plus two"), "error: two plus two\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "error: /x/y: permission denied."),
        (OSError(errno.ENOSPC, "No space left on device"), "error: the disk is full."),
        (OSError(errno.EROFS, "Read-only", "/x"), "error: /x: the file system is read-only."),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "f/out"), "error: f/out: a part of the path is a file"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_code_2(error, said, monkeypatch, capsys):
    assert ends_with(error, monkeypatch) == 2
    text = capsys.readouterr().err
    assert text.startswith(said)
    assert "Traceback" not in text


def test_a_configuration_that_does_not_fit_names_each_entry(monkeypatch, capsys):
    with pytest.raises(ValueError, match="validation error") as caught:
        Frozen.model_validate({"widht": 3})
    assert ends_with(caught.value, monkeypatch) == 2
    text = capsys.readouterr().err
    assert "width: Field required" in text
    assert "widht: Extra inputs are not permitted" in text
    assert "pydantic.dev" not in text


def test_an_interrupt_says_that_the_same_command_continues(monkeypatch, capsys):
    assert ends_with(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted; the same command continues\n"


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EBADF, "Bad file"), TypeError("ours")])
def test_a_mistake_of_ours_keeps_its_trace(error, monkeypatch):
    with pytest.raises(type(error)):
        ends_with(error, monkeypatch)


@pytest.mark.parametrize(("code", "exit_code"), [(0, 0), (None, 0), (2, 2), ("text", 1)])
def test_leaving_early_keeps_its_code(code, exit_code, monkeypatch):
    assert ends_with(SystemExit(code), monkeypatch) == exit_code

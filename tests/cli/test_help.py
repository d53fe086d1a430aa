"""Help is quick, complete and has an example; a typo is answered with the word that was meant."""

import subprocess
import sys

import pytest

from weightspace.cli import main
from weightspace.cli._main import VERBS

HEAVY = ("torch", "pydantic", "rich", "matplotlib", "sklearn", "pyarrow", "numpy")
every_verb = pytest.mark.parametrize("verb", VERBS)


def test_help_imports_nothing_heavy():
    lines = ["import sys", "from weightspace.cli import main", "main(['--help'])"]
    code = "\n".join([*lines, f"print([name for name in {HEAVY} if name in sys.modules])"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_dash_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "weightspace", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("weightspace ")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_verb(words, capsys):
    assert main(words) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and verb.summary in text for name, verb in VERBS.items())


@every_verb
def test_every_verb_has_help_with_a_description_and_an_example(verb, capsys):
    assert main([*verb.split(), "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert VERBS[verb].summary in text
    assert f"example: weightspace {verb} " in text
    assert " ".join(VERBS[verb].about.split()) in text


def test_a_group_shows_its_verbs(capsys):
    assert main(["zoo"]) == 0
    text = capsys.readouterr().out
    assert "zoo make" in text
    assert "zoo info" in text


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian", "digits"], "Did you mean 'train'?"),
        (["evalute"], "Did you mean 'evaluate'?"),
        (["zo"], "Did you mean 'zoo'?"),
        (["zoo", "mak"], "Did you mean 'zoo make'?"),
        (["zoo", "info", "x", "--hepl"], "Did you mean '--help'?"),
        (["zoo", "make", "digits", "--out", "x", "--nmu=3"], "Did you mean '--num'?"),
        (["demo", "--oout", "x", "--out", "y"], "Did you mean '--out'?"),
    ],
)
def test_a_typo_is_answered_with_the_word_that_was_meant(words, meant, capsys):
    assert main(words) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert meant in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zoo", "make", "digits"], "required: --out"),
        (["zoo", "make", "digits", "--out", "x", "--num", "0"], "needs a whole number from 1 to 10000000"),
        (["zoo", "make", "digits", "--out", "x", "--num", "many"], "needs a whole number from 1 to 10000000"),
        (["apply", "digits-tanh"], "required: NETWORK, --out"),
        (["train"], "required: RECIPE"),
    ],
)
def test_missing_and_wrong_arguments_are_named(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err

"""The library imports from left to right; the checker itself catches one planted violation of each form."""

import subprocess
import sys
from pathlib import Path

import pytest
from layering import ROOT, strange_words, violations

import weightspace

PACKAGE = Path(weightspace.__file__).parent

PLANTED = {
    "relative": ("spec/_x.py", "from ..gauge import act"),
    "relative, to a module": ("spec/_x.py", "from ..gauge.canonical import owners"),
    "relative, from the package": ("view/_x.py", "from .. import nn"),
    "relative, two folders deep": ("nn/baselines/_x.py", "from ...zoo import Zoo"),
    "relative, in an __init__": ("zoo/__init__.py", "from ..tasks import train"),
    "absolute": ("gauge/_x.py", "import weightspace.nn"),
    "absolute, renamed": ("gauge/_x.py", "import os, weightspace.nn as nn"),
    "absolute, from": ("tasks/_x.py", "from weightspace.run import fit"),
    "absolute, from the package": ("tasks/_x.py", "from weightspace import run"),
    "inside a function": ("zoo/_x.py", "def f():\n    from ..run import fit"),
    "for the type checker": (
        "spec/_x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..nn import Model",
    ),
    "by name": ("spec/_x.py", "import importlib\nimportlib.import_module('weightspace.nn')"),
    "the package's lazy names": ("nn/_x.py", "from weightspace import act"),
    "the package itself": ("nn/_x.py", "import weightspace as ws"),
    "a star from the package": ("nn/_x.py", "from .. import *"),
    "a recipe in the library": ("run/_x.py", "from ..recipes import get"),
    "the command line in a recipe": ("recipes/_x.py", "from ..cli import main"),
    "from the errors": ("_errors.py", "from .spec import parse"),
    "from the types": ("_types.py", "from . import zoo"),
    "from the test kit": ("testing.py", "from .view import DenseView"),
    "of the test kit": ("gauge/_x.py", "from ..testing import assert_invariant"),
    "from __main__": ("cli/_x.py", "from ..__main__ import main"),
    "a private module of another layer": ("run/_x.py", "from ..zoo._store import write_manifest"),
    "a private name of another layer": ("cli/_x.py", "from ..files.checkpoint import _fill"),
    "a private module, absolute": ("zoo/_x.py", "import weightspace.gauge._act"),
    "a closed pair": ("zoo/_x.py", "from ..nn import InvariantFunctional"),
    "an outside package": ("tasks/_x.py", "from lightning_fabric import Fabric"),
    "an unknown layer": ("extras/_x.py", "from .. import spec"),
}

ALLOWED = {
    "leftward": ("nn/_x.py", "from ..spec import parse\nfrom .. import view\nimport weightspace.gauge"),
    "inside a layer": ("zoo/_x.py", "from ._store import write\nfrom . import _store"),
    "inside a layer, from a folder of it": ("gauge/canonical/_x.py", "from .._act import act"),
    "the test kit after gauge": ("testing.py", "from .gauge import act\nfrom ._errors import SpecError"),
    "recipes over run": ("recipes/_x.py", "from ..run import config"),
    "the command line over all": ("cli/_x.py", "from .. import recipes\nfrom .. import __version__"),
    "the lazy package": (f"{ROOT}.py", "from .nn import InvariantFunctional"),
    "outside packages": ("zoo/_x.py", "import torch\nfrom numpy import random"),
}


def plant(root: Path, file: str, text: str) -> Path:
    path = root / "weightspace" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return root / "weightspace"


def test_every_layer_imports_from_its_left():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_violation_is_found(form, tmp_path):
    file, text = PLANTED[form]
    (found,) = violations(plant(tmp_path, file, text))
    assert found.startswith(f"{file}:{len(text.splitlines())}:")


@pytest.mark.parametrize("form", ALLOWED)
def test_an_allowed_import_is_left_alone(form, tmp_path):
    assert violations(plant(tmp_path, *ALLOWED[form])) == []


def test_what_trains_any_task_says_nothing_of_one():
    assert strange_words(PACKAGE) == []


def test_a_planted_word_is_found_outside_of_the_verbs(tmp_path):
    plant(tmp_path, "run/verbs/apply.py", "activation = 0")
    assert strange_words(plant(tmp_path, "run/fit.py", "steps = 0")) == []
    assert strange_words(plant(tmp_path, "run/_x.py", "\nbest = results['val_Accuracy']")) == [
        "run/_x.py:2: best = results['val_Accuracy']"
    ]


def test_importing_the_package_does_not_import_torch():
    code = "import sys, weightspace; dir(weightspace); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_resolves_and_is_listed():
    names = [*weightspace._LAYERS, *weightspace._HOME, "WeightSpaceError", "ConfigError", "__version__"]
    for name in names:
        assert getattr(weightspace, name) is not None
        assert name in dir(weightspace)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'derives'"):
        weightspace.derives  # noqa: B018

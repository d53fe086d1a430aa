"""The pytest plugin passes a sound metanetwork and fails a broken one with the table."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = """
import small_metanets as nets
from weightspace import parse

SPEC = parse(nets.SPEC)

def test_sound(weightspace_audit):
    assert weightspace_audit(nets.functional(SPEC), nets.SPEC).passed

def test_broken(weightspace_audit):
    weightspace_audit(nets.broken(SPEC), SPEC)
"""


def test_the_fixture_fails_a_broken_metanetwork_with_the_table(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-p", "weightspace_pytest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "not invariant under the sign of h1" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_loads_neither_the_package_nor_torch():
    code = "import sys, weightspace_pytest; print([n for n in ('torch', 'weightspace') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

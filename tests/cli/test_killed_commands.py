"""A kill -9 while results are written leaves none of them half, and the same command then succeeds.

For ``merge``, killed in the middle of its shards, see :mod:`test_merge_command`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from network_files import NETS, SPEC, files_in, random_network
from safetensors.torch import save_file

import weightspace as ws
from weightspace.cli import main

STOPPED = """
import pathlib, sys, time
def never(self, target):
    print("written", flush=True)
    time.sleep(60)
pathlib.Path.replace = never
from weightspace.cli import main
sys.exit(main(sys.argv[1:]))
"""

DIGITS = SPEC.replace("in[3]", "in[64]").replace("out[2]", "out[10]")

COMMANDS = {
    "align": (["--out", "out.safetensors"], ["out.safetensors"]),
    "barrier": (["--out", "folder", "--points", "3"], ["folder/barriers.csv", "folder/barriers.svg"]),
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_killed_command_leaves_no_result_and_then_succeeds(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "killed_nets.py").write_text(
        f"{NETS}\ndef make():\n    return nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 10))"
    )
    for seed, name in enumerate(("a.safetensors", "b.safetensors")):
        save_file(random_network(seed, DIGITS), name)
    more, results = COMMANDS[verb]
    words = [verb, "a.safetensors", "b.safetensors", "--model", "killed_nets:make", "--input", "2,64", *more]
    env = os.environ | {"PYTHONPATH": str(Path(ws.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", STOPPED, *words], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not any((tmp_path / name).exists() for name in results)
    place = (tmp_path / results[0]).parent
    assert any(name.endswith(".tmp") for name in files_in(place))
    assert any(name.endswith(".unfinished") for name in files_in(tmp_path))
    assert main(words) == 0
    assert all((tmp_path / name).exists() for name in results)
    assert not any(name.endswith((".tmp", ".unfinished")) for name in (*files_in(place), *files_in(tmp_path)))

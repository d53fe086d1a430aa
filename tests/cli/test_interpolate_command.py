"""The verb interpolate: a table and files from a recipe, and what is refused."""

from pathlib import Path

import pytest

from weightspace import recipes
from weightspace.cli import main
from weightspace.run.verbs.orbit_config import OrbitPanel, OrbitRun
from weightspace.zoo import InrZooConfig, SeedZooConfig, make_zoo

INRS = InrZooConfig.model_validate({"images": "digits", "target": {"widths": (2, 4, 4, 1)}, "num": 10, "steps": 4})
SEEDS = {"images": "digits", "target": {"kind": "mlp", "widths": (64, 4, 10)}, "num": 2, "epochs": 1}
TINY = OrbitRun(name="tiny", zoo=INRS, networks=1, copies=3, points=3, panels=(OrbitPanel(name="exact", kind="all"),))


@pytest.fixture(autouse=True)
def _tiny_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.ORBITS, "tiny", lambda: TINY)


def test_a_table_and_files_come_from_a_recipe_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["interpolate", "tiny", "--out", str(out), "--copies", "4"]) == 0
    printed = capsys.readouterr().out
    assert "networks: 1, pairs a panel: 4" in printed
    assert all(word in printed for word in ("naive", "linear assignment", "ours", "exact: all, no noise"))
    for name in ("curves.csv", "networks.csv", "orbits.svg", "results.json", "config.yaml", "zoo/zoo.json"):
        assert (out / name).is_file()
    before = (out / "curves.csv").read_bytes()
    assert main(["interpolate", "tiny", "--out", str(out), "--copies", "4"]) == 0
    assert (out / "curves.csv").read_bytes() == before


@pytest.mark.parametrize("name", recipes.ORBITS)
def test_every_recipe_is_complete_and_knows_its_name(name: str) -> None:
    config = recipes.orbit(name)
    assert config.name == name
    assert OrbitRun.model_validate(config.model_dump()) == config
    assert config.zoo.images in name
    assert {panel.sigma > 0 for panel in config.panels} == {True, False}


BAD = {
    "typo": (["orbit_inr_digit"], "Did you mean 'orbit_inr_digits'?"),
    "recipe of another verb": (["inr_mnist"], "That is a recipe of 'weightspace zoo make'"),
    "no data": (["orbit_inr_mnist"], "Add --data DIR"),
    "no zoo there": (["tiny", "--zoo", "nowhere"], "nowhere is not a zoo"),
    "another kind of zoo": (["tiny", "--zoo", "nets"], "holds networks of the kind mlp; tiny is about siren"),
    "too few networks": (["tiny", "--zoo", "inrs", "--networks", "5"], "5 are asked for. Ask for fewer: --networks 1"),
    "one copy": (["tiny", "--zoo", "inrs", "--copies", "1"], "--copies: needs a whole number from 2"),
    "a file": (["tiny", "--zoo", "inrs", "--out", "file"], "--out file is a file"),
    "another experiment": (["tiny", "--zoo", "inrs", "--out", "old"], "copies is 4 there, 3 here"),
}


@pytest.fixture(scope="module")
def zoos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoos")
    make_zoo(INRS, folder / "inrs")
    make_zoo(SeedZooConfig.model_validate(SEEDS), folder / "nets")
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_one_message_and_no_output(
    name: str, zoos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("inrs", "nets"):
        Path(kind).symlink_to(zoos / kind)
    Path("file").write_text("")
    if name == "another experiment":
        assert main(["interpolate", "tiny", "--zoo", "inrs", "--out", "old", "--copies", "4"]) == 0
        capsys.readouterr()
    before = {str(path) for path in Path().rglob("*")}
    words, message = BAD[name]
    assert main(["interpolate", *words, *([] if "--out" in words else ["--out", "new"])]) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert printed.err.count("error: ") == 1
    assert {str(path) for path in Path().rglob("*")} == before

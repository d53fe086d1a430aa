"""Orbit experiments as runs: true ends, flat curves where they must be, resuming, and rows that belong to the run."""

import csv
import json
from pathlib import Path

import pytest
import torch

import weightspace as ws
from weightspace.run.verbs.interpolate import interpolate
from weightspace.run.verbs.orbit_config import OrbitPanel, OrbitRun
from weightspace.run.verbs.orbit_rows import PanelRows
from weightspace.zoo import InrZooConfig, SeedZooConfig, load_images, make_zoo, pixel_grid, stacked_siren

INRS = {"images": "digits", "target": {"widths": (2, 12, 8, 1)}, "num": 4, "steps": 60, "learning_rate": 1e-3}
NETS = {"images": "digits", "target": {"kind": "mlp", "widths": (64, 8, 10), "activation": "relu"}}
PANELS = (
    OrbitPanel(name="noise", kind="all", sigma=0.01),
    OrbitPanel(name="signs", kind="signs"),
    OrbitPanel(name="exact", kind="all"),
)


def inr_run(**changes: object) -> OrbitRun:
    zoo = InrZooConfig.model_validate(INRS)
    fields = {"name": "tiny", "zoo": zoo, "split": None, "networks": 2, "copies": 6, "points": 5, "panels": PANELS}
    return OrbitRun.model_validate(fields | changes)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "inrs"
    make_zoo(InrZooConfig.model_validate(INRS), folder)
    return folder


@pytest.fixture(scope="module")
def done(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PanelRows]]:
    folder = tmp_path_factory.mktemp("orbits") / "run"
    panels, _ = interpolate(inr_run(), folder, zoo=zoo)
    return folder, panels


def test_curves_end_at_the_losses_of_the_networks_themselves(zoo, done):
    opened, images = ws.zoo.Zoo.open(zoo), load_images("digits", full_size=True)
    for rows in done[1]:
        assert len(rows.network) == 12
        for place, network in enumerate(rows.network.tolist()):
            params, split = opened.load([network]), str(opened.rows["split"][network])
            own = {"train": images.train_x, "val": images.val_x, "test": images.test_x}[split]
            image = (own[opened.rows["image"][network]] + 1) / 2
            loss = float((stacked_siren(params, pixel_grid(8)).squeeze() - image).square().mean())
            for curve in rows.curves.values():
                assert float(curve.loss[place, 0]) == pytest.approx(loss, rel=1e-4)
                assert float(curve.loss[place, -1]) == pytest.approx(float(rows.given[place]), rel=1e-4)
                if not rows.panel.sigma:
                    assert float(curve.loss[place, -1]) == pytest.approx(loss, rel=1e-4)
        assert rows.end_change("ours") < 1e-5


def test_ours_is_flat_without_noise_and_naive_is_not(done):
    for rows in done[1]:
        ours, naive = rows.curves["ours"], rows.curves["naive"]
        assert bool(ours.in_place.all())
        assert not bool(naive.in_place.any())
        middle = {method: rows.middle(method).mean() for method in rows.curves}
        assert middle["naive"] > middle["linear assignment"] >= middle["ours"] - 1e-6
        if not rows.panel.sigma:
            assert float((ours.loss - rows.own.unsqueeze(1)).abs().max()) < 1e-6
        else:
            assert float(rows.given.mean()) > 1.2 * float(rows.own.mean())


def test_tables_and_figure_say_what_the_rows_say(done):
    folder, panels = done
    curves = list(csv.DictReader((folder / "curves.csv").open()))
    assert len(curves) == 3 * 3 * 5
    row = next(row for row in curves if (row["panel"], row["method"], row["t"]) == ("noise", "naive", "0.500000"))
    middle = panels[0].middle("naive")
    assert float(row["mean"]) == pytest.approx(middle.mean(), rel=1e-5)
    assert float(row["std"]) == pytest.approx(middle.std(), rel=1e-5)
    networks = list(csv.DictReader((folder / "networks.csv").open()))
    assert len(networks) == 3 * 3 * 2
    assert {row["in_place"] for row in networks if row["method"] == "ours"} == {"1"}
    text = (folder / "orbits.svg").read_text()
    assert text.startswith("<svg")
    assert "linear assignment" in text
    summary = json.loads((folder / "results.json").read_text())
    assert summary["config"]["copies"] == 6
    assert summary["environment"]["commit"] is not None
    assert len(summary["zoo"]["rows"]) == 2
    assert summary["panels"]["exact"]["ours"]["in_place"] == 1


def test_a_killed_run_goes_on_with_the_next_panel_and_ends_the_same(zoo, done, tmp_path):
    def killed(_: int, __: int, message: str) -> None:
        if message == "panel signs":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interpolate(inr_run(), tmp_path / "run", zoo=zoo, progress=killed)
    panels = tmp_path / "run" / "panels"
    assert [path.name for path in panels.iterdir()] == ["noise.npz"]
    before = (panels / "noise.npz").stat()
    seen: list[str] = []
    interpolate(inr_run(), tmp_path / "run", zoo=zoo, progress=lambda _, __, message: seen.append(message))
    assert "panel noise" not in seen
    assert (panels / "noise.npz").stat().st_mtime_ns == before.st_mtime_ns
    for name in ("curves.csv", "networks.csv", "panels/exact.npz"):
        assert (tmp_path / "run" / name).read_bytes() == (done[0] / name).read_bytes()


def test_rows_of_another_experiment_are_refused(zoo, tmp_path):
    short = inr_run(panels=PANELS[:1], points=3)
    interpolate(short, tmp_path / "a", zoo=zoo)
    with pytest.raises(ws.ConfigError, match=r"copies is 6 there, 4 here"):
        interpolate(inr_run(panels=PANELS[:1], points=3, copies=4), tmp_path / "a", zoo=zoo)
    other = inr_run(panels=PANELS[:1], points=3, seed=1)
    interpolate(other, tmp_path / "b", zoo=zoo)
    (tmp_path / "b/panels/noise.npz").replace(tmp_path / "a/panels/noise.npz")
    with pytest.raises(ws.ConfigError, match="belongs to an experiment with other settings"):
        interpolate(short, tmp_path / "a", zoo=zoo)
    (tmp_path / "a/panels/noise.npz").write_bytes(b"cut")
    with pytest.raises(ws.ConfigError, match="cannot be read"):
        interpolate(short, tmp_path / "a", zoo=zoo)


def test_classifiers_are_measured_by_loss_and_accuracy(tmp_path):
    zoo = SeedZooConfig.model_validate({**NETS, "num": 2, "epochs": 2, "batch_size": 50, "learning_rate": 1e-2})
    panels = (OrbitPanel(name="exact", kind="all"),)
    config = inr_run(zoo=zoo, panels=panels, images=100, copies=4, points=3)
    (rows,), _ = interpolate(config, tmp_path / "run")
    ours, naive = rows.curves["ours"], rows.curves["naive"]
    assert ours.accuracy is not None
    assert naive.accuracy is not None
    assert float((ours.loss - rows.own.unsqueeze(1)).abs().max()) < 1e-4
    assert float(ours.accuracy.std(1).max()) < 0.02 < float(ours.accuracy[:, 1].mean() - naive.accuracy[:, 1].mean())
    assert torch.equal(ours.accuracy[:, 0], naive.accuracy[:, 0])
    assert "accuracy_mean" in (tmp_path / "run" / "curves.csv").read_text()
    assert (tmp_path / "run" / "zoo" / "zoo.json").is_file()

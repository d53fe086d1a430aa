"""``gauge-freedom``: exact and numerical counts agree, Lemma 1 holds where a bias and stride 1 make it true."""

import csv
import json

import pytest

from weightspace.cli import main


def test_the_table_lies_in_the_file_and_both_ways_of_counting_agree(tmp_path, capsys):
    out = tmp_path / "freedom.json"
    assert main(["gauge-freedom", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    for row in found["layers"]:
        assert row["exact"] == row["numerical"] <= row["n + m"]
        assert row["effective"] == row["eff. num."]
        assert (row["exact"] > row["lemma"]) == bool(row["why"])
        assert row["exact"] >= row["lemma"]
    assert all(row["dimension"] == row["numerical"] for row in found["networks"])
    layers = {row["layer"]: row for row in found["layers"]}
    assert layers["1 -> 1, kernel 3, stride 1, bias"]["exact"] == 2
    assert layers["1 -> 1, kernel 3, stride 1"]["exact"] == 4
    assert layers["1 -> 1, kernel 3, stride 3"]["effective"] == 9
    text = capsys.readouterr().out
    assert f"agree in {len(layers)} of {len(layers)} layers" in text


def test_a_csv_file_has_a_line_for_every_layer_and_network(tmp_path, monkeypatch):
    from weightspace.cli import gauge_freedom
    from weightspace.gauge import LayerShape

    monkeypatch.setattr(gauge_freedom, "_layers", lambda: iter([("one", LayerShape(2, 3))]))
    out = tmp_path / "freedom.csv"
    assert main(["gauge-freedom", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert rows[0]["layer"] == "one"
    assert sum(bool(row["network"]) for row in rows) == len(rows) - 1 == 6


@pytest.mark.parametrize("name", ["freedom.txt", "freedom"])
def test_another_kind_of_file_is_refused(name, tmp_path, capsys):
    assert main(["gauge-freedom", "--out", str(tmp_path / name)]) == 2
    assert "neither a .csv nor a .json file" in capsys.readouterr().err

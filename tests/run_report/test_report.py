"""The report is made from a folder's files, says what is missing, and judges by intervals."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from results_fixture import NUM, results, row, write

from weightspace import ConfigError
from weightspace.run import headline, report, tables
from weightspace.tasks import markdown, percent, seconds

VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Collects ids, references and open tags."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.open, self.cells = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.addresses += [value for name, value in attrs if name.split(":")[-1] in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells.append(data)


def with_rows(rows):
    return {**results(), "rows": rows}


def test_the_report_needs_no_network_and_is_well_formed(tmp_path):
    text = report(write(tmp_path, results())).read_text()
    page = Page(text)
    assert page.open == []
    assert page.ids
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    assert not re.search(r"@import|url\((?!#)|<script", text)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "accuracies.svg",
        "before_after.svg",
        "curves.svg",
    ]


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    write(tmp_path, results())
    assert report(tmp_path).read_bytes() == report(tmp_path).read_bytes()


def test_every_method_and_cell_of_the_tables_stands_in_the_report_and_in_markdown(tmp_path):
    cells = Page(report(write(tmp_path, results())).read_text()).cells
    text = markdown(tables(results()))
    for table in tables(results()):
        for line in table.rows:
            assert set(line) <= set(cells)
            for cell in line:
                assert cell in text


def test_tables_hold_every_column_of_the_schema():
    first, second = tables(results())
    ours = {
        **dict(zip(first.header, first.rows[1], strict=True)),
        **dict(zip(second.header, second.rows[1], strict=True)),
    }
    assert ours["needs data"] == "no"
    assert ours["time a network"] == "100 µs"
    assert ours["L1 cut"] == "25.0 %"
    assert ours["orbit L1 cut"] == "-"
    assert ours["zeros at 1e-3"] == "12.3 %"
    assert ours["accuracy, 85 % pruned"] == "33.0 %"
    assert re.fullmatch(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", ours["accuracy (%)"])
    assert len(ours) == 1 + 8 + 4 + 5


def test_a_missing_cell_says_not_run():
    for table in tables(results()):
        assert set(table.rows[-1][1:]) == {"not run"}
    assert "| SGD, 25 epochs | *not run* | *not run* |" in markdown(tables(results()))


def test_the_first_sentence_of_the_report_is_the_headline(tmp_path):
    text = report(write(tmp_path, results())).read_text()
    lead = re.search(r'class="lead">([^<]*)<', text)
    assert lead is not None
    assert lead[1].startswith("On 40 unseen networks the operator raises accuracy from")


def test_the_headline_judges_by_paired_intervals():
    said = headline(results())
    assert "it loses to the constant output (75.0 %)" in said
    assert "it cannot be told from Adam at equal seconds (Adam, 1 epoch: " in said


def test_the_headline_follows_the_numbers_the_other_way():
    base = np.linspace(0.3, 0.7, NUM)
    rows = [row("input", base), row("ours", base - 0.01), row("constant", np.full(NUM, 0.2))]
    said = headline(with_rows([*rows, row("adam-25", base + 0.1, seconds=0.2, data=True)]))
    assert "lowers accuracy from 50.0 % to 49.0 %" in said
    assert "it beats the constant output (20.0 %)" in said
    assert "it loses to Adam at more seconds (adam-25: 60.0 % in 200 ms a network, with data)" in said


def test_a_sparsity_term_adds_what_it_cut():
    assert "and cuts the sum of |weights| by 25.0 %; " in headline(results())
    assert "|weights|" not in headline({**results(), "l1": 0.0})


@pytest.mark.parametrize(
    ("drop", "said"),
    [
        ({"mean": 0.2, "low": 0.1, "high": 0.3}, " and lowers the loss by 0.200 nats;"),
        ({"mean": -0.2, "low": -0.3, "high": -0.1}, " and raises the loss by 0.200 nats;"),
        ({"mean": 0.2, "low": -0.1, "high": 0.5}, None),
        (None, None),
    ],
)
def test_the_loss_is_mentioned_only_if_its_interval_leaves_zero_out(drop, said):
    ours = row("ours", np.linspace(0.3, 0.7, NUM), loss_drop=drop)
    sentence = headline({**with_rows([ours]), "l1": 0.0})
    assert (said in sentence) if said else ("the loss" not in sentence)


def test_the_row_made_for_equal_seconds_is_preferred():
    base = np.linspace(0.3, 0.7, NUM)
    rows = [row("ours", base, seconds=1e-3), row("adam-1", base - 0.1, seconds=1e-3, data=True)]
    said = headline(with_rows([*rows, row("adam-equal", base + 0.1, seconds=3e-4, data=True)]))
    assert "it loses to Adam at fewer seconds (adam-equal: 60.0 % in 300 µs a network, with data)" in said


def test_a_difference_within_the_interval_is_not_called_a_change():
    base = np.linspace(0.3, 0.7, NUM)
    rows = [row("input", base), row("ours", base + 0.05 * np.resize([1, -1], NUM))]
    said = headline(with_rows(rows))
    assert "leaves accuracy where it was, within the interval" in said
    assert "the constant output was not run, and Adam at equal seconds was not run" in said


def test_checkpoints_of_one_run_count_as_one_draw():
    base = np.full(NUM, 0.5)
    gain = np.where(np.arange(NUM) < NUM // 2, 0.10, -0.04)
    rows = [row("input", base), row("ours", base + gain)]
    assert "raises accuracy" in headline(with_rows(rows))
    two_runs = {**with_rows(rows), "test_runs": (np.arange(NUM) // (NUM // 2)).tolist()}
    assert "leaves accuracy where it was" in headline(two_runs)


def test_without_the_operator_there_is_nothing_to_compare():
    assert "not run yet" in headline(with_rows([{"method": "ours", "status": "not run"}]))


def test_a_run_without_metrics_or_single_accuracies_still_reports(tmp_path):
    bare = with_rows(
        [{key: value for key, value in line.items() if key != "per_network_accuracy"} for line in results()["rows"]]
    )
    write(tmp_path, bare)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "config.yaml").unlink()
    assert "<svg" not in report(tmp_path).read_text()


def test_a_run_that_was_not_evaluated_is_refused_with_the_next_command(tmp_path):
    with pytest.raises(ConfigError, match=f"weightspace evaluate {tmp_path}"):
        report(tmp_path)


def test_results_that_are_not_json_are_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results())[:100])
    with pytest.raises(ConfigError, match=r"cannot read .*results.json"):
        report(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0 s"), (2e-5, "20 µs"), (0.0123, "12.3 ms"), (5.0, "5 s")]
)
def test_seconds_use_the_unit_that_suits_their_size(value, text):
    assert seconds(value) == text


def test_percent_has_one_decimal():
    assert percent(0.12345) == "12.3 %"


def test_the_headline_says_how_much_of_a_lower_loss_is_temperature():
    base = np.linspace(0.3, 0.7, NUM)
    drop, left = {"mean": 0.2, "low": 0.1, "high": 0.3}, {"mean": 0.01, "low": -0.02, "high": 0.04}
    ours = row("ours", base, loss_drop=drop, loss_calibrated_drop=left)
    scaled = row("global-scale", base, loss_drop={"mean": 0.15, "low": 0.1, "high": 0.2})
    said = headline({**with_rows([ours, scaled]), "l1": 0.0})
    assert (
        "lowers the loss by 0.200 nats (one factor on all logits alone changes it by -0.150 [-0.200, -0.100]; " in said
    )
    assert "with every network calibrated before and after, the change is -0.010 [-0.040, +0.020]);" in said
    assert "factor" not in headline({**with_rows([ours, scaled]), "objective": "distill"})


def test_chosen_rates_edges_and_fractional_epochs_stand_under_the_first_table():
    base = np.linspace(0.3, 0.7, NUM)
    tuned = {"learning_rate": 1.0, "epochs": 5, "edge": "largest", "tried": {"1": 0.5, "0.1": 0.6}}
    short = {"learning_rate": 0.003, "epochs": 0.25, "edge": None, "tried": {"0.003": 0.5, "0.03": None}}
    rows = [row("sgd-5", base, detail=tuned), row("adam-equal", base, detail=short, label="Adam (1 ms)")]
    found = with_rows(rows)
    first = " ".join(tables(found)[0].notes)
    assert "sgd-5: 1; Adam: 0.003 (0.25 of an epoch) (0.03 diverged)." in first
    assert "edge of its grid, so a rate beyond might do better, for: sgd-5 (largest)." in first
    assert all(note in markdown(tables(found)) for note in tables(found)[0].notes)


@pytest.mark.parametrize("orbit", [None, 0.1])
def test_only_tables_of_positive_scales_warn_of_the_gauge(orbit, tmp_path):
    found = with_rows([row("ours", np.linspace(0.3, 0.7, NUM), orbit_l1_cut=orbit)])
    page = report(write(tmp_path, found)).read_text()
    for text in (markdown(tables(found)), page):
        assert ("magnitude pruning depend" in text) == (orbit is not None)


@pytest.mark.parametrize(("epochs", "said"), [(0.25, "Adam, 0.25 of an epoch: "), (3.0, "Adam, 3 epochs: ")])
def test_the_headline_says_how_long_adam_trained_in_the_operators_seconds(epochs, said):
    base = np.linspace(0.3, 0.7, NUM)
    equal = row("adam-equal", base, data=True, label="Adam (1 ms)", detail={"epochs": epochs})
    assert f"Adam at equal seconds ({said}" in headline(with_rows([row("ours", base), equal]))

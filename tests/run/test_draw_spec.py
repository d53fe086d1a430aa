"""The picture of a spec: what its rows say, that lines never cross, and the same bytes for the same spec."""

import pytest
import torch
from torch import nn

import weightspace as ws
from weightspace.run.verbs.draw_spec import draw_spec, lanes, layers

RESIDUAL = """
in[3] fixed
h0[8] positive
h1[6] positive
h2[6] like h1 positive
out[2] fixed

stem.weight         h0 in~
block.0.weight      h1 h0~
block.1.weight      h2
block.1.count
block.2.weight      h0 h2~
head.weight         out h0~
"""


def test_a_row_is_a_layer_with_what_it_reads_and_writes():
    rows = layers(ws.parse(RESIDUAL))
    assert [(row.name, row.reads, row.writes) for row in rows] == [
        ("stem", ("in",), ("h0",)),
        ("block.0", ("h0",), ("h1",)),
        ("block.1", (), ("h1",)),
        ("block.2", ("h1",), ("h0",)),
        ("head", ("h0",), ("out",)),
    ]
    assert [space.name for row in rows for space in row.new] == ["in", "h0", "h1", "h2", "out"]


@pytest.mark.parametrize("bias", [True, False])
def test_keys_are_written_although_their_scales_are_inverse(bias):
    names = ["h", "q"]
    lines = "k.weight q~ h~\n" + ("k.bias q~\n" if bias else "")
    (row,) = layers(ws.parse("h[4] nonzero\nq[4] nonzero\n\n" + lines))
    assert (row.reads, row.writes) == ((names[0],), (names[1],))


def test_joined_queries_and_keys_are_written() -> None:
    (row,) = layers(ws.parse("h[4] nonzero\nq[4] nonzero\nv[4] nonzero\n\na.weight q+q~+v h~\na.bias q+q~+v\n"))
    assert (row.reads, row.writes) == (("h",), ("q", "v"))


def test_no_two_lines_share_a_lane_in_a_row():
    spec = ws.parse(RESIDUAL)
    rows = layers(spec)
    lane = lanes(spec, rows)
    alive = {name: [y for y, row in enumerate(rows) if name in (*row.reads, *row.writes)] for name in lane}
    for y in range(len(rows)):
        here = [lane[name] for name, where in alive.items() if where[0] <= y <= where[-1]]
        assert len(set(here)) == len(here)


def test_pictures_hold_every_space_and_layer_and_are_made_the_same_twice(tmp_path):
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    spec = ws.derive(net, torch.zeros(1, 3))
    for name in ("one.svg", "two.svg", "one.png"):
        draw_spec(spec, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for word in ("h0[5] S5 x positive", "h1[4] S4 x sign", "weight 5x3, bias", "out[2]"):
        assert word in text
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_spec_without_parameters_is_drawn(tmp_path):
    draw_spec(ws.parse("in[2] fixed\n"), tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").is_file()

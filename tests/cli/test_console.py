"""Progress goes to the error stream, only for work that takes a while; tables keep every number."""

import io
import sys

import pytest

from weightspace.cli import _console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_console.time, "monotonic", lambda: now[0])
    return now


def test_short_work_shows_nothing(clock, capsys):
    with _console.progress() as show:
        show(1, 2, "training")
        clock[0] = 1.9
        show(2, 2, "training")
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_a_line_comes_now_and_then_and_at_each_new_piece_of_work(clock, capsys):
    with _console.progress() as show:
        for second in range(2, 40):
            clock[0] = second + 0.5
            show(second, 40, "training" if second < 30 else "evaluating")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training: 5 %",
        "training: 32 %",
        "training: 60 %",
        "evaluating: 75 %",
    ]


def test_on_a_terminal_a_bar_is_drawn_on_the_error_stream(clock, capsys, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with _console.progress() as show:
        clock[0] = 3.0
        show(3, 10, "training")
        show(1, 5, "evaluating")
    assert "evaluating" in screen.getvalue()
    assert "20%" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_a_table_is_printed_whole_where_no_terminal_cuts_it(capsys):
    row = ["method", *(f"{number}.5 [{number}.4, {number}.6]" for number in range(10, 20))]
    _console.print_table("Title", [f"column {place}" for place in range(11)], [row])
    text = capsys.readouterr().out
    assert all(cell in text for cell in row)

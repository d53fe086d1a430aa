"""The report as one HTML page: no scripts, no fetched fonts or styles, light and dark, readable aloud."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import final

from ..tasks import NOT_RUN, Table


@final
@dataclass(frozen=True)
class Figure:
    """A figure of the report: its name, title, caption and SVG text."""

    name: str
    title: str
    caption: str
    svg: str


_CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fdfdfc; --soft: #f0f2f4; --line: #d5d9de; --dim: #5b646e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171a; --soft: #1f2429; --line: #39414a; --dim: #a3acb6; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
.lead { font-size: 1.15rem; padding: 1rem 1.25rem; background: var(--soft); border-left: 4px solid #1f77b4; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; font-weight: 600; background: var(--soft); }
th[scope=row], thead th:first-child { text-align: left; font-weight: 600; position: sticky; left: 0;
  background: var(--paper); }
.missing, .note, figcaption, dd { color: var(--dim); }
.missing { font-style: italic; }
.note { font-size: .88rem; max-width: 46rem; }
figure { margin: 0; }
figure svg { max-width: 100%; height: auto; color: var(--ink); }
figcaption { font-size: .88rem; max-width: 46rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem 1rem; font-size: .85rem; }
details { margin: .75rem 0; } summary { cursor: pointer; }
"""


def page(
    title: str,
    lead: str,
    figures: Sequence[Figure],
    tables: Sequence[Table],
    facts: list[tuple[str, str]],
    command: str,
    config: str,
) -> str:
    """The report as HTML: lead sentence, the first figure, tables, the other figures, and what was run."""
    title = escape(title)
    body = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{escape(lead)}</p>',
        *map(_figure, figures[:1]),
        *map(_table, tables),
        *map(_figure, figures[1:]),
        "<h2>What was run</h2>",
        _definitions(facts),
        f"<pre><code>{escape(command)}</code></pre>" if command else "",
        f"<details><summary>config.yaml</summary><pre><code>{escape(config)}</code></pre></details>" if config else "",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n</main>\n</body>\n</html>\n"
    )


def _figure(figure: Figure) -> str:
    title = escape(figure.title)
    svg = figure.svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    return f"<h2>{title}</h2>\n<figure>{svg}<figcaption>{escape(figure.caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col" title="{escape(meaning)}">{escape(name)}</th>'
        for name, meaning in zip(table.header, table.meanings, strict=True)
    )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(map(_cell, row[1:]))}</tr>' for row in table.rows
    )
    named = list(zip(table.header[1:], table.meanings[1:], strict=True))
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="wide" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>\n"
        + "".join(f'<p class="note">{escape(note)}</p>\n' for note in table.notes)
        + f"<details><summary>What the columns mean</summary>{_definitions(named)}</details>"
    )


def _cell(text: str) -> str:
    return f'<td class="missing">{text}</td>' if text == NOT_RUN else f"<td>{escape(text)}</td>"


def _definitions(named: list[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in named)}</dl>"

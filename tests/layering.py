"""Which layer imports which: every import statement of a package, read with ``ast`` and resolved to a layer."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = "__init__"
"""The package itself: its names are loaded lazily from every layer, so using one reaches all of them."""

ORDER = (
    "_errors",
    "_factory",
    "_frozen",
    "_kinds",
    "_types",
    "spec",
    "gauge",
    "testing",
    "audit",
    "view",
    "nn",
    "alignment",
    "files",
    "zoo",
    "plots",
    "tasks",
    "run",
    "recipes",
    ROOT,
    "cli",
    "__main__",
)
"""A layer imports from its left only."""

CLOSED = {("zoo", "nn")}
"""Pairs that the order alone would allow: a zoo never sees a metanetwork."""

ONLY_IN = {
    "lightning": ("run",),
    "lightning_fabric": ("run",),
    "tyro": ("cli",),
    "rich": ("cli",),
    "matplotlib": ("plots", "tasks", "run"),
}
"""Outside packages that belong to some layers."""


def violations(package: Path) -> list[str]:
    """``file:line: reason`` for every import of the package that the layering forbids."""
    found: list[str] = []
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        layer = relative.parts[0].removesuffix(".py")
        if layer == ROOT:
            continue
        inside = (package.name, *relative.with_suffix("").parts)
        for line, target in _targets(ast.parse(path.read_text()), inside):
            reason = _forbidden(layer, target, package.name)
            if reason:
                found.append(f"{relative.as_posix()}:{line}: {reason}")
    return found


SAID_ELSEWHERE = re.compile("image|accuracy|activation", re.IGNORECASE)
"""Words of single tasks and targets: what trains any of them knows of none."""


def strange_words(package: Path) -> list[str]:
    """``file:line: text`` for every line of ``run/``, its verbs apart, that says a word of some task or target."""
    return [
        f"{path.relative_to(package).as_posix()}:{number}: {line.strip()}"
        for path in sorted((package / "run").glob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SAID_ELSEWHERE.search(line)
    ]


def _targets(tree: ast.AST, inside: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            # One level is the file's own package; `__init__` counts as a file in it, so the same rule holds.
            base = inside[: len(inside) - node.level] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"} and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _forbidden(layer: str, target: str, package: str) -> str:
    """Why ``layer`` may not import ``target``; empty if it may."""
    top, *rest = target.split(".")
    if top != package:
        homes = ONLY_IN.get(top, (layer,))
        return "" if layer in homes else f"{top} belongs to {' and '.join(homes)}, not to {layer}"
    name = rest[0] if rest and rest[0] in ORDER else ROOT
    if layer not in ORDER:
        return f"unknown layer {layer}: give it a place in tests/layering.py"
    if ORDER.index(name) > ORDER.index(layer):
        return f"{layer} imports {target}, which is to its right"
    if name != layer and any(_is_private(part) for part in rest[1:]):
        return f"{layer} imports {target}, which is private to {name}: export it in {name}/__init__.py"
    return f"{layer} must not see {name}" if (layer, name) in CLOSED else ""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")

"""Malformed inputs by kind, drawn by hypothesis, and what is done with each: it works, or fails with one message.

``benchmarks/fuzz.py`` draws thousands of them, the test suite a few.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from weightspace import WeightSpaceError
from weightspace.cli import main
from weightspace.cli.train import configure
from weightspace.files.checkpoint import open_checkpoint
from weightspace.run.verbs.merge_recipe import MergeRecipe, read_recipe
from weightspace.spec import parse, to_text

SPEC = (
    "in[3] fixed\nh0[4] positive\nh1[4] like h0 sign\nq0[8] within h0\n\n0.weight h0 in~ .3\nv h0^2@1e-05\nw h1&h0^sign"
)

# Numbers as people and programs write them, and as nobody should.
numbers = st.one_of(
    st.integers(-3, 40).map(str),
    st.sampled_from(
        ["nan", "inf", "-inf", "1e308", "1e999", "-0", "", "0x10", "1_0", "٣", "9" * 25, "9" * 5000, "1e-400"]
    ),
    st.floats().map(repr),
    st.integers(0, 2**70).map(str),
)
words = st.sampled_from(
    [
        *"[]{}~^&@*/+.,#:-",
        "fixed",
        "sign",
        "positive",
        "like",
        "within",
        "along",
        "ordered",
        "h0",
        "in",
        "0.weight",
        "\n",
        " ",
    ]
)
junk = st.text(max_size=8) | words | numbers
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spliced(draw: st.DrawFn, text: str) -> str:
    """A sound text in which a few spans were replaced."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 6)))
        text = text[:start] + draw(junk) + text[stop:]
    return text


def read_spec(text: str, folder: Path) -> None:
    """A text that is a spec is one by its own text as well."""
    del folder
    spec = parse(text)
    assert parse(to_text(spec)) == spec, "a spec reads back"


HEADER = {
    "__metadata__": {"format": "pt"},
    "0.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "0.bias": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Plain data in which a few entries were replaced, removed or added."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        place, inside = value, draw(st.integers(0, 3))
        for _ in range(inside):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            nested = [key for key in keys if isinstance(place[key], dict | list)]
            if not nested:
                break
            place = place[draw(st.sampled_from(nested))]
        if isinstance(place, dict):
            key = draw(st.sampled_from([*place, "new"]))
            place[key] = draw(values)
        elif place:
            place[draw(st.integers(0, len(place) - 1))] = draw(values)
    return value


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


headers = st.tuples(
    changed(HEADER).map(_json).flatmap(lambda text: st.just(text) | spliced(text)),
    st.sampled_from([0, 0, 0, 0, -1, 1, 9, -1000]),
    st.just(bytes(32)) | st.just(bytes(32)) | st.binary(max_size=40),
)


def read_tensors(drawn: tuple[str, int, bytes], folder: Path) -> None:
    """A file with this header, a length that may be wrong, and these bytes."""
    header, off, body = drawn
    text = header.encode("utf-8", "surrogatepass")
    (folder / "x.safetensors").write_bytes(max(len(text) + off, 0).to_bytes(8, "little") + text + body)
    open_checkpoint(folder / "x.safetensors").load()


INDEX = {"metadata": {"total_size": 32}, "weight_map": {"0.weight": "x.safetensors", "0.bias": "x.safetensors"}}
DEEP = ["[" * 100_000, '{"weight_map":' * 5000, '{"weight_map": {"0.weight": "' + "x" * 5000 + '.safetensors"}}']
indices = changed(INDEX).map(_json).flatmap(lambda text: st.just(text) | spliced(text)) | st.sampled_from(DEEP)


def read_shards(text: str, folder: Path) -> None:
    """An index beside a sound shard."""
    head = json.dumps(HEADER).encode()
    (folder / "x.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(32))
    index = folder / "model.safetensors.index.json"
    index.write_bytes(text.encode("utf-8", "surrogatepass"))
    open_checkpoint(index).load()


RECIPE = {
    "merge_method": "linear",
    "models": [{"model": "a.safetensors", "parameters": {"weight": 0.5}}, {"model": "b.safetensors"}],
    "parameters": {"normalize": True},
    "restarts": 1,
    "seed": 3,
}
recipes = changed(RECIPE).map(lambda value: yaml.safe_dump(value, allow_unicode=True))
recipes = recipes.flatmap(lambda text: st.just(text) | spliced(text)) | st.sampled_from(
    ["[" * 5000, "a: &x [*x]", "? [a]\n: b"]
)


def merge(text: str, folder: Path) -> None:
    """A recipe; one that is read has weights to work with."""
    (folder / "r.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = read_recipe(folder / "r.yaml")
    assert isinstance(found, MergeRecipe)
    assert abs(sum(found.weights) - 1) < 1e-6 or not found.parameters.normalize, "shares add up"
    with suppress(WeightSpaceError):
        open_checkpoint(folder / found.models[0].model)


NONE = ["none.safetensors", "none.safetensors", "--spec", "none.txt", "--out", "x.safetensors"]
OPTIONS = [
    *(["align", *NONE, option] for option in ("--restarts", "--seed")),
    *(["perturb", "none.safetensors", "--spec", "none.txt", "--out", "p", o] for o in ("--num", "--sigma", "--seed")),
    *(["perturb", "none.safetensors", "--spec", "none.txt", "--out", "p", o] for o in ("--scale-std", "--max-scale")),
    ["same", *NONE, "--bits"],
    ["merge", "none.safetensors", "none.safetensors", "--method", "linear", "--out", "x.safetensors", "--weights"],
    ["barrier", "none.safetensors", "none.safetensors", "--spec", "none.txt", "--out", "b", "--points"],
    *(["finetune", "none", "--out", "t", f"--{o}"] for o in ("learning-rate", "l1", "epochs", "batch-size", "seed")),
]
RUN = (
    *("train.steps", "train.learning-rate", "train.seed", "model.width", "model.kind", "task.kind"),
    *("task.table.magnitude", "task.objective.l1", "task.images-per-step", "task.objective.kind"),
)
typed = st.tuples(st.sampled_from(OPTIONS) | st.sampled_from(RUN), numbers | st.text(max_size=5))


def type_number(drawn: tuple[list[str] | str, str], folder: Path) -> None:
    """A number on the command line: refused, or the missing file behind it is met."""
    del folder
    option, number = drawn
    if isinstance(option, str):
        with redirect_stdout(StringIO()), suppress(SystemExit):
            configure("amortize_digits", None, [f"--{option}={number}"])
        return
    said = StringIO()
    with redirect_stderr(said), redirect_stdout(StringIO()):
        code = main([*option[:-1], f"{option[-1]}={number}"])
    assert code == 2, f"code {code}"
    assert "Traceback" not in said.getvalue()


KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]] = {
    "spec text": (spliced(SPEC), read_spec),
    "safetensors header": (headers, read_tensors),
    "shard index": (indices, read_shards),
    "recipe": (recipes, merge),
    "number": (typed, type_number),
}
"""By name, what is drawn and what is done with it."""


def try_one(kind: str, drawn: Any) -> bool:
    """Whether the input was sound; raises whatever is not a :class:`WeightSpaceError`."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            KINDS[kind][1](drawn, Path(folder))
        except WeightSpaceError:
            return False
        return True

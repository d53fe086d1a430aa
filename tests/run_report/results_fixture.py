"""A made-up run folder: every column of the schema, one method not run, one with columns that have no meaning."""

import json
from pathlib import Path
from typing import Any

import numpy as np

NUM = 40


def interval(values: np.ndarray) -> dict[str, float]:
    half = 1.96 * float(values.std()) / len(values) ** 0.5
    return {"mean": float(values.mean()), "low": float(values.mean()) - half, "high": float(values.mean()) + half}


def row(
    method: str, accuracy: np.ndarray, *, seconds: float = 1e-4, data: bool = False, **other: Any
) -> dict[str, Any]:
    loss = 3 - 2 * accuracy
    return {
        "method": method,
        "label": other.pop("label", method),
        "status": "done",
        "accuracy": {**interval(accuracy), "max": float(accuracy.max())},
        "loss": interval(loss),
        "loss_calibrated": interval(loss - 0.1),
        "objective": interval(loss + 0.1),
        "loss_drop": interval(accuracy - 0.3),
        "needs_data": data,
        "seconds_per_network": seconds,
        "agreement": interval(accuracy),
        "input_dependence": interval(accuracy / 10),
        "l1_cut": 0.25,
        "orbit_l1_cut": other.pop("orbit_l1_cut", None),
        "zeros": {"1e-3": 0.123, "1e-2": 0.456},
        "pruned_accuracy": {"50": 0.61, "70": 0.52, "85": 0.33},
        "per_network_accuracy": accuracy.tolist(),
        **other,
    }


def results() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    before = draw.uniform(0.3, 0.7, NUM)
    noise = draw.normal(0, 0.02, NUM)
    return {
        "recipe": "made-up",
        "activation": "tanh",
        "images": "digits",
        "objective": "ce",
        "l1": 0.0005,
        "num_networks": {"train": 320, "val": 40, "test": NUM},
        "seed": 0,
        "command": "weightspace evaluate made-up",
        "commit": "abc1234",
        "rows": [
            row("input", before, label="input networks", seconds=0.0),
            row("ours", before + 0.1 + noise, label="operator"),
            row("constant", np.full(NUM, 0.75), label="constant <best> & only"),
            row("broken", before + 0.02, label="symmetry-broken twin"),
            row("adam-1", before + 0.1 - noise, seconds=1.5e-4, data=True, label="Adam, 1 epoch"),
            row("adam-25", before + 0.15, seconds=0.2, data=True, label="Adam, 25 epochs"),
            {"method": "sgd-25", "label": "SGD, 25 epochs", "status": "not run"},
        ],
    }


def write(folder: Path, results: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "config.yaml").write_text("train:\n  seed: 0  # <tag> & more\n")
    lines = [
        json.dumps({"step": 50 * step, "model": model, "val_loss": 2 - rate * step, "val_accuracy": 0.4 + rate * step})
        for model, rate in (("ours", 0.04), ("broken", 0.01))
        for step in range(8)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 400, "mod')
    return folder

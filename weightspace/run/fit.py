"""The one training loop: a metanetwork of any family for any task, to the same bits however often it is stopped."""

import json
import math
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from .._errors import ConfigError
from .._types import Params, Progress
from ..files import atomic
from ..tasks import AbstractProblem, Batch, select, spread, to
from . import models, record
from .config import OURS, Run
from .draws import draw_networks, learning_rate


def model_folder(folder: Path, name: str) -> Path:
    """Where the files of a model lie: those of a twin in a folder of its name."""
    return folder if name == OURS else folder / name


@final
@dataclass
class _State:
    """Where training stands, apart from tensors."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_scores: dict[str, float] = field(default_factory=dict)


@final
class Fit:
    """One model's training: draws are functions of (seed, step), everything else is in the saved state."""

    def __init__(self, config: Run, problem: AbstractProblem, folder: Path, name: str) -> None:
        # Three seconds to import: only training pays.
        from lightning_fabric import Fabric

        self.config, self.problem, self.folder, self.name = config, problem, folder, name
        self.family, self.home = config.models()[name], model_folder(folder, name)
        dataset = problem.dataset
        self.networks = dataset.splits["train"]
        settings = config.train
        torch.manual_seed(settings.seed)
        self.fabric = Fabric(accelerator=settings.device, devices=1)
        module = models.build(self.family, config.task, dataset.spec, dataset.target)
        optimizer = torch.optim.AdamW(
            module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.raw = module
        self.module, self.optimizer = self.fabric.setup(module, optimizer)
        self.best = _copy(module)
        self.state = _State()
        held_out = dataset.splits["val"]
        places = spread(len(held_out), min(settings.validation_networks, len(held_out)))
        some = to(select(held_out.params, places), self.fabric.device)
        self.validation = Batch(some, "val", places, settings.seed)

    def run(self, stop: threading.Event, progress: Progress | None) -> None:
        """Train until the steps are done or the patience is used up."""
        settings, state = self.config.train, self.state
        self._restore()
        began, saved, before = time.monotonic(), time.monotonic(), state.seconds
        if state.step == 0:
            self._validate()
        started_at = state.step
        while state.step < settings.steps and state.waited < settings.patience:
            if stop.is_set():
                self._save()
                raise KeyboardInterrupt
            self._step()
            state.seconds = before + time.monotonic() - began
            if state.step % settings.validate_every == 0 or state.step == settings.steps:
                self._validate()
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if progress is not None:
                progress(state.step, settings.steps, f"training {self.name}")
        # A finished model is left alone: the cells of the table are tied to the bytes of its checkpoint.
        if state.step > started_at or not (self.home / record.CHECKPOINT).exists():
            self._save()

    def _step(self) -> None:
        settings, state = self.config.train, self.state
        chosen = draw_networks(settings, state.step, len(self.networks))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.fabric.device)
        # Networks do not interact: a batch's mean, and its gradient, is the sum over pieces weighted by their shares.
        for piece in chosen.split(settings.per_pass):
            params = to(select(self.networks.params, piece), self.fabric.device)
            batch = Batch(params, "train", piece, settings.seed, state.step)
            part = self.problem.loss(self.module, batch).mean() * (len(piece) / len(chosen))
            self.fabric.backward(part)
            loss += part.detach()
        norm = self.fabric.clip_gradients(self.module, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False)
        if not (math.isfinite(loss.item()) and norm is not None and math.isfinite(norm.item())):
            self._save()
            raise ConfigError(
                f"the loss of {self.name!r} is {loss.item():g} with gradient norm {norm} at step {state.step}. "
                "The best weights so far are saved; lower --train.learning-rate and choose another --out."
            )
        self.optimizer.step()
        state.step += 1
        state.loss_sum += loss.item()
        state.loss_count += 1

    @torch.no_grad()
    def _validate(self) -> None:
        """Score on validation networks; keep the best weights and log one line."""
        settings, state = self.config.train, self.state
        self.module.eval()
        scores = self.problem.validate(self.module, self.validation, settings.per_pass)
        loss = next(iter(scores.values()))
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.waited, state.best_scores = loss, state.step, 0, scores
            self.best = _copy(self.raw)
        else:
            state.waited += 1
        line = {
            "model": self.name,
            "step": state.step,
            "epoch": state.step * settings.batch_size / len(self.networks),
            "seconds": round(state.seconds, 3),
            "train_loss": state.loss_sum / state.loss_count if state.loss_count else None,
        } | {f"val_{name}": value for name, value in scores.items()}
        state.loss_sum, state.loss_count = 0.0, 0
        record.append_metrics(self.folder, line)

    def _save(self) -> None:
        tensors: dict[str, Tensor] = {f"weights/{name}": value for name, value in self.raw.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in entry.items()}
        tensors["generator"] = torch.get_rng_state()
        place, dataset = self.home / record.CHECKPOINT, self.problem.dataset
        known = self.problem.known(self.state.best_scores)
        models.save(place, self.best, self.family, self.config.task, dataset, self.config.name, known)
        atomic.save_tensors(self.home / record.RESUME, tensors, {"state": json.dumps(asdict(self.state))})

    def _restore(self) -> None:
        path = self.home / record.RESUME
        if path.exists():
            tensors, metadata = atomic.load_tensors(path)
            try:
                self.state.__dict__.update(json.loads(metadata["state"]))
                self.raw.load_state_dict(_part(tensors, "weights/"))
                self.best = _part(tensors, "best/")
                self._restore_optimizer(_part(tensors, "optimizer/"))
                torch.set_rng_state(tensors["generator"])
            except (KeyError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"the saved state {path} does not fit this run ({error}). Remove the file to train from the start."
                ) from error
        step = self.state.step
        fresh = not path.exists()
        record.keep_metrics(
            self.folder, lambda line: line["model"] != self.name or (not fresh and line["step"] <= step)
        )

    def _restore_optimizer(self, tensors: Params) -> None:
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, key = name.split("/")
            entries.setdefault(int(index), {})[key] = value
        whole: dict[str, Any] = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": entries, "param_groups": whole["param_groups"]})


def _copy(module: nn.Module) -> Params:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def _part(tensors: Params, prefix: str) -> Params:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

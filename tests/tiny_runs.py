"""Tiny zoos on the embedded digits, and a run that trains for a second."""

from pathlib import Path

from weightspace.nn import ScaleFamily
from weightspace.run import Run
from weightspace.run.config import TrainConfig, ZooRef
from weightspace.tasks import Improve, ImproveTable
from weightspace.zoo import HyperSpace, InrZooConfig, MLPTarget, SirenTarget, ZooConfig


def tiny_zoo(activation: str = "tanh") -> ZooConfig:
    """40 networks 64-6-5-10: 2 checkpoints of 20 runs."""
    target = MLPTarget(widths=(64, 6, 5, 10), activation=activation)
    hyper = HyperSpace(optimizers=("adam",), dropout=(0.0, 0.0), fractions=(0.25,))
    return ZooConfig(images="digits", target=target, num=20, checkpoints=(1, 2), batch_size=32, hyper=hyper)


def tiny_inr_zoo() -> InrZooConfig:
    """20 digits as SIRENs 2-6-5-1, hardly fitted."""
    target = SirenTarget(widths=(2, 6, 5, 1))
    return InrZooConfig(images="digits", target=target, num=20, steps=20)


def tiny_task(**changes: object) -> Improve:
    """Networks improved on few images, with a short table."""
    table = ImproveTable(sgd_epochs=(1,), adam_epochs=(2,), tuning_networks=2, magnitude=(0.5,))
    return Improve(**({"images_per_step": 40, "table": table} | changes))


def tiny_run(zoo: Path, steps: int = 9, **changes: object) -> Run:
    """A run that trains for a second; the state is saved after every step."""
    train = {"steps": steps, "batch_size": 5, "warmup": 2, "validate_every": 4}
    train |= {"validation_networks": 3, "checkpoint_seconds": 0.0, "learning_rate": 5e-3}
    values = {
        "name": "tiny",
        "zoo": ZooRef(path=str(zoo)),
        "model": ScaleFamily(width=4, rounds=1),
        "train": TrainConfig(**train),
        "task": tiny_task(),
    }
    return Run(**(values | changes))

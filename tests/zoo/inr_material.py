"""Small zoos of INRs and of classifiers from independent seeds, shared by their tests."""

from weightspace.zoo import InrZooConfig, SeedZooConfig


def tiny_inrs(**changes: object) -> InrZooConfig:
    """A zoo that takes a moment: twelve small SIRENs on digits."""
    fields = {"images": "digits", "target": {"widths": (2, 8, 6, 1)}, "num": 12, "steps": 20, "shard": 5, **changes}
    return InrZooConfig.model_validate(fields)


def tiny_seeds(**changes: object) -> SeedZooConfig:
    """Three small MLPs on digits, one epoch."""
    fields = {
        "images": "digits",
        "target": {"kind": "mlp", "widths": (64, 8, 10)},
        "num": 3,
        "epochs": 1,
        "batch_size": 200,
        **changes,
    }
    return SeedZooConfig.model_validate(fields)

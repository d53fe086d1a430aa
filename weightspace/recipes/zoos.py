"""Zoos of small classifiers."""

from ..zoo import HyperSpace, MLPTarget, ZooConfig

# Under-trained on purpose: an operator has something to improve in a network stopped after one to four epochs.
_SHORT = HyperSpace(
    optimizers=("sgd", "adam"),
    learning_rate=(5e-4, 1e-2),
    l2=(1e-8, 1e-3),
    dropout=(0.0, 0.3),
    fractions=(0.5, 1.0),
)


def digits_mlp_tanh() -> ZooConfig:
    """400 tanh networks on the embedded digits, kept after 1, 2 and 4 epochs; made in seconds."""
    return ZooConfig(
        images="digits",
        target=MLPTarget(activation="tanh"),
        num=400,
        checkpoints=(1, 2, 4),
        batch_size=32,
        hyper=_SHORT,
    )


def digits_mlp_relu() -> ZooConfig:
    """The same with ReLU."""
    return _with_relu(digits_mlp_tanh())


def cifar10_mlp_tanh() -> ZooConfig:
    """1,000 tanh networks on gray 8x8 CIFAR-10, kept after 5, 10 and 15 epochs.

    Source: arXiv:2510.08300, appendix C.2, with 1,000 runs instead of 3,200.
    """
    return ZooConfig(images="cifar10", target=MLPTarget(activation="tanh"), num=1000, checkpoints=(5, 10, 15))


def cifar10_mlp_relu() -> ZooConfig:
    """The same with ReLU, which the paper leaves out."""
    return _with_relu(cifar10_mlp_tanh())


def _with_relu(config: ZooConfig) -> ZooConfig:
    return config.model_copy(update={"target": MLPTarget(widths=config.target.widths, activation="relu")})

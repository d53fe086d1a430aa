"""Amortized optimization: operators that improve, or thin out, networks of a zoo in one pass."""

from ..nn import MatrixFamily, ScaleFamily
from ..run.config import EvaluateConfig, Run, TrainConfig, ZooRef
from ..tasks import DEFAULT_L1, CrossEntropy, Distill, Improve, ImproveTable
from ..zoo import ZooConfig
from .zoos import cifar10_mlp_relu, cifar10_mlp_tanh, cnn_cifar10_relu, digits_mlp_tanh


def demo() -> Run:
    """The whole path on embedded digits in a few minutes: zoo, operator, twin, table."""
    return Run(
        name="demo",
        zoo=ZooRef(make=digits_mlp_tanh()),
        task=Improve(
            min_val_accuracy=0.3, images_per_step=600, table=ImproveTable(sgd_epochs=(1, 5), adam_epochs=(1, 5))
        ),
        model=MatrixFamily(width=32),
        train=TrainConfig(steps=200, batch_size=8, learning_rate=3e-3, validate_every=20, validation_networks=48),
    )


def amortize_digits() -> Run:
    """The demo with a larger operator, trained longer."""
    return Run(
        name="amortize_digits",
        zoo=ZooRef(make=digits_mlp_tanh()),
        task=Improve(
            min_val_accuracy=0.3, images_per_step=600, table=ImproveTable(sgd_epochs=(1, 5, 25), adam_epochs=(1, 5, 25))
        ),
        model=ScaleFamily(width=32, rounds=4),
        train=TrainConfig(steps=800, batch_size=8, learning_rate=3e-3, validate_every=50, patience=12),
    )


def amortize_cifar10_tanh_ce() -> Run:
    """Lower the cross-entropy of tanh networks on CIFAR-10.

    Source: arXiv:2510.08300, table 1 (width 128, 8 rounds, 300 epochs, all images there).
    """
    return _cifar10("amortize_cifar10_tanh_ce", cifar10_mlp_tanh(), "zoos/cifar10_mlp_tanh", CrossEntropy(), 1500)


def amortize_cifar10_tanh_distill() -> Run:
    """Keep the outputs of tanh networks while their L1 norm shrinks."""
    objective = Distill(l1=DEFAULT_L1["mlp", "tanh"])
    return _cifar10("amortize_cifar10_tanh_distill", cifar10_mlp_tanh(), "zoos/cifar10_mlp_tanh", objective, 1000)


def amortize_cifar10_relu_ce() -> Run:
    """Lower the cross-entropy of ReLU networks on CIFAR-10."""
    return _cifar10("amortize_cifar10_relu_ce", cifar10_mlp_relu(), "zoos/cifar10_mlp_relu", CrossEntropy(), 1500)


def amortize_cifar10_relu_distill() -> Run:
    """Keep the outputs of ReLU networks while their L1 norm shrinks."""
    objective = Distill(l1=DEFAULT_L1["mlp", "relu"])
    return _cifar10("amortize_cifar10_relu_distill", cifar10_mlp_relu(), "zoos/cifar10_mlp_relu", objective, 1000)


def amortize_cnn_cifar10_relu_ce() -> Run:
    """Lower the cross-entropy of convolutional ReLU networks that saw every image of gray CIFAR-10 once.

    Source: arXiv:2510.08300, table 5 (runs of many settings there, after 5 to 15 epochs; here of one, after one).
    """
    return Run(
        name="amortize_cnn_cifar10_relu_ce",
        zoo=ZooRef(make=cnn_cifar10_relu().model_copy(update={"num": 160, "epochs": 1})),
        task=Improve(
            images_per_step=256,
            table=ImproveTable(sgd_epochs=(1,), adam_epochs=(1,), tuning_networks=2, batch_size=128),
        ),
        model=MatrixFamily(width=32, rounds=4),
        train=TrainConfig(
            steps=1500, batch_size=8, learning_rate=2e-3, validate_every=50, validation_networks=8, patience=12
        ),
        evaluate=EvaluateConfig(max_networks=16),
    )


def _cifar10(name: str, zoo: ZooConfig, path: str, objective: CrossEntropy | Distill, steps: int) -> Run:
    # Both objectives of one activation share a zoo, so it lies outside the run's folder.
    return Run(
        name=name,
        zoo=ZooRef(path=path, make=zoo),
        task=Improve(objective=objective, min_val_accuracy=0.3, images_per_step=1000),
        model=ScaleFamily(width=32, rounds=4),
        # Many small steps: at equal seconds 8 networks a step learn faster than 32 (runs/LOG.md).
        train=TrainConfig(steps=steps, batch_size=8, learning_rate=3e-3, validate_every=50, patience=12),
    )

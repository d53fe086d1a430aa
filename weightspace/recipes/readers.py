"""Networks read and edited: what INRs show, and how good classifiers are."""

from ..nn import MatrixFamily
from ..run.config import Run, TrainConfig, ZooRef
from ..tasks import ClassifyInr, EditInr, PredictAccuracy
from ..zoo import InrZooConfig
from .zoos import cnn_zoo_cifar10_relu, cnn_zoo_cifar10_tanh, digits_mlp_tanh, inr_digits, inr_mnist


def classify_inr_digits() -> Run:
    """The digit that an INR shows, read off its weights; embedded digits, minutes."""
    zoo = inr_digits().model_copy(update={"num": 1000})
    return _classify("classify_inr_digits", ZooRef(make=zoo), 800)


def classify_inr_mnist() -> Run:
    """The same on 12,000 MNIST digits.

    Source: arXiv:2406.10685, table 1 (55,000 networks to train on there).
    """
    return _classify("classify_inr_mnist", _mnist(), 6000)


def edit_inr_digits() -> Run:
    """Dilated digits by one pass of an operator; embedded digits, minutes."""
    zoo = inr_digits().model_copy(update={"num": 1000})
    return _edit("edit_inr_digits", ZooRef(make=zoo), 800)


def edit_inr_mnist() -> Run:
    """The same on 12,000 MNIST digits.

    Source: arXiv:2406.10685, section 6.4 (60,000 networks to train on there).
    """
    return _edit("edit_inr_mnist", _mnist(), 4000)


def predict_accuracy_digits() -> Run:
    """The accuracy of tanh networks on the embedded digits, read off their weights; a minute."""
    return _predict("predict_accuracy_digits", ZooRef(make=digits_mlp_tanh()), 400, width=32)


def predict_accuracy_cnn_relu() -> Run:
    """The same of 3,600 ReLU CNNs, nine checkpoints of each of 400 runs on gray CIFAR-10.

    Source: arXiv:2406.10685, section 6.2 (6,024 networks of the Small CNN Zoo to train on there).
    """
    zoo = ZooRef(path="zoos/cnn_zoo_cifar10_relu", make=cnn_zoo_cifar10_relu())
    return _predict("predict_accuracy_cnn_relu", zoo, 3000, width=64)


def predict_accuracy_cnn_tanh() -> Run:
    """The same with tanh."""
    zoo = ZooRef(path="zoos/cnn_zoo_cifar10_tanh", make=cnn_zoo_cifar10_tanh())
    return _predict("predict_accuracy_cnn_tanh", zoo, 3000, width=64)


def _mnist() -> ZooRef:
    # Both tasks share a zoo, so it lies outside the run's folder.
    zoo: InrZooConfig = inr_mnist().model_copy(update={"num": 12_000})
    return ZooRef(path="zoos/inr_mnist", make=zoo)


def _classify(name: str, zoo: ZooRef, steps: int) -> Run:
    return Run(
        name=name,
        zoo=zoo,
        task=ClassifyInr(),
        model=MatrixFamily(width=64),
        train=TrainConfig(steps=steps, learning_rate=3e-3, validate_every=100, validation_networks=1000),
    )


def _edit(name: str, zoo: ZooRef, steps: int) -> Run:
    return Run(
        name=name,
        zoo=zoo,
        task=EditInr(),
        model=MatrixFamily(width=64),
        train=TrainConfig(steps=steps, learning_rate=2e-3, validate_every=100, validation_networks=500),
    )


def _predict(name: str, zoo: ZooRef, steps: int, width: int) -> Run:
    return Run(
        name=name,
        zoo=zoo,
        task=PredictAccuracy(),
        model=MatrixFamily(width=width),
        train=TrainConfig(steps=steps, batch_size=32, learning_rate=3e-3, validate_every=steps // 16, patience=10),
    )

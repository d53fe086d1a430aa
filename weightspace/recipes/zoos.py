"""Zoos: small classifiers, images as networks, and classifiers from independent seeds."""

from ..zoo import (
    CNNTarget,
    CNNZooConfig,
    HyperSpace,
    InrZooConfig,
    MLPTarget,
    ResNetTarget,
    SeedZooConfig,
    SirenTarget,
    ZooConfig,
)

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


def inr_mnist() -> InrZooConfig:
    """1,000 MNIST digits as SIRENs of 1,185 parameters, about 25 dB."""
    return InrZooConfig(images="mnist")


def inr_mnist_fast() -> InrZooConfig:
    """1,000 MNIST digits as SIRENs fitted in a fifth of the steps, about 25 dB.

    At ten times the rate the weights of the second layer and the hidden biases spread more widely (1.6, 1.6 and 3.1
    times as much as those of `inr_mnist`), those of the first and the last layer less (0.87 and 0.73 times).
    """
    return InrZooConfig(images="mnist", steps=640, learning_rate=4e-3)


def inr_fashion_mnist_fast() -> InrZooConfig:
    """The same of Fashion-MNIST."""
    return inr_mnist_fast().model_copy(update={"images": "fashion_mnist"})


def inr_fashion_mnist() -> InrZooConfig:
    """1,000 images of Fashion-MNIST as SIRENs of 1,185 parameters."""
    return InrZooConfig(images="fashion_mnist")


def inr_cifar10() -> InrZooConfig:
    """1,000 images of CIFAR-10, in colour, as SIRENs of 1,251 parameters.

    Source: architecture of the INRs of arXiv:2302.14040; intensities are in [0, 1] here, in [-1, 1] there.
    """
    return InrZooConfig(images="cifar10", target=SirenTarget(widths=(2, 32, 32, 3)))


def inr_digits() -> InrZooConfig:
    """200 of the embedded 8x8 digits as SIRENs, about 25 dB; made in seconds."""
    return InrZooConfig(images="digits", num=200, steps=220, learning_rate=1e-3)


def mlp512_mnist_relu() -> SeedZooConfig:
    """40 ReLU MLPs with three hidden layers of 512 on MNIST, about 98 %."""
    return SeedZooConfig(
        images="mnist",
        target=MLPTarget(widths=(784, 512, 512, 512, 10), activation="relu"),
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=256,
        epochs=3,
    )


def mlp512_mnist_tanh() -> SeedZooConfig:
    """The same with tanh."""
    relu = mlp512_mnist_relu()
    return relu.model_copy(update={"target": MLPTarget(widths=(784, 512, 512, 512, 10), activation="tanh")})


def cnn_cifar10_relu() -> SeedZooConfig:
    """40 networks of the Small CNN Zoo (4,970 parameters) with ReLU on gray CIFAR-10, about 50 %."""
    return SeedZooConfig(
        images="cifar10", target=CNNTarget(), optimizer="adam", learning_rate=1e-2, batch_size=128, epochs=6
    )


def cnn_cifar10_tanh() -> SeedZooConfig:
    """The same with tanh, which learns more slowly."""
    changes = {"target": CNNTarget(activation="tanh"), "learning_rate": 2e-2, "epochs": 8}
    return cnn_cifar10_relu().model_copy(update=changes)


def cnn_zoo_cifar10_relu() -> CNNZooConfig:
    """400 ReLU networks of the Small CNN Zoo with settings of their own, each kept at nine epochs.

    Source: arXiv:2002.11448, with 12 epochs instead of 86; small shares of the images are thrice as frequent as large
    ones.
    """
    shares = HyperSpace(fractions=(0.1, 0.1, 0.1, 0.25, 0.25, 0.25, 0.5, 1.0))
    return CNNZooConfig(images="cifar10", target=CNNTarget(), hyper=shares)


def cnn_zoo_cifar10_tanh() -> CNNZooConfig:
    """The same with tanh."""
    return cnn_zoo_cifar10_relu().model_copy(update={"target": CNNTarget(activation="tanh")})


def resnet_fashion_mnist() -> SeedZooConfig:
    """40 small residual networks with batch normalization on Fashion-MNIST."""
    return SeedZooConfig(
        images="fashion_mnist",
        target=ResNetTarget(side=28),
        optimizer="sgd",
        learning_rate=0.2,
        l2=5e-4,
        batch_size=256,
        epochs=3,
    )


def _with_relu(config: ZooConfig) -> ZooConfig:
    return config.model_copy(update={"target": MLPTarget(widths=config.target.widths, activation="relu")})

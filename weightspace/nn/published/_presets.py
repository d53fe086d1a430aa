"""The twenty published ScaleGMN configurations, as data.

Every field chooses a part; nothing here computes. A variant is ``dataclasses.replace`` of a preset.
"""

from dataclasses import dataclass, replace
from typing import Literal, final, get_args

from ..._errors import ConfigError
from .._checks import check_choice
from .._invariant import SignInvariant
from ..scale._rounds import Direction

Group = Literal["sign", "positive", "hetero", "permutation"]
"""Scale group of all hidden neurons; ``hetero``: sign or positive, network by network; ``permutation``: none."""
Io = Literal["gated", "shared", "separate"]
"""Maps on inputs and outputs: ``(Lin x) * MLP(x)``, one MLP for both, or one MLP each."""
Readout = Literal["last_layer", "full_graph", "operator"]
IoPositions = Literal["sum", "product"]


@final
@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published configuration of a metanetwork.

    Attributes:
        layout: Neurons per layer of the networks read.
        group: Scale group of the hidden neurons.
        direction: Whether messages also travel from outputs to inputs.
        rounds: Rounds of message passing.
        width: Channels of every state, and hidden width of every MLP.
        sign: How signs are removed, where the group has any.
        io: Maps on inputs and outputs.
        norm: LayerNorm in every MLP.
        skip: A linear map of the old vertex states is added to the new ones.
        edge_positions: Learned factors on edges by type (first layer by input, last layer by output).
        positions_in_messages: Vertex positions are also read by the gates of messages and updates.
        io_positions: Whether positions are added on inputs and outputs, or multiplied as everywhere else.
        readout: From final states to a vector, or to changes of the parameters.
        out: Length of that vector; an operator has none.
        input_feature: Constant feature of the input vertices.
        kernel: Side of the convolution kernels of every layer but the last; 1 for linear layers.
        dropout: Probability on vertex states after a round.
        mlp_dropout: Probability on hidden units of every MLP.

    Raises:
        ConfigError: for an unknown word, or parts that were never joined.

    Source: arXiv:2406.10685, appendix, and the released configurations.
    """

    layout: tuple[int, ...]
    group: Group
    direction: Direction
    rounds: int
    width: int = 128
    sign: SignInvariant = "absolute"
    io: Io
    norm: bool = True
    skip: bool = False
    edge_positions: bool = False
    positions_in_messages: bool = False
    io_positions: IoPositions = "sum"
    readout: Readout
    out: int = 1
    input_feature: float = 1.0
    kernel: int = 1
    dropout: float = 0.0
    mlp_dropout: float = 0.0

    def __post_init__(self) -> None:
        words = {"group": Group, "direction": Direction, "io": Io, "readout": Readout, "io_positions": IoPositions}
        for option, allowed in words.items():
            check_choice(option, getattr(self, option), get_args(allowed))
        check_choice("sign", self.sign, ("absolute", "symmetrized"))
        if self.group == "hetero" and self.readout == "operator":
            raise ConfigError("readout='operator' with group='hetero' does not exist. Give a preset per group.")
        if self.positions_in_messages and self.direction == "forward":
            raise ConfigError("positions_in_messages goes with direction='bidirectional'. Give that, or False.")


MNIST_INR = (2, 32, 32, 1)
CIFAR_INR = (2, 32, 32, 3)
SMALL_CNN = (1, 16, 16, 16, 10)


def _inr(layout: tuple[int, ...], **fields) -> Preset:
    return Preset(layout=layout, group="sign", **fields)


def _cnn(group: Group, **fields) -> Preset:
    return Preset(layout=SMALL_CNN, group=group, input_feature=0.0, kernel=3, **fields)


_mnist = _inr(
    MNIST_INR, direction="forward", rounds=4, sign="symmetrized", io="gated", skip=True, edge_positions=True,
    readout="last_layer", out=10, dropout=0.2,
)  # fmt: skip
_fashion = replace(_mnist, rounds=2, io="separate", readout="full_graph", mlp_dropout=0.2)
_cifar = _inr(
    CIFAR_INR, direction="forward", rounds=4, width=64, io="separate", readout="last_layer", out=10, dropout=0.2
)
_augmented = replace(
    _cifar, width=128, sign="symmetrized", skip=True, readout="full_graph", dropout=0.1
)  # fmt: skip
_edit = _inr(
    MNIST_INR, direction="forward", rounds=10, io="separate", skip=True, readout="operator", dropout=0.1,
    mlp_dropout=0.1,
)  # fmt: skip
_relu = _cnn("positive", direction="forward", rounds=4, io="shared", readout="last_layer")
_tanh = _cnn("sign", direction="forward", rounds=4, sign="symmetrized", io="separate", readout="full_graph")
_hetero = _cnn("hetero", direction="forward", rounds=4, io="shared", readout="last_layer", dropout=0.2)
_svhn = _cnn("positive", direction="forward", rounds=4, width=64, io="separate", skip=True, readout="full_graph")
_both = {"direction": "bidirectional"}

PRESETS: dict[str, Preset] = {
    "mnist_cls": _mnist,
    "mnist_cls -B": replace(_mnist, **_both, skip=False, edge_positions=False, positions_in_messages=True),
    "fmnist_cls": _fashion,
    "fmnist_cls -B": replace(_fashion, **_both),
    "cifar_inr": _cifar,
    "cifar_inr -B": replace(_cifar, **_both, io="gated", norm=False, io_positions="product"),
    "cifar_inr aug": _augmented,
    "cifar_inr aug -B": replace(_augmented, **_both, readout="last_layer", dropout=0.2),
    "mnist_edit": _edit,
    "mnist_edit -B": replace(_edit, **_both, io="shared", mlp_dropout=0.0),
    "cifar10 relu": _relu,
    "cifar10 relu -B": replace(_relu, **_both),
    "cifar10 tanh": _tanh,
    "cifar10 tanh -B": replace(_tanh, **_both, dropout=0.2),
    "hetero": _hetero,
    "hetero -B": replace(_hetero, **_both, rounds=5, sign="symmetrized", skip=True, dropout=0.1),
    "svhn relu": _svhn,
    "svhn relu -B": replace(_svhn, **_both, rounds=3),
    "svhn tanh": _cnn(
        "sign", direction="forward", rounds=4, width=64, sign="symmetrized", io="separate", norm=False,
        readout="last_layer",
    ),
    "svhn tanh -B": replace(_tanh, **_both, rounds=3, skip=True),
}  # fmt: skip
"""By name; ``-B`` is bidirectional."""

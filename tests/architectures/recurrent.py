"""Recurrent layers as torch fuses them: layers, directions, projections, states handed on, single cells in a loop."""

import torch
from torch import Tensor, nn

from ._registry import Architecture, Tokens


class Tagger(nn.Module):
    """Embedding, a recurrent layer in both directions, a linear layer at each step."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], **options: object) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.body = kind(4, 5, bidirectional=True, batch_first=True, **options)
        self.head = nn.Linear(2 * (self.body.proj_size or 5), 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens))[0])


class Classifier(nn.Module):
    """Two layers over a sequence whose hidden values a first layer makes; the last states are read."""

    def __init__(self, kind: type[nn.RNNBase], **options: object) -> None:
        super().__init__()
        self.first, self.body = nn.Linear(3, 4), kind(4, 5, 2, **options)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        last = self.body(torch.relu(self.first(x)).transpose(0, 1))[1]
        last = last[0] if isinstance(last, tuple) else last
        return self.head(torch.cat([last[-2], last[-1]], dim=1))


class Translator(nn.Module):
    """An LSTM whose states begin another one's, which a cell in a loop continues (Sutskever et al. 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(3, 4, 2, batch_first=True), nn.LSTM(2, 4, 2, batch_first=True)
        self.cell, self.bridge = nn.LSTMCell(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        out, (h, c) = self.decoder(y, self.encoder(x)[1])
        state = torch.tanh(self.bridge(h[-1])), c[-1]
        for step in out.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


class Cells(nn.Module):
    """A GRU and an RNN of ReLU, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.rnn, self.head = nn.GRUCell(3, 4), nn.RNNCell(4, 5, nonlinearity="relu"), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        one, two = None, None
        for step in x.unbind(1):
            one = self.gru(step, one)
            two = self.rnn(one, two)
        assert two is not None, "there are steps"
        return self.head(two)


WORDS = (Tokens(7, (2, 4)),)
ARCHITECTURES = [
    Architecture("lstm_tagger", lambda: Tagger(nn.LSTM), WORDS, "The embedding's 4; signs do not count.", scales=4),
    Architecture(
        "lstm_projected", lambda: Tagger(nn.LSTM, proj_size=3), WORDS, "4, and the projections' 3 + 3.", scales=10
    ),
    Architecture("gru_tagger", lambda: Tagger(nn.GRU, bias=False), WORDS, "The embedding's 4.", scales=4),
    Architecture("gru_classifier", lambda: Classifier(nn.GRU), ((2, 4, 3),), "The first layer's 4.", scales=4),
    Architecture(
        "rnn_relu_classifier",
        lambda: Classifier(nn.RNN, nonlinearity="relu"),
        ((2, 4, 3),),
        "4, and each unit of both layers: 5 + 5.",
        scales=14,
    ),
    Architecture("lstm_encoder_decoder", Translator, ((2, 4, 3), (2, 3, 2)), "Signs only.", scales=0),
    Architecture("recurrent_cells", Cells, ((2, 3, 3),), "The RNN's 5.", scales=5),
]

"""Parameters as something a network can read: stacked dense nodes and edges."""

from ._blocks import Block as Block
from ._dense import DenseView as DenseView
from ._dense import view as view
from ._matrices import MatrixView as MatrixView
from ._pieces import Field as Field
from ._pieces import Piece as Piece
from ._pieces import pieces as pieces
from ._plain import PlainView as PlainView

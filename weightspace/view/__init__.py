"""Parameters as something a network can read: stacked dense nodes and edges."""

from ._dense import DenseView as DenseView
from ._dense import view as view

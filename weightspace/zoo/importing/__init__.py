"""Importing collections of networks, public ones and anybody's, as zoos."""

from ._collection import Collection as Collection
from ._formats import FORMATS as FORMATS
from ._formats import Format as Format
from ._formats import format_of as format_of
from ._formats import open_collection as open_collection
from ._import import import_zoo as import_zoo

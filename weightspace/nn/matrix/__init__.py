"""Metanetworks whose states live on neurons and on which weights act as matrices."""

from ._family import MatrixFamily as MatrixFamily
from ._models import MatrixFunctional as MatrixFunctional
from ._models import MatrixOperator as MatrixOperator

"""ONNX files: initializers and constants of the graph, as the layers that they are; needs the package ``onnx``."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..._errors import ConfigError
from ._onnx_graph import Node, Unreadable, walk
from ._stored import Contents, held


def read_onnx(path: Path) -> Contents:
    """The parameters of a graph, named by the order of the computation; see :mod:`._onnx_graph`.

    Raises:
        ConfigError: if the package is missing, the file is damaged, or its graph cannot be read as layers.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ConfigError(f"reading {path} needs the package onnx. Type: pip install 'weightspace[onnx]'") from error
    try:
        graph: Any = onnx.load(str(path)).graph
        constants = {value.name: _tensor(numpy_helper.to_array(value)) for value in graph.initializer}
        nodes = []
        for node in graph.node:
            about = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
            if node.op_type == "Constant":
                constants[node.output[0]] = _constant(about, numpy_helper)
            else:
                nodes.append(Node(node.op_type, [*node.input], [*node.output], about))
    except Exception as error:  # the package has no error of its own for a damaged file
        raise ConfigError(
            f"{path} is not a readable ONNX file ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            ". Export the network again."
        ) from error
    try:
        found = walk(nodes, constants)
    except Unreadable as error:
        raise ConfigError(
            f"{path}: {error}. Export the network without optimizing it, or save its state_dict."
        ) from error
    return Contents(held(path, found.tensors), {}, (), found.exported, found.branch)


def _constant(about: dict[str, Any], helper: Any) -> Tensor:
    value = about.get("value")
    if value is not None:
        return _tensor(helper.to_array(value))
    found = next((about[key] for key in about if key.startswith("value_")), 0.0)
    return (
        torch.zeros(0, dtype=torch.int64) if isinstance(found, (bytes, list)) and not found else torch.as_tensor(found)
    )


def _tensor(array: Any) -> Tensor:
    # Texts and types that torch lacks are no parameters.
    try:
        return torch.from_numpy(array.copy())
    except TypeError:
        return torch.zeros(0, dtype=torch.int64)

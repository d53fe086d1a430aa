"""What was measured of one panel of an orbit experiment, pair by pair, in memory and as a file."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..._errors import ConfigError
from ...files import atomic
from ...tasks.merging.orbit_curves import OrbitCurves
from .orbit_config import OrbitPanel


@final
@dataclass(frozen=True, eq=False)
class PanelRows:
    """All pairs of a panel, network after network.

    Attributes:
        panel: Its settings.
        t: Places on the segments.
        network: Row of the zoo, by pair.
        own: Loss of the network itself, by pair.
        given: Loss of the second network before it is moved, by pair.
        curves: By method.
    """

    panel: OrbitPanel
    t: Float[Tensor, " p"]
    network: Int[Tensor, " b"]
    own: Float[Tensor, " b"]
    given: Float[Tensor, " b"]
    curves: dict[str, OrbitCurves]

    def middle(self, method: str, *, accuracy: bool = False) -> Float[np.ndarray, " b"]:
        """Loss (or accuracy) halfway, by pair; between two places where none is halfway."""
        found = self.curves[method]
        values = found.accuracy if accuracy else found.loss
        assert values is not None, "asked for where it was measured"
        return np.array([np.interp(0.5, self.t.numpy(), row) for row in values.numpy()])

    def end_change(self, method: str) -> float:
        """Largest change of a second network's loss by moving it, by magnitude; 0 but for rounding."""
        return float((self.curves[method].loss[:, -1] - self.given).abs().max())


def write_rows(path: Path, rows: PanelRows, fingerprint: str) -> None:
    """Write the rows as ``.npz``, with what says which experiment they belong to.

    Raises:
        ConfigError: if the place cannot be written.
    """
    tensors = {"t": rows.t, "network": rows.network, "own": rows.own, "given": rows.given}
    for method, found in rows.curves.items():
        tensors |= {f"{method}/loss": found.loss, f"{method}/in_place": found.in_place}
        tensors |= {} if found.accuracy is None else {f"{method}/accuracy": found.accuracy}
    arrays: dict[str, Any] = {name: value.numpy() for name, value in tensors.items()}
    content = io.BytesIO()
    np.savez(content, fingerprint=np.array(fingerprint), **arrays)
    atomic.write_bytes(path, content.getvalue())


def read_rows(path: Path, panel: OrbitPanel, fingerprint: str) -> PanelRows:
    """The rows in a file.

    Raises:
        ConfigError: if it cannot be read, or belongs to another experiment.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        known = str(arrays.pop("fingerprint"))
        values = {name: torch.from_numpy(value) for name, value in arrays.items()}
        methods = [name.removesuffix("/loss") for name in values if name.endswith("/loss")]
        curves = {
            name: OrbitCurves(values[f"{name}/loss"], values.get(f"{name}/accuracy"), values[f"{name}/in_place"])
            for name in methods
        }
        rows = PanelRows(panel, values["t"], values["network"], values["own"], values["given"], curves)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read ({error}). Remove it; the same command makes it again.") from error
    if known != fingerprint:
        raise ConfigError(
            f"{path} belongs to an experiment with other settings or another zoo. Choose another --out, or remove it."
        )
    return rows

"""Image sets as files, of random pixels."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def write_set(folder: Path, name: str, pixels: np.ndarray, labels: np.ndarray, file_format: str = "PNG") -> None:
    """The same images as training and as test images of the set."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        encoded = []
        for image in pixels:
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, file_format)
            encoded.append({"bytes": stream.getvalue(), "path": None})
        pq.write_table(pa.table({"image": encoded, "label": labels}), folder / name / f"{part}.parquet")

"""The code of docs/adding-a-task.md: the files that the page asks its reader to write."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-a-task.md").read_text()
FILES: dict[str, str] = dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
"""Text of the files by name."""


def written(folder: Path) -> Path:
    """The folder, with the files in it."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder

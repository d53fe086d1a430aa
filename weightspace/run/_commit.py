"""The state of the source that runs."""

import subprocess
from pathlib import Path


def commit() -> str:
    """The commit of the library's source, with ``-dirty`` if files differ from it; ``""`` for an installed package."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return ""
    try:
        # New files of the package count as changes; results beside it do not. No lock: others may be committing.
        head = _git(folder, "rev-parse", "--short", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no") or _git(
            folder, "status", "--porcelain", "--", "weightspace"
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}-dirty" if changes else head


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "--no-optional-locks", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()

"""Run every numbered example in its own process; one line each, and the first failure stops the run."""

import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = sorted(Path(__file__).parent.glob("[0-9][0-9]_*.py"))


def main() -> int:
    """Exit code: 0 if every example ran, 1 after the first that did not."""
    for path in EXAMPLES:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        print(f"{'ok' if done.returncode == 0 else 'FAILED'}  {path.name}  {seconds:.1f} s", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
    print(f"{len(EXAMPLES)} examples ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())

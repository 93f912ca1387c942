"""One attack as a command, or all of them; prints lines of the table in docs/reliability.md.

python tests/attacks archives 5000
python tests/attacks               lists them with their usual sizes
"""

import importlib
import logging
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

from attacks.figures import HEADER  # noqa: E402 - the path comes first

NAMES = sorted(
    path.stem for path in HERE.glob("*.py") if "\ndef attack(" in path.read_text(encoding="utf-8")
)


def main() -> int:
    """Run what the command line names; 1 when anything happened that must not."""
    if len(sys.argv) < 2:
        for name in NAMES:
            print(f"{name} {importlib.import_module(f'attacks.{name}').DEFAULT_SIZE}")
        return 0
    name = sys.argv[1]
    module = importlib.import_module(f"attacks.{name}")
    size = int(sys.argv[2]) if len(sys.argv) > 2 else module.DEFAULT_SIZE
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="fluocount-attack-") as folder:
        figures = module.attack(Path(folder), size)
    print(HEADER)
    print(figures.row(name))
    return 0 if figures.sound else 1


if __name__ == "__main__":
    sys.exit(main())

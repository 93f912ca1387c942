"""One attack as a command, or all of them; prints lines of the table in docs/reliability.md.

python tests/attacks archives 5000
python tests/attacks archives 5000 --write     puts the line into docs/reliability.md
python tests/attacks inputs 5000 --more --write        other inputs, added to those of that line
python tests/attacks               lists them with their usual sizes
"""

import importlib
import logging
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "reliability.md"
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

from attacks.figures import HEADER, read_row, write_row  # noqa: E402 - the path comes first

NAMES = sorted(
    path.stem for path in HERE.glob("*.py") if "\ndef attack(" in path.read_text(encoding="utf-8")
)


def main() -> int:
    """Run what the command line names; 1 when anything happened that must not."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if not words:
        for name in NAMES:
            print(f"{name} {importlib.import_module(f'attacks.{name}').DEFAULT_SIZE}")
        return 0
    name = words[0]
    module = importlib.import_module(f"attacks.{name}")
    size = int(words[1]) if len(words) > 1 else module.DEFAULT_SIZE
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="fluocount-attack-") as folder:
        if "--more" in sys.argv:
            if not hasattr(module, "go_on"):
                sys.exit(
                    f"{name} always does the same; runs of it do not add up. Leave out --more."
                )
            earlier = read_row(TABLE, name)
            figures = module.go_on(Path(folder), size, earlier.tried)
            figures.add(earlier)
        else:
            figures = module.attack(Path(folder), size)
    print(HEADER)
    print(figures.row(name))
    if "--write" in sys.argv:
        write_row(TABLE, name, figures.row(name))
    return 0 if figures.sound else 1


if __name__ == "__main__":
    sys.exit(main())

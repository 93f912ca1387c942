"""The import arrows: device.counting <- the rest of device <- trainer <- convert."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"tensorflow", "keras"}
HARDWARE = {"picamera2", "libcamera", "gpiozero"}
INTERPRETERS = {"ai_edge_litert", "tflite_runtime"}

# A package may import itself, those below it, and what is not ours.
FORBIDDEN = {
    "device": {"trainer", "convert", *HEAVY},
    "trainer": {"convert"},
    "convert": set(),
}
COUNTING_MAY_USE = {"device.counting", "device.errors", "device"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Absolute names of all modules that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_arrow_points_backwards(package):
    assert modules(package)
    for path in modules(package):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & FORBIDDEN[package], path


def test_the_counting_core_knows_nothing_of_the_rest():
    for path in modules("device/counting"):
        ours = {name for name in imported(path) if name.split(".")[0] == "device"}
        strangers = {name for name in ours if not name.startswith("device.counting")}
        assert strangers <= COUNTING_MAY_USE, path


def test_hardware_and_interpreters_are_imported_only_where_used():
    for path in modules("device"):
        tops = {name.split(".")[0] for name in imported(path, top_level_only=True)}
        assert not tops & (HARDWARE | INTERPRETERS), path


def test_every_device_module_imports_without_them():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in modules("device")
    ]
    script = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(HEAVY | HARDWARE)!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in {names!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=120)


def test_what_only_results_need_is_not_imported_before_the_first_tile():
    late = {"scipy", "skimage", "tifffile", "sqlite3", "flask", "importlib.metadata"}
    script = (
        f"import sys, device.commands.count; sys.exit(', '.join({late} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=120)

"""The import arrows: device.counting <- the rest of device <- trainer <- convert."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
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

# A room of device imports only itself and rooms that stand before it here.
ROOMS = (
    "errors", "counting", "config", "machine", "imageio", "sandbox", "drawing", "synthetic", "models", "store",
    "assays", "export", "camera", "panel", "forward", "jobs", "batch", "studies", "watch", "bench", "doctor",
    "service", "web", "commands", "cli",
)  # fmt: skip
LOOSE = {"__init__", "cli", "config", "errors", "service"}
# Files <-> Frame and pictures of a count know nothing of settings, store or camera.
NARROW = {
    "counting": {"errors"},
    "drawing": {"counting"},
    "imageio": {"counting", "errors", "machine"},
    "sandbox": {"counting", "errors", "machine", "imageio"},
    "machine": {"counting"},
}


TRAINER_ROOMS = ("network", "frames", "scores", "fitting", "confidence", "experiments", "cli")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(source: str, *, top_level_only: bool = False) -> set[str]:
    """Absolute names of all modules that a source imports; `from a import b` is a.b where that is one."""
    tree = ast.parse(source)
    names: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, f"relative: {node.module}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if is_module(inner) else node.module)
    return names


def name_of(path: Path) -> str:
    """The absolute name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def without_types(source: str) -> str:
    """A source without what it imports for its annotations only."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not ast.unparse(node).startswith("if TYPE_CHECKING")]
    return ast.unparse(tree)


def room_of(module: str) -> str:
    """The folder or loose module of device; the package itself only knows its version."""
    return module.split(".")[1] if "." in module else ""


def arrows() -> Iterator[tuple[str, str, Path]]:
    """(room, room that it imports, where) of device."""
    for path in modules("device"):
        here = path.relative_to(ROOT / "device").parts[0].removesuffix(".py")
        for name in imported(path.read_text()):
            if name.split(".")[0] == "device" and room_of(name) not in ("", here):
                yield here, room_of(name), path


def test_an_import_is_seen_in_every_spelling():
    assert imported("from device import store") == {"device.store"}
    assert imported("from device.store import lock") == {"device.store.lock"}
    assert imported("from device.store.lock import FileLock") == {"device.store.lock"}
    assert imported("import device.store.lock as x") == {"device.store.lock"}
    assert imported("from device import __version__") == {"device"}
    assert imported("def f():\n    from device import store") == {"device.store"}
    assert not imported("def f():\n    import keras", top_level_only=True)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_arrow_points_backwards(package):
    assert modules(package)
    for path in modules(package):
        tops = {name.split(".")[0] for name in imported(path.read_text())}
        assert not tops & FORBIDDEN[package], path


def test_every_room_is_a_folder_and_has_its_place():
    loose = {path.stem for path in (ROOT / "device").glob("*.py")}
    assert loose == LOOSE
    folders = {path.parent.name for path in (ROOT / "device").glob("*/*.py")}
    assert folders | loose - {"__init__"} == set(ROOMS)


def test_rooms_import_only_rooms_before_them():
    for here, there, path in arrows():
        assert ROOMS.index(there) < ROOMS.index(here), f"{path} imports {there}"


@pytest.mark.parametrize("room", NARROW)
def test_the_lowest_rooms_know_only_their_neighbours(room):
    for here, there, path in arrows():
        assert here != room or there in NARROW[room], f"{path} imports {there}"


def test_rooms_of_the_trainer_import_only_rooms_before_them():
    rooms = {
        name_of(path).split(".")[1] for path in modules("trainer") if path.name != "__init__.py"
    }
    assert rooms == set(TRAINER_ROOMS)
    for path in modules("trainer"):
        for name in imported(path.read_text()):
            if name.startswith("trainer.") and path.parent != ROOT / "trainer":
                here, there = (TRAINER_ROOMS.index(room_of(one)) for one in (name_of(path), name))
                assert there <= here, f"{path} imports {name}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_module_imports_itself_by_a_detour(package):
    needs = {name_of(path): imported(without_types(path.read_text())) for path in modules(package)}
    order = graphlib.TopologicalSorter(
        {name: {each for each in needs[name] & needs.keys() if each != name} for name in needs}
    )
    order.prepare()  # raises CycleError with the circle


def test_hardware_and_interpreters_are_imported_only_where_used():
    for path in modules("device"):
        tops = {name.split(".")[0] for name in imported(path.read_text(), top_level_only=True)}
        assert not tops & (HARDWARE | INTERPRETERS), path


def test_every_device_module_imports_without_them():
    names = [name_of(path) for path in modules("device")]
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
    late = {
        "scipy.ndimage",
        "skimage.segmentation",
        "tifffile",
        "sqlite3",
        "flask",
        "importlib.metadata",
    }
    script = (
        f"import sys, device.commands.count; sys.exit(', '.join({late} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=120)

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
APT = {
    "bookworm": {"numpy": "1.24.2", "scipy": "1.10.1"},
    "trixie": {"numpy": "2.2.4", "scipy": "1.15.3"},
}


def pins(release: str) -> dict[str, Version]:
    lines = (ROOT / "constraints" / f"{release}.txt").read_text().splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
            found[canonicalize_name(name)] = Version(version)
    return found


def requirements(extra: str) -> list[Requirement]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = []
    for text in extras["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == "fluocount":
            for inner in requirement.extras:
                found += requirements(inner)
        else:
            found.append(requirement)
    return found


@pytest.mark.parametrize("release", APT)
def test_apts_own_numpy_and_scipy_are_never_replaced(release: str) -> None:
    found = pins(release)
    assert {name: str(found[name]) for name in APT[release]} == APT[release]


@pytest.mark.parametrize("release", APT)
def test_every_device_requirement_is_pinned_within_its_bounds(release: str) -> None:
    found = pins(release)
    for requirement in requirements("device"):
        pinned = found[canonicalize_name(requirement.name)]
        assert pinned in requirement.specifier, requirement


def test_lower_bounds_are_what_bookworm_proves() -> None:
    found = pins("bookworm")
    for requirement in requirements("device"):
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        pinned = found[canonicalize_name(requirement.name)]
        wanted = Version(bound.version).release
        assert pinned.release[: len(wanted)] == wanted, f"{requirement}, but {pinned} was tested"


def test_older_interpreter_is_pinned_for_bookworm_only() -> None:
    assert "tflite-runtime" in pins("bookworm")
    assert "tflite-runtime" not in pins("trixie")
    assert pins("bookworm")["numpy"] < Version("2")

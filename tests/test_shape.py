"""How large a function and a file may be: what does not fit on a screen is cut where it has joints."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for package in ("device", "trainer", "convert", "systemd")
    for path in (ROOT / package).rglob("*.py")
)
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 6


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """(where, function) of all sources."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """click gives a command one parameter per option."""
    return any("command(" in ast.unparse(decorator) for decorator in function.decorator_list)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    own = function.args
    names = [each.arg for each in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def test_sources_are_found():
    assert len(SOURCES) > 100


@pytest.mark.parametrize("folder", ["device", "trainer", "convert", "systemd"])
def test_no_file_is_too_long(folder):
    for path in SOURCES:
        if path.is_relative_to(ROOT / folder):
            assert len(path.read_text().splitlines()) <= LONGEST_FILE, path


def test_no_function_is_too_long():
    long = {where: node.end_lineno - node.lineno + 1 for where, node in functions()}
    assert {where: lines for where, lines in long.items() if lines > LONGEST_FUNCTION} == {}


def test_no_function_takes_too_much():
    many = {where: parameters(node) for where, node in functions() if not is_command(node)}
    assert {where: names for where, names in many.items() if len(names) > MOST_PARAMETERS} == {}

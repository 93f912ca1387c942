"""Files that ship inside the trainer package."""

from importlib import resources


def text(*parts: str) -> str:
    """Text of a packaged file, for example text("recipes", "fast.toml").

    Raises:
        FileNotFoundError: no such file is packaged.
    """
    return resources.files("trainer").joinpath(*parts).read_text(encoding="utf-8")


def names(folder: str) -> list[str]:
    """Names of the files in a packaged folder."""
    return [entry.name for entry in resources.files("trainer").joinpath(folder).iterdir()]

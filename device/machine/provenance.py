"""Versions of the software that a count depends on, besides image, model and settings."""

import platform
from functools import cache

_LIBRARIES = (
    "fluocount",
    "ai-edge-litert",
    "tflite-runtime",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "tifffile",
    "imagecodecs",
)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    from importlib import metadata  # imports e-mail parsers too, so not before the first tile

    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return tuple(found.items())


def software_versions() -> dict[str, str]:
    """Versions, by name, of all installed software that takes part in a count."""
    return dict(_versions())

"""Texts of a request: what cannot be stored is refused before a view gets it."""

from typing import Any

from apiflask.fields import Dict, String
from apiflask.validators import Length
from marshmallow import ValidationError


def text_field(longest: int, **options: Any) -> String:
    """A text of at most so many characters that can be stored."""
    return String(validate=[Length(max=longest), require_storable], **options)


def record_field() -> Dict:
    """An object, whatever is in it, whose texts can be stored."""
    return Dict(required=True, keys=String(), validate=_require_storable_within)


def require_storable(text: str) -> None:
    """Refuse lone surrogates, which JSON can hold, and NUL: neither files nor every database store them.

    Raises:
        ValidationError: there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("Not valid Unicode text.") from None
    if "\0" in text:
        raise ValidationError("Not valid Unicode text.")


def _require_storable_within(value: Any) -> None:
    if isinstance(value, str):
        require_storable(value)
    elif isinstance(value, dict | list):
        for part in [*value, *(value.values() if isinstance(value, dict) else ())]:
            _require_storable_within(part)

"""A study from what a person typed."""

import msgspec

from device.errors import InputError
from device.store.studies import Study
from device.studies.naming import Splitter


def make_study(given: dict[str, object]) -> Study:
    """A study from what a person typed.

    Raises:
        InputError: something cannot be used.
    """
    try:
        study = msgspec.convert(given, Study)
    except msgspec.ValidationError as error:
        if "$.name" in str(error):
            raise InputError(
                "The name of a study has 1 to 80 letters, digits, spaces and . _ + - ( ), and begins with a letter "
                "or digit."
            ) from None
        raise InputError(f"This study cannot be set up: {error}.") from None
    if study.pattern:
        Splitter(study.pattern)
    return study

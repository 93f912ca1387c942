"""What a blinded review says about the automatic count, in a sentence for the report."""

import msgspec
import numpy as np

from device.store.reviews import Marked, Points, Review
from device.studies.sampling import mean_precision
from device.studies.words import number_text


class SeenImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image with the automatic cells."""

    key: str
    count_id: str
    image: str
    automatic: Points
    reach_px: float
    stratum: str


Marks = dict[tuple[str, str], Marked]


def review_sentence(review: Review, marks: Marks, images: list[SeenImage]) -> str:
    """The statement about the automatic count; strata weigh as they do in the study."""
    if not images:
        return "None of the reviewed images can be read any more."
    mean, spread = _error(review, marks, images)
    total = sum(review.of.values())
    how = ", drawn at random," if len(images) < total else ""
    who = "observer" if len(review.observers) == 1 else "observers"
    text = f"In {len(images)} of {total} images{how} the automatic count was {_apart(mean)} that of the {who}"
    if spread is None:
        return f"{text}."
    low, high = mean - 1.96 * spread, mean + 1.96 * spread
    return f"{text} (limits of agreement {_format_signed(low)} to {_format_signed(high)})."


def sampling_sentence(review: Review, marks: Marks, images: list[SeenImage]) -> str:
    """How the images were drawn, and to within how many cells they tell the mean error."""
    total = sum(review.of.values())
    if len(images) >= total:
        return f"All {total} images were reviewed."
    text = f"{len(images)} of {total} images were drawn at random"
    if len(review.of) > 1:
        text += f" from {len(review.of)} strata of count and warnings"
    _, spread = _error(review, marks, images) if images else (0.0, None)
    if spread is None:
        return f"{text}."
    reach = mean_precision(spread, len(images), total)
    return f"{text}; they tell the mean error to within ± {number_text(reach, 2)} cells (95 % confidence)."


def _error(review: Review, marks: Marks, images: list[SeenImage]) -> tuple[float, float | None]:
    """Mean and standard deviation of automatic less observed count; None for one image."""
    errors = np.array(
        [
            len(seen.automatic)
            - np.mean([len(marks[seen.key, who].points) for who in review.observers])
            for seen in images
        ]
    )
    drawn: dict[str, int] = {}
    for seen in images:
        drawn[seen.stratum] = drawn.get(seen.stratum, 0) + 1
    weights = np.array([review.of[seen.stratum] / drawn[seen.stratum] for seen in images])
    mean = float(np.average(errors, weights=weights))
    return mean, None if len(images) < 2 else float(np.sqrt(np.cov(errors, aweights=weights)))


def _apart(mean: float) -> str:
    """How far a mean difference is from nothing, in words."""
    if abs(mean) < 0.05:  # 0.0 when rounded
        return "on average equal to"
    return f"on average {abs(mean):.1f} cells {'below' if mean < 0 else 'above'}"


def _format_signed(value: float) -> str:
    """With the minus sign of print."""
    return f"{value:.1f}".replace("-", "−")

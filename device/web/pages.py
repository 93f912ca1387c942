"""The empty pages; the scripts in static/js fetch the data from /api/v1."""

from flask import Blueprint, render_template

from device import __version__
from device.counting.assay import MAX_OBJECTIVE_CHARS
from device.errors import ForbiddenError
from device.web.access import require_administrator

pages = Blueprint("pages", __name__)

NAVIGATION = (
    ("pages.capture", "Capture"),
    ("pages.upload", "Upload"),
    ("pages.history", "History"),
    ("pages.studies", "Studies"),
    ("pages.assays", "Assays"),
    ("pages.status", "Status"),
)


@pages.app_context_processor
def _shell() -> dict[str, object]:
    """What every template needs: the tabs and the version in the footer; and how long a typed name may be."""
    return {
        "navigation": NAVIGATION,
        "version": __version__,
        "objective_chars": MAX_OBJECTIVE_CHARS,
    }


@pages.get("/")
def capture() -> str:
    """Live preview, camera settings and the one big button."""
    return render_template("capture.html")


@pages.get("/upload")
def upload() -> str:
    """Upload one or many images."""
    return render_template("upload.html")


@pages.get("/counts/<count_id>")
def result(count_id: str) -> str:
    """One count; for an unknown id the script shows the sentence of the API."""
    return render_template("result.html", count_id=count_id)


@pages.get("/history")
def history() -> str:
    """All counts, filtered, plotted, exported."""
    return render_template("history.html")


@pages.get("/studies")
def studies() -> str:
    """Studies: set up, assign images, look at figure and report."""
    return render_template("studies.html")


@pages.get("/reviews/<review_id>")
def review(review_id: str) -> str:
    """A blinded review, for its observers; the page says nothing of the images."""
    return render_template("review.html", review_id=review_id)


@pages.get("/reviews/<review_id>/results")
def review_results(review_id: str) -> str:
    """Agreement, log and consensus of a finished review."""
    return render_template("review-results.html", review_id=review_id)


@pages.get("/assays")
def assays() -> str:
    """Assays: look, save, teach, go back."""
    return render_template("assays.html")


@pages.get("/administration")
def administration() -> str:
    """People, tokens, settings, backup, update, self-check, restart."""
    try:
        require_administrator()
        refused = None
    except ForbiddenError as error:
        refused = str(error)
    return render_template("administration.html", refused=refused)


@pages.get("/status")
def status() -> str:
    """State of the instrument."""
    return render_template("status.html")

"""Rules of access that a browser can check, written for these pages: contrast, names, roles, structure, focus, targets.

They are our own and no substitute for axe-core, which knows many more.
"""

from itertools import pairwise
from pathlib import Path

_RULES = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def check(page, rule: str) -> list[str]:
    """What `faint`, `unsound` or `small` of accessible.js finds on the page."""
    return page.evaluate(f"({_RULES.rstrip()}).{rule}()")


NAMED_ROLES = frozenset(
    {
        "button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider", "spinbutton", "image",
        "img", "dialog", "radiogroup", "application", "listbox", "DateTime", "Date",
    }
)  # fmt: skip


def nameless(page) -> list[str]:
    """Roles in Chromium's accessibility tree that need a name and have none."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        f"{node['role']['value']} {node.get('backendDOMNodeId')}"
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in NAMED_ROLES
        and not node.get("name", {}).get("value", "").strip()
    ]


def lost_focus(page, most: int = 250) -> list[str]:
    """What the tab key shows to be wrong: a focus that nobody sees, an order against the reading, a trap."""
    said, places, names = [], [], []
    page.evaluate("() => { scrollTo(0, 0); document.activeElement.blur(); }")
    for _ in range(most):
        page.keyboard.press("Tab")
        found = check(page, "focused")
        if found is None or places[:1] == [found["at"]]:
            break  # through, or at the beginning again
        if not found["seen"]:
            said.append(f"the focus is not seen: {found['name']}")
        places.append(found["at"])
        names.append(found["name"])
    else:
        said.append(f"after {most} steps the tab key is not through")
    for (before, first), (after, second) in pairwise(zip(places, names, strict=True)):
        if after < before:
            said.append(f"the tab key goes back from {first} to {second}")
    if not places:
        said.append("the tab key reaches nothing")
    return said

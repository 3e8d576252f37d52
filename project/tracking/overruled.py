"""The remark about parameters for which ``mlflow run`` logged a default that was replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping

from project.support.escape import escape_markdown
from project.tracking.names import CONFIG_FILE, OVERRULED


def overruled_remark(tags: Mapping[str, str]) -> str:
    """A paragraph for the description of a root run with these tags; empty without such parameters.

    It begins with an empty line, so that it can be appended to any Markdown.
    """
    try:
        values = json.loads(tags.get(OVERRULED, "{}"))
        listed = ", ".join(f"{name}={value}" for name, value in values.items())
    except (ValueError, AttributeError):  # people can change tags
        return ""
    if not listed:
        return ""
    source = f" from {tags[CONFIG_FILE]}" if CONFIG_FILE in tags else ""
    text = f"Values{source} that differ from the defaults which mlflow run logged: {listed}."
    return f"\n\n{escape_markdown(text)}"

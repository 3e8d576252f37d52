"""The files of a taxonomy: the one that people edit, and the task card made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from project.config.config_file import safe_yaml
from project.data.card_errors import MAX_NAME
from project.data.label_names import folded_name
from project.data.tables import MAX_LABELS
from project.support.errors import AssayError
from project.taxonomy.labels import Label, Taxonomy

TAXONOMY = "taxonomy.yaml"
"""The file that people edit."""
CARD = "card.yaml"
MADE = "made.json"
"""The taxonomy as the texts were labelled by it, beside their labels."""

_HEAD = """\
# Edit this file, then run the entry point taxonomy again with the parameter taxonomy naming it.
# Rename or merge labels: give the new name, and name the old ones under was, as in
#   - name: Payment
#     definition: Bills, fees and refunds.
#     was: [Billing, Refunds]
# Drop a label: delete its entry. Its texts are labelled again.
# Add a label: write an entry without was. All texts are labelled again.
"""


class EditedLabel(NamedTuple):
    """A label of an edited file, and the names of those that it takes the place of."""

    label: Label
    was: tuple[str, ...]


class EditedTaxonomy(NamedTuple):
    """An edited file."""

    taxonomy: Taxonomy
    labels: tuple[EditedLabel, ...]


def as_yaml(taxonomy: Taxonomy) -> str:
    """The file for people."""
    content = {
        "use_case": taxonomy.use_case,
        "other": taxonomy.other,
        "labels": [
            {"name": label.name, "definition": label.definition} for label in taxonomy.labels
        ],
    }
    return _HEAD + _dump(content)


def as_card(taxonomy: Taxonomy, name: str, text_column: str, file: str) -> str:
    """The task card, as YAML.

    Parameters
    ----------
    taxonomy
        The labels.
    name
        Name of the task.
    text_column, file
        Where the texts are; ``file`` is named only, and ``data=`` gives it.
    """
    content = {
        "name": name,
        "title": taxonomy.use_case[:MAX_NAME],
        "source": {"file": file},
        "columns": {"text": text_column, "label": "label"},
        "description": taxonomy.description,
        "labels": list(taxonomy.names),
    }
    return "# Made from the taxonomy beside it; its labels were proposed by an LLM.\n" + _dump(
        content
    )


def as_json(taxonomy: Taxonomy) -> dict[str, Any]:
    """The taxonomy as values that JSON has."""
    return {
        "use_case": taxonomy.use_case,
        "other": taxonomy.other,
        "labels": [[label.name, label.definition] for label in taxonomy.labels],
    }


def of_json(content: dict[str, Any]) -> Taxonomy:
    """The taxonomy of :func:`as_json`."""
    labels = tuple(Label(name, definition) for name, definition in content["labels"])
    return Taxonomy(content["use_case"], labels, content["other"])


class Made(NamedTuple):
    """The taxonomy by which the texts of a folder were labelled, and the name of the LLM."""

    taxonomy: Taxonomy
    annotator: str


def made_json(made: Made) -> str:
    """The content of the file that :func:`read_made` reads."""
    return json.dumps({**as_json(made.taxonomy), "annotator": made.annotator}, indent=1)


def read_made(folder: Path) -> Made:
    """What the file beside the labels of a folder says.

    Raises AssayError if the folder has none.
    """
    path = folder / MADE
    try:
        content = json.loads(path.read_bytes())
        return Made(of_json(content), str(content.get("annotator", "")))
    except FileNotFoundError:
        raise AssayError(
            f"taxonomy must lie in the folder that -e taxonomy wrote, beside {MADE} and the "
            f"labels; {folder} has no {MADE}. Edit the file there, or copy it back."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise AssayError(
            f"{path} is not as -e taxonomy wrote it. Get it back from the artifacts of the run, "
            "or make the taxonomy again."
        ) from None


def read_edited(path: Path) -> EditedTaxonomy:
    """The taxonomy in an edited file, every rule checked. Raises AssayError where one is broken."""
    try:
        content = safe_yaml(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise AssayError(f"taxonomy file {path} does not exist. Give its path.") from None
    except OSError as error:
        raise AssayError(
            f"taxonomy file {path} cannot be read ({error.strerror}). Give the path of {TAXONOMY}."
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AssayError(f"taxonomy file {path} is not valid YAML: {reason}") from None
    keys = ("use_case", "other", "labels")
    if not isinstance(content, dict) or set(content) != set(keys):
        raise AssayError(
            f"taxonomy file {path} must have the keys {', '.join(keys)}, and no others."
        )
    use_case, other = (_line(path, key, content[key]) for key in keys[:2])
    entries = content["labels"]
    if not isinstance(entries, list) or not 1 <= len(entries) < MAX_LABELS:
        raise AssayError(
            f"taxonomy file {path}: labels must be a list of 1 to {MAX_LABELS - 1} entries."
        )
    edited = tuple(_entry(path, number, entry) for number, entry in enumerate(entries, start=1))
    taxonomy = Taxonomy(use_case, tuple(each.label for each in edited), other)
    _check_names(path, taxonomy, edited)
    return EditedTaxonomy(taxonomy, edited)


def _entry(path: Path, number: int, entry: Any) -> EditedLabel:
    """One entry of ``labels``, which is counted from 1."""
    where = f"labels, entry {number}"
    known = {"name", "definition", "was"}
    if not isinstance(entry, dict) or "name" not in entry or set(entry) - known:
        raise AssayError(
            f"taxonomy file {path}: {where} must have a name, and may have a definition and was; "
            f"got {str(entry)[:100]!r}."
        )
    name = _line(path, f"{where}, name", entry["name"])
    definition = str(entry.get("definition") or "")
    was = entry.get("was", [])
    if not isinstance(was, list) or not all(isinstance(one, str | int | float) for one in was):
        raise AssayError(
            f"taxonomy file {path}: {where}, was must be a list of names, as in was: [Billing]; "
            f"got {str(was)[:100]!r}."
        )
    return EditedLabel(Label(name, " ".join(definition.split())), tuple(map(str, was)))


def _line(path: Path, key: str, value: Any) -> str:
    """A value as one line; AssayError if it is empty, too long or no text."""
    text = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
    limit = MAX_NAME if "name" in key or key == "other" else 10 * MAX_NAME
    if isinstance(value, bool) or not 0 < len(text) <= limit or not text.isprintable():
        raise AssayError(
            f"taxonomy file {path}: {key} must be a text of 1 to {limit} characters; got "
            f"{str(value)[:100]!r}. Quote words such as yes, no, on and off."
        )
    return text


def _check_names(path: Path, taxonomy: Taxonomy, edited: tuple[EditedLabel, ...]) -> None:
    """Raise AssayError for names that cannot be told apart, and labels replaced twice."""
    for what, names in (
        ("names", taxonomy.names),
        ("was", [name for each in edited for name in each.was]),
    ):
        folded = list(map(folded_name, names))
        twice = [name for name, one in zip(names, folded, strict=True) if folded.count(one) > 1]
        if twice:
            raise AssayError(
                f"taxonomy file {path}: {what} must differ, in more than upper and lower case; "
                f"{twice[0]!r} stands there twice. Merge the two entries."
            )


def _dump(content: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=96)
    return text

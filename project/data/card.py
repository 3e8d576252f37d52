"""A task card: a YAML file that describes a task. See ``project/data/tasks/`` for examples.

:class:`Card` lists the keys and their rules, which pydantic checks; :func:`load_card` turns its
first error into one line.
"""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PositiveInt,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from project.config.config_file import safe_yaml
from project.config.experiment import CARD_DEFAULTS, defaults_of_card
from project.config.label_type import MAX_SEPARATOR, MULTI, USUAL_SEPARATOR, check_steps
from project.data.card_errors import MAX_NAME, QUOTE, card_error
from project.data.one_label import OneLabel, check_labels_of_sets
from project.data.tables import MAX_LABELS
from project.support.errors import AssayError, unknown_value
from project.support.escape import abridged

CARDS = Path(__file__).parent / "tasks"
_MAX_ADDRESS = 1000  # characters
_NO_CONTROL = r"^[^\p{Cc}\p{Zl}\p{Zp}]*$"  # no control characters, no line breaks
_HUB_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"


def _text_of_number(value: Any) -> Any:
    """A number as text: YAML reads unquoted digits as numbers."""
    return str(value) if isinstance(value, int | float) else value


def _single(value: Any) -> Any:
    """``value`` unless it is a list or a mapping, which YAML aliases can make endless."""
    if isinstance(value, list | tuple | set | dict):
        raise ValueError("not a single value")
    return value


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    """``labels``, which must look different and must not be blank."""
    written = {unicodedata.normalize("NFC", label.strip()) for label in labels}
    if len(written) < len(labels) or not all(written):
        raise ValueError("repeated or blank")
    return labels


def _checked_defaults(values: dict[str, str]) -> dict[str, Any]:
    """The values as the parameters' own rules read them; YAML would read 1e-4 as text."""
    for name in values:
        if name not in CARD_DEFAULTS:
            raise unknown_value("a key", name, CARD_DEFAULTS)
    return defaults_of_card(values)


def _line(max_length: int, pattern: str = _NO_CONTROL) -> StringConstraints:
    """The rule of a text that stands on one line and is not empty."""
    return StringConstraints(strict=True, min_length=1, max_length=max_length, pattern=pattern)


# The types of the keys of a card. pydantic checks them, and card_errors names their rules.
_Line = Annotated[str, _line(MAX_NAME)]
_Address = Annotated[str, _line(_MAX_ADDRESS)]
_HubName = Annotated[str, _line(_MAX_ADDRESS, _HUB_NAME)]
_Text = Annotated[str, Field(strict=True), BeforeValidator(_text_of_number)]
_Scalar = Annotated[str, PlainValidator(lambda value: str(_single(value)))]
_Size = Annotated[PositiveInt, Field(strict=True)]


class _Section(BaseModel):
    """A mapping in the card, in which unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CardSource(_Section):
    """Where the data are: a file beside the card, a data set of the hub, or a download by hand.

    ``header`` names the columns of a CSV file without a header. ``splits`` maps splits of the hub
    to those of the task. What the card does not name is empty.
    """

    file: _Address = ""
    hub: _HubName = ""
    revision: _Address = ""
    config: _Address = ""
    splits: dict[_Scalar, _Line] = Field(default_factory=dict)
    download: _Address = ""
    header: tuple[_Line, ...] = Field(default=(), min_length=1)

    @model_validator(mode="after")
    def _check_one_is_set(self) -> CardSource:
        if not (self.file or self.hub or self.download):
            raise ValueError("'source' must have one of file, hub, download.")
        return self


class CardColumns(_Section):
    """Columns of the data; ``id`` and ``split`` are empty where the card names none.

    With ``split: none`` no column assigns splits.
    """

    text: _Scalar
    label: _Scalar
    id: _Scalar = ""
    split: _Scalar = ""


class CardSizes(_Section):
    """The largest size of each split; train and test as in the paper, Appendix A."""

    demonstration: _Size = 100
    train: _Size = 5000
    validation: _Size = 500
    test: _Size = 2000


class Card(_Section):
    """A checked task card.

    ``labels`` have an order where ``label_type`` is ordinal. Where it is multi, a text may have
    several of them or none, with ``separator`` between them. ``values`` maps labels in the data to
    those of ``labels``, ``gold_probabilities`` every label to the column with its human votes, as
    counts or shares; it is empty without votes. ``defaults`` are values for parameters that the
    user leaves at ``auto``.
    """

    name: Annotated[_Line, BeforeValidator(_text_of_number)]
    source: CardSource
    columns: CardColumns
    description: Annotated[_Text, AfterValidator(lambda text: " ".join(text.split()))]
    labels: Annotated[
        tuple[_Line, ...],
        Field(min_length=2, max_length=MAX_LABELS),
        AfterValidator(_distinct),
    ]
    label_type: Literal["nominal", "ordinal", "multi"] = "nominal"
    separator: Annotated[str, Field(strict=True, min_length=1, max_length=MAX_SEPARATOR)] = (
        USUAL_SEPARATOR
    )
    title: _Text = ""
    values: dict[_Scalar, _Scalar] = Field(default_factory=dict)
    gold_probabilities: dict[_Scalar, Annotated[str, PlainValidator(_single)]] = Field(
        default_factory=dict
    )
    split: CardSizes = CardSizes()
    defaults: Annotated[dict[_Scalar, _Scalar], AfterValidator(_checked_defaults)] = Field(
        default_factory=dict
    )
    licence: _Text = ""
    citation: _Text = ""
    _path: Path = PrivateAttr(default=Path())
    _one: OneLabel | None = PrivateAttr(default=None)

    @property
    def one_label(self) -> OneLabel | None:
        """The label of a card with several labels a text that is asked about; None for others."""
        return self._one

    @property
    def path(self) -> Path:
        """The file of the card."""
        return self._path

    @property
    def sizes(self) -> dict[str, int]:
        """The largest size of each split."""
        return self.split.model_dump()

    @model_validator(mode="after")
    def _check_labels(self) -> Card:
        for value in self.values.values():
            if value not in self.labels:
                raise ValueError(f"'values' maps to {value!r}, which is not in 'labels'.")
        check_steps(self.label_type, len(self.labels))
        if self.label_type == MULTI and self.gold_probabilities:
            raise ValueError("'gold_probabilities' needs one label a text. Leave the key out.")
        if self.label_type == MULTI:
            check_labels_of_sets(self.labels, self.separator)
        votes = self.gold_probabilities
        columns = list(votes.values())
        # An empty mapping in the card is an error; a card without the key is not.
        if "gold_probabilities" in self.model_fields_set and (
            set(votes) != set(self.labels)
            or not all(isinstance(column, str) and column.strip() for column in columns)
            or len(set(columns)) < len(columns)
        ):
            raise ValueError(
                "'gold_probabilities' must map each of the labels "
                f"{', '.join(self.labels)}, and nothing else, to a column of its own; got "
                f"{abridged(votes)}. {QUOTE}, or leave the key out."
            )
        return self


def load_card(task: str) -> Card:
    """The card of a task known by name, or at a path ending in ``.yaml``.

    Raises AssayError for a card that does not exist or breaks a rule.
    """
    known = sorted(path.stem for path in CARDS.glob("*.yaml"))
    is_path = task.endswith((".yaml", ".yml"))
    path = Path(task).expanduser() if is_path else CARDS / f"{task}.yaml"
    if not is_path and task not in known:
        way_out = "Or give the path of your own card, ending in .yaml."
        raise unknown_value("task", task, known, way_out)
    if not path.is_file():
        raise AssayError(
            f"task card {path} does not exist. Give the path of a card, or one of "
            f"{', '.join(known)}."
        )
    return _checked_card(path, path.read_bytes())


# Cached, because several parts of a run load the same card. The key holds the bytes of the file,
# so that a file which has changed is read again.
@functools.lru_cache(maxsize=8)
def _checked_card(path: Path, data: bytes) -> Card:
    """The card in ``data``, the content of the file at ``path``; AssayError if it breaks a rule."""
    content = _mapping(path, data)
    try:
        card = Card.model_validate(content)
    except ValidationError as error:
        raise card_error(path, content, error, Card) from None
    card._path = path
    return card


def _mapping(path: Path, data: bytes) -> dict[str, Any]:
    """The mapping in a YAML file, without required keys that are empty.

    An empty key is thus reported like a missing one.
    """
    required = [name for name, field in Card.model_fields.items() if field.is_required()]
    try:
        content = safe_yaml(data.decode("utf-8"))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # ValueError and OverflowError: repeated names, long numbers; RecursionError: deep nesting
        reason = " ".join(str(error).split())[:300]
        raise AssayError(f"task card {path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise AssayError(f"task card {path} must be a mapping with the keys {', '.join(required)}.")
    return {key: value for key, value in content.items() if value or key not in required}

"""Parameters of the entry point ``init``: the file to look at, and what is known about it."""

from __future__ import annotations

from project.config.fields import AUTO, ConfigSection, parameter, section
from project.config.label_type import MAX_SEPARATOR, MULTI, NOMINAL
from project.config.lists import split_list
from project.support.errors import AssayError

NONE = "none"
"""In place of a column's name: the file has no such column."""


@section
class InitConfig(ConfigSection):
    """The file, and what is known about it already; the rest is proposed."""

    data: str = parameter(
        default="",
        help="file to look at: .csv, .tsv, .jsonl, .json or .parquet; python -m entrypoints.init "
        "takes it without a name, too",
        everyday=True,
    )
    text_column: str = parameter(
        default="", help="column with the text; empty: proposed", everyday=True
    )
    label_column: str = parameter(
        default="",
        help="column with labels that people gave, or none; where each label has a column with 1 "
        "and 0, their names with commas between them, or such as is_{label}; empty: proposed",
        everyday=True,
    )
    label_type: str = parameter(
        default=AUTO,
        help="nominal: a text has one label; multi: it may have several, or none; auto: what the "
        "label column looks like",
        choices=(AUTO, NOMINAL, MULTI),
        everyday=True,
    )
    separator: str = parameter(
        default="",
        help="what stands between the labels of a cell where a text may have several; empty: "
        "proposed",
    )
    id_column: str = parameter(default="", help="column with a unique id, or none; empty: proposed")
    group: str = parameter(
        default="",
        help="column with what several texts share, such as their author, or none; empty: proposed",
    )
    recorded_columns: str = parameter(
        default="",
        help="columns with labels of an LLM, comma-separated, or none; empty: proposed",
        everyday=True,
    )
    labels: str = parameter(
        default="",
        help="all classes, comma-separated; empty: the labels that occur",
        everyday=True,
    )
    encoding: str = parameter(
        default=AUTO,
        help="encoding of a text file, such as cp1252 or utf-16-le; auto: UTF-8, or what the bytes "
        "look like",
    )
    name: str = parameter(
        default="",
        help="name of the task: the card is NAME.yaml, and the parameters NAME_run.yaml; empty: "
        "the file's name, and run.yaml",
    )
    folder: str = parameter(
        default="",
        help="folder for the card, the parameters and a copy of the data if one is needed; empty: "
        "that of the data",
    )
    overwrite: bool = parameter(
        default=False, help="replace files that init did not write, or that were changed since"
    )
    price_label: float = parameter(
        default=0.0, help="price of one human label, for the estimates", ge=0, le=1e9
    )
    price_input: float = parameter(
        default=0.0, help="price of a million prompt tokens, for the estimates", ge=0, le=1e9
    )

    @property
    def recorded(self) -> tuple[str, ...]:
        """The columns in ``recorded_columns``."""
        return split_list(self.recorded_columns)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names in ``labels``."""
        return split_list(self.labels)

    @property
    def has_sets(self) -> bool:
        """Whether the user says that a text may have several labels."""
        return self.label_type == MULTI or bool(self.separator)

    def __post_init__(self) -> None:
        """Refuse a separator of labels where a text has one, and one that no card takes."""
        if self.separator and self.label_type == NOMINAL:
            raise AssayError(
                f"separator must be empty with label_type={NOMINAL}, where a cell holds one label; "
                f"got {self.separator!r}. Leave one of the two out."
            )
        if len(self.separator) > MAX_SEPARATOR:
            raise AssayError(
                f"separator must have at most {MAX_SEPARATOR} characters; got {self.separator!r}."
            )

"""The texts of an experiment, their gold labels, and how they are split."""

from __future__ import annotations

from project.config.fields import ConfigSection, parameter, section


@section
class TaskConfig(ConfigSection):
    """The texts, the columns of their data, and the sizes of the splits."""

    task: str = parameter(
        default="catalogue",
        help="task: the name of a card (catalogue, imdb, ecommerce, manifestos, toxic) or the "
        "path of a card.yaml",
        everyday=True,
    )
    data: str = parameter(
        default="",
        help="file to read in place of the card's source: .csv, .jsonl or .parquet; empty: the "
        "card's source",
        everyday=True,
    )
    label: str = parameter(
        default="",
        help="one label of a card with label_type: multi, asked about by itself: yes or no; empty "
        "for other cards",
    )
    text_column: str = parameter(
        default="", help="column with the text; empty: the card's", everyday=True
    )
    label_column: str = parameter(
        default="", help="column with the gold label; empty: the card's", everyday=True
    )
    id_column: str = parameter(
        default="", help="column with a unique id; empty: the card's, else a hash of the text"
    )
    split_column: str = parameter(
        default="",
        help="column that assigns rows to train, validation or test, or none; empty: the card's, "
        "else a column named split",
    )
    where: str = parameter(
        default="",
        help="keep only rows with COLUMN=VALUE, also of files with labels that have the column; "
        "empty: all rows",
    )
    bad_rows: str = parameter(
        default="error",
        help="rows with a null label or an empty text: error stops the run, drop leaves them out "
        "and counts them",
        choices=("error", "drop"),
    )
    duplicates: str = parameter(
        default="keep_all",
        help="rows with the same text: keep_all puts all copies into one split, keep_one keeps one "
        "row of each text, with its most frequent label",
        choices=("keep_all", "keep_one"),
    )
    unlabelled: bool = parameter(
        default=False,
        help="use rows without a gold label as training texts that a person can label (entry point "
        "ask, then human=FILE); rows with a gold label go to the other splits first",
    )
    max_train: int | None = parameter(
        default=None,
        help="most training examples; auto: the card's limit (5000 in the paper)",
        ge=1,
    )
    max_validation: int | None = parameter(
        default=None, help="most validation examples; auto: the card's limit", ge=1
    )
    max_test: int | None = parameter(
        default=None, help="most test examples; auto: the card's limit (2000 in the paper)", ge=1
    )
    split_seed: int = parameter(default=0, help="seed of the split", ge=0)

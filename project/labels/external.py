"""Training labels that another program or person made."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from project.data.tables import LIKELIHOOD, PROBABILITY, check
from project.support.errors import AssayError

_DEFAULTS = {"source": "llm", "weight": 1.0}


def external_labels(
    table: pd.DataFrame, examples: pd.DataFrame, label_set: Sequence[str]
) -> pd.DataFrame:
    """The labels table of labels from a file.

    Parameters
    ----------
    table
        Rows with ``example_id`` and ``label``. Without ``source`` the labels count as an LLM's,
        without ``weight`` all count alike, and without ``probability.<label>`` for every label
        there are no soft labels; ``likelihood.<label>`` is that of the arms forward and evidence.
        Rows for other examples are ignored.
    examples
        The training examples; each must have one label.
    label_set
        All labels, in the task's order.

    Returns
    -------
    pandas.DataFrame
        A labels table in the order of ``examples``.

    Raises
    ------
    AssayError
        If a column or an example is missing, or an example is labelled twice.
    """
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(
            "a labels file must have the columns example_id and label; missing: "
            f"{', '.join(sorted(missing))}."
        )
    optional = [*_DEFAULTS]
    for prefix in (PROBABILITY, LIKELIHOOD):
        # They need a number for every class; otherwise these columns are ignored.
        of_classes = [prefix + name for name in label_set]
        optional += of_classes if set(of_classes) <= set(table.columns) else []
    columns = ["example_id", "label", *(name for name in optional if name in table.columns)]
    joined = examples[["example_id"]].merge(
        table[columns].astype({"example_id": str}), on="example_id", how="left"
    )
    _check_complete(joined, len(examples))
    for name, value in _DEFAULTS.items():
        joined[name] = joined[name] if name in joined.columns else value
    return check("labels", joined.assign(reason="given"), label_set)


def _check_complete(joined: pd.DataFrame, n: int) -> None:
    """Refuse labels that lack some of the ``n`` training examples, or label one twice."""
    if len(joined) > n:
        raise AssayError(
            f"a labels file must label every example once; {len(joined) - n} training examples are "
            "labelled twice."
        )
    absent = joined[joined["label"].isna()]
    if len(absent):
        raise AssayError(
            f"the labels file lacks {len(absent)} of {n} training examples, "
            f"{absent['example_id'].iloc[0]!r} among them."
        )

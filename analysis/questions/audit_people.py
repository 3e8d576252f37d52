"""Whether the people agree, and whether the verdict depends on whose labels are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.questions.audit_sentences import interval, points
from analysis.questions.audit_tables import shortened, to_fill_in
from analysis.render.section import Section, Table, columns

_MAX_TEXTS = 20


def people_section(result: Mapping[str, Any]) -> Section | None:
    """Agreement of people, person by person; None where no text was labelled by two of them."""
    people = result.get("people")
    if not people or not people["agreement"]:
        return None
    agreement = people["agreement"]
    tables = [
        _people_table(agreement, result["by_rater"]),
        _pairs_table(agreement),
        _classes_table(agreement),
    ]
    words = {word["verdict"] for word in result["by_rater"].values()}
    answer = (
        f"Krippendorff's alpha of {len(agreement['raters'])} people on {agreement['n_common']} "
        f"texts is {points(agreement['alpha'])}."
    )
    if "alpha_ordinal" in agreement:
        answer = (
            f"Krippendorff's ordinal alpha of {len(agreement['raters'])} people on "
            f"{agreement['n_common']} texts is {points(agreement['alpha_ordinal'])}; the nominal "
            f"one, for which near labels differ as much as far ones, {points(agreement['alpha'])}."
        )
    if len(words) > 1:
        answer += " The verdict depends on whose labels are taken."
    notes = [
        "against the others: each person's labels against the majority of the other people's. "
        "verdict and loss: if only the labels of this person counted.",
        _test_note(agreement["alternative_annotator_test"]),
    ]
    if people.get("settle"):
        tables.append(_settle_table(people["settle"]))
        notes.append(
            f"People differ on {len(people['settle'])} texts; audit_settle.csv has all of them. "
            "Fill in its column label and name the file in adjudicator."
        )
    return Section("audit_people", "Do the people agree?", answer, tables, notes=notes)


def _people_table(agreement: Mapping[str, Any], by_rater: Mapping[str, Any]) -> Table:
    """A row for each person: scores against the others, and the verdict by these labels alone."""
    import pandas as pd

    rows = []
    frame = []
    for name, scores in agreement["ceiling"]["raters"].items():
        alone = by_rater.get(name, {"verdict": "-", "loss": None})
        rows.append(
            [
                name,
                str(scores["n"]),
                points(scores["accuracy"]),
                points(scores["macro_f1"]),
                alone["verdict"],
                points(alone["loss"], sign=True),
            ]
        )
        frame.append(
            {
                "person": name,
                "n": scores["n"],
                **columns("accuracy", interval(scores["accuracy"])),
                **columns("macro_f1", interval(scores["macro_f1"])),
                "verdict": alone["verdict"],
                **columns("loss", interval(alone["loss"])),
            }
        )
    head = ["person", "texts", "accuracy", "macro-F1", "verdict", "loss"]
    return Table("audit_people", "against the others", head, rows, pd.DataFrame(frame))


def _settle_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """The texts on which people differ, ties first; the CSV file has a column to fill in."""
    import pandas as pd

    rows = [
        [
            shortened(str(entry.get("text", entry["example_id"]))),
            ", ".join(f"{person}: {label}" for person, label in entry["labels"].items()),
        ]
        for entry in entries[:_MAX_TEXTS]
    ]
    frame = [{**row, **row.pop("labels")} for row in to_fill_in(entries)]
    return Table("audit_settle", "to settle", ["text", "labels"], rows, pd.DataFrame(frame))


def _pairs_table(agreement: Mapping[str, Any]) -> Table:
    """A row for each pair of people."""
    import pandas as pd

    rows = [
        [
            " and ".join(pair["raters"]),
            str(pair["n_common"]),
            "-" if pair["agreement"] is None else f"{100 * pair['agreement']:.1f}",
            "-" if pair["kappa"] is None else f"{pair['kappa']:.2f}",
        ]
        for pair in agreement["pairs"]
    ]
    frame = [{**pair, "raters": " and ".join(pair["raters"])} for pair in agreement["pairs"]]
    head = ["pair", "texts", "% alike", "kappa"]
    return Table("audit_pairs", "pair by pair", head, rows, pd.DataFrame(frame))


def _classes_table(agreement: Mapping[str, Any]) -> Table:
    """A row for each class: how often a second person agrees where one has chosen it."""
    import pandas as pd

    rows = [[label, points(value)] for label, value in agreement["classes"].items()]
    frame = [
        {"class": label, **columns("agreement", interval(value))}
        for label, value in agreement["classes"].items()
    ]
    head = ["class", "% chosen by a second person too"]
    return Table("audit_people_classes", "class by class", head, rows, pd.DataFrame(frame))


def _test_note(test: Mapping[str, Any]) -> str:
    """The alternative annotator test in a sentence."""
    name = "The alternative annotator test (arXiv 2501.10970, epsilon 0.15)"
    if test["passes"] is None:
        return f"{name} was not made: {test['reason']}."
    outcome = "passes: the LLM may stand in for one of these people" if test["passes"] else "fails"
    return f"{name} {outcome}; winning rate {test['winning_rate']:.2f}."

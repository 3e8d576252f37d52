"""The tables of an audit's report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.questions.audit_figure import scores_figure
from analysis.questions.audit_sentences import interval, level_of_loss, points
from analysis.render.classes import FEW
from analysis.render.section import Section, Table, columns
from project.data.spreadsheet import safe_id

_MAX_TESTS = 10
_MAX_TEXT = 200
_CURVE_NOTE = (
    "What a classifier trained on human labels would reach is estimated from a small one, trained "
    "on the audit, and from how much more of the LLM's labels help. The intervals include the "
    "uncertainty of this."
)


def audit_table(
    name: str, heading: str, head: Sequence[str], rows: Sequence[Sequence[str]], frame: Any
) -> Table:
    """A table from its cells and from the records of its CSV file."""
    import pandas as pd

    return Table(name=name, heading=heading, head=head, rows=rows, frame=pd.DataFrame(frame))


def scores_section(result: Mapping[str, Any]) -> Section:
    """How good the labels and the classifiers are, and how far its trainings agree."""
    name = result["classifier_name"]
    agreement = result["agreement"]
    counted = f"{result['n_audit']} of {result['n_pool']} texts are labelled by people."
    notes = [_agreement_sentence(agreement, name, result["n_pool"])]
    if result["intervals"]:
        notes.insert(
            0,
            f"{counted} All numbers are x 100, with 95 % intervals, that of the loss with "
            f"{level_of_loss(result)}. The LLM's interval is for these texts; a classifier's is "
            "for new texts of the same kind.",
        )
        notes.append(_CURVE_NOTE)
    else:
        notes.insert(0, f"{counted} All numbers are x 100; no interval is promised.")
    if result["n_unanswered"]:
        notes.append(
            f"{result['n_unanswered']} texts have no usable label of the LLM. They are counted as "
            f"errors and left out of training.{_unusable(result)}"
        )
    return Section(
        "audit_scores",
        "How good are the labels, and a classifier trained on them?",
        "",
        [_scores_table(result)],
        [figure] if (figure := scores_figure(result)) else [],
        notes=[*notes, *result.get("notes", ())],
    )


def _unusable(result: Mapping[str, Any]) -> str:
    """The most frequent answers that are no class, and why they are none."""
    values = result.get("unusable", {})
    listed = ", ".join(f"{value} ({n})" for value, n in values.items())
    most = f" Most frequent: {listed}." if listed else ""
    why = result.get("why_unanswered", "")  # audits of older versions lack it
    return f"{most} {why}".rstrip()


def _agreement_sentence(agreement: Mapping[str, Any], name: str, n_pool: int) -> str:
    """How far trainings agree, and how they differ."""
    # Audits of older versions name neither the classifier nor the number of trainings.
    name = agreement.get("classifier", name)
    n_trainings = agreement.get("n_trainings", 5)
    n_texts = agreement.get("n_texts", n_pool)
    if n_texts == n_pool:
        how = f"Trained {n_trainings} times, each time on a random resample of the texts"
        where = "of the texts"
    else:
        how = f"Trained {n_trainings} times, with different seeds"
        where = f"of the {n_texts} audited texts, which it did not train on"
    return (
        f"{how}, the {name} gives {points(agreement['unchanged'])} % {where} the same class every "
        f"time. Krippendorff's alpha (nominal) is {points(agreement['alpha'])}."
    )


def _scores_table(result: Mapping[str, Any]) -> Table:
    """A row for people, the LLM, both classifiers and the loss; what is true, if it is known."""
    name = result["classifier_name"]
    who = {
        "llm": "the LLM",
        "classifier": "classifier, LLM's labels",
        "gold_trained": "classifier, human labels (estimated)",
        "loss": "loss by the LLM's labels",
    }
    metrics = ("accuracy", "macro_f1")
    rows = []
    frame = []
    for key, title in who.items():
        intervals = {metric: result[key][metric] for metric in metrics}
        rows.append([title, *(points(value) for value in intervals.values())])
        line: dict[str, Any] = {"who": key}
        for metric, value in intervals.items():
            line |= columns(metric, interval(value))
        frame.append(line)
    head = ["who", "accuracy", "macro-F1"]
    truth = result.get("truth")
    if truth:
        head += ["true accuracy", "true macro-F1"]
        for row, line, key in zip(rows, frame, who, strict=True):
            row += [f"{100 * truth[key][metric]:.1f}" for metric in metrics]
            line |= {f"true_{metric}": truth[key][metric] for metric in metrics}
    ceiling = ((result.get("people") or {}).get("agreement") or {}).get("ceiling")
    if ceiling:
        others = len(ceiling["raters"]) - 1
        title = "a person, against the " + ("other" if others == 1 else "majority of the others")
        scores = [points(ceiling[metric]) for metric in metrics]
        rows.insert(0, [title, *scores, *([""] * (len(head) - 3))])
    heading = f"classifier: {name}"
    return audit_table("audit_scores", heading, head, rows, frame)


def errors_section(result: Mapping[str, Any]) -> Section | None:
    """Where the LLM errs; None without audited texts."""
    classes = result["llm"].get("classes")
    if not classes:
        return None
    rows = [
        [label, str(item["n_gold"]), points(item["precision"]), points(item["recall"])]
        for label, item in classes.items()
    ]
    frame = [
        {
            "class": label,
            "n_gold": item["n_gold"],
            "n_given": item["n_given"],
            **columns("precision", interval(item["precision"])),
            **columns("recall", interval(item["recall"])),
        }
        for label, item in classes.items()
    ]
    head = ["class", "audited", "precision", "recall"]
    tables = [audit_table("audit_classes", "The LLM by class", head, rows, frame)]
    tables.append(_transition_table(result["llm"]["transition"]))
    tests = result["errors_by"][:_MAX_TESTS]
    if tests:
        tables.append(_folded(_slices_table(tests)))
    both = result["errors_overlap"]
    notes = [
        f"Of the audited texts, LLM and classifier are both wrong on {both['both']}, the LLM alone "
        f"on {both['llm_only']}, the classifier alone on {both['classifier_only']}.",
        "Intervals are widened so that all rows of a table, or all values of a column, are right "
        "at once with 95 %. p: permutation test that all values of a column have the same error "
        "rate, corrected for the number of columns (Holm).",
    ]
    return Section("audit_errors", "Where does the LLM err?", "", tables, notes=notes)


def _transition_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """Which label the LLM gives to texts of each class, as a map if the classes are few.

    Of many classes every pair that occurs is a row.
    """
    frame = [
        {"gold": cell["gold"], "given": cell["given"], **columns("share", interval(cell))}
        for cell in cells
    ]
    heading = "What the LLM makes of each class"
    golds = list(dict.fromkeys(cell["gold"] for cell in cells))
    if len(golds) <= FEW:
        givens = list(dict.fromkeys(cell["given"] for cell in cells))
        by_pair = {(cell["gold"], cell["given"]): cell for cell in cells}
        rows = [[gold, *(_pair_cell(by_pair, gold, given) for given in givens)] for gold in golds]
        shares = [
            [None, *((by_pair.get((gold, given)) or {}).get("estimate") for given in givens)]
            for gold in golds
        ]
        names = ["no label" if given is None else given for given in givens]
        table = audit_table("audit_transition", heading, ["human label", *names], rows, frame)
        units = ["rows; columns: the LLM's", *["%" for _ in givens]]
        return dataclasses.replace(table, shares=shares, units=units)
    seen = [cell for cell in cells if cell["estimate"]]
    rows = [
        [cell["gold"], "no label" if cell["given"] is None else cell["given"], points(cell)]
        for cell in seen
    ]
    head = ["human label", "LLM's label", "% of the class"]
    return _folded(audit_table("audit_transition", heading, head, rows, frame))


def _pair_cell(by_pair: Mapping[Any, Mapping[str, Any]], gold: str, given: str | None) -> str:
    """The share of a class that gets a label, in per cent; empty for a pair that cannot occur."""
    cell = by_pair.get((gold, given))
    return points(cell) if cell else ""


def _folded(table: Table) -> Table:
    """The table, shown on demand."""
    return dataclasses.replace(table, folded=True)


def _slices_table(tests: Sequence[Mapping[str, Any]]) -> Table:
    """Error rates by the values of each column."""
    rows = [
        [
            test["column"] if number == 0 else "",
            item["value"],
            str(item["n"]),
            points(item),
            f"{test['p_value']:.3f}" if number == 0 else "",
        ]
        for test in tests
        for number, item in enumerate(test["values"])
    ]
    frame = [
        {
            "column": test["column"],
            "value": item["value"],
            "n": item["n"],
            **columns("error_rate", interval(item)),
            "p_value": test["p_value"],
        }
        for test in tests
        for item in test["values"]
    ]
    head = ["column", "value", "audited", "% wrong", "p"]
    return audit_table("audit_errors_by", "The LLM's errors by column", head, rows, frame)


def shortened(text: str) -> str:
    """A text that fits into a cell."""
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT].rsplit(' ', 1)[0]} …"


def to_fill_in(texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a CSV file whose column ``label`` a person fills in."""
    return [{**entry, "example_id": safe_id(entry["example_id"]), "label": ""} for entry in texts]


def next_section(result: Mapping[str, Any]) -> Section | None:
    """Which texts to label next; None where none are named."""
    texts = result["next"]["texts"]
    if not texts:
        return None
    rows = [
        [
            shortened(str(entry.get("text", entry["example_id"]))),
            str(entry.get("llm") or "no label"),
            f"{100 * min(1.0, entry['disagreement']):.0f}",
        ]
        for entry in texts
    ]
    notes = [
        "% against: per cent of the trainings that predict another class than the LLM's; of "
        "equals, the text whose label is least probable comes first. Use the answers in place of "
        "the LLM's labels when you train. They are chosen by doubt and no random sample, so that "
        "they must not be added to a random audit."
    ]
    expected = result["next"]["expected_wrong"]
    if expected is not None:
        notes.insert(
            0,
            f"About {expected:.0f} of these {len(texts)} labels are probably wrong; of as many "
            f"random ones {result['next']['expected_wrong_random']:.0f} would be.",
        )
    table = audit_table("audit_next", "", ["text", "LLM", "% against"], rows, to_fill_in(texts))
    return Section(
        "audit_next", "Which texts should a person label next?", "", [table], notes=notes
    )

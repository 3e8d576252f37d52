"""The tables of the record of audits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.questions.audit_sentences import points
from analysis.render.section import Section, Table
from analysis.store.hits import Foretold, Simulated, StoredAudits

_SIZES = (0, 150, 350, 750)
"""Smallest number of audited texts of each row."""
_KINDS = {
    "llm": "the LLM",
    "classifier": "classifier",
    "gold_trained": "gold-trained",
    "loss": "loss",
}


def record_section(record: StoredAudits) -> Section:
    """Verdicts and estimates of all audits whose truth is known."""
    tables = []
    if record.simulated:
        tables += [_verdicts(record.simulated), _estimates(record.simulated)]
    if record.foretold:
        tables.append(_foretold(record))
    notes = [
        "right and wrong: the verdict against the true loss. covered: per cent of the intervals "
        "that hold the truth; they are 95 % intervals, and 90 % ones of the loss. Truth of "
        "simulated audits: human labels of the whole pool, cross-fitted."
    ]
    if record.n_unreadable:
        notes.append(f"{record.n_unreadable} audits could not be read and are left out.")
    answer = "" if tables else "The store holds no audit whose truth is known."
    if record.foretold:
        answer = _in_a_sentence(record.foretold[0])
    return Section("hits", "How often were audits right?", answer, tables, notes=notes)


def _in_a_sentence(item: Foretold) -> str:
    """What an audit foretold and what came out."""
    result = item.result
    return (
        f"On {item.experiment.params.get('task', '')}, the audit of {result['n_audit']} texts "
        f"foretold: {result['verdict']}, a loss of {points(result['loss']['macro_f1'], sign=True)} "
        f"points for a {result['classifier_name']}. In the experiment {item.classifier} "
        f"lost {100 * item.loss:+.1f} points."
    )


def _bucket(n_audit: int) -> str:
    """The row of an audit of this size."""
    low = max(size for size in _SIZES if size <= n_audit)
    above = [size for size in _SIZES if size > low]
    return f"{low} to {above[0] - 1}" if above else f"{low} and more"


def _by_size(simulated: Sequence[Simulated]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The results by classifier and size, from the smallest audits to the largest."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for audit in sorted(simulated, key=lambda audit: audit.result["n_audit"]):
        key = (audit.result["classifier_name"], _bucket(audit.result["n_audit"]))
        rows.setdefault(key, []).append(audit.result)
    return dict(sorted(rows.items(), key=lambda item: item[0][0]))  # sizes stay in their order


def is_right(result: dict[str, Any]) -> bool | None:
    """Whether the verdict agrees with the true loss; None where it could not tell."""
    is_safe = result["truth"]["loss"]["macro_f1"] <= result["tolerance"]
    return {"safe": is_safe, "not safe": not is_safe}.get(result["verdict"])


def _verdicts(simulated: Sequence[Simulated]) -> Table:
    """How many verdicts were right, wrong and open, by size."""
    import pandas as pd

    frame = []
    for (classifier, size), results in _by_size(simulated).items():
        words = [is_right(result) for result in results]
        frame.append(
            {
                "classifier": classifier,
                "audited": size,
                "audits": len(words),
                "right": words.count(True),
                "wrong": words.count(False),
                "cannot tell": words.count(None),
            }
        )
    rows = [[str(value) for value in line.values()] for line in frame]
    return Table("hits_verdicts", "verdicts", list(frame[0]), rows, pd.DataFrame(frame))


def _estimates(simulated: Sequence[Simulated]) -> Table:
    """Bias, error and coverage of every estimate of macro-F1, by size."""
    import pandas as pd

    frame = []
    for (classifier, size), results in _by_size(simulated).items():
        for kind, title in _KINDS.items():
            pairs = [
                (result[kind]["macro_f1"], result["truth"][kind]["macro_f1"])
                for result in results
                if result[kind]["macro_f1"]["low"] is not None
            ]
            if not pairs:
                continue
            errors = np.array([interval["estimate"] - truth for interval, truth in pairs])
            covered = [value["low"] <= truth <= value["high"] for value, truth in pairs]
            frame.append(
                {
                    "classifier": classifier,
                    "audited": size,
                    "macro-F1 of": title,
                    "audits": len(pairs),
                    "bias": 100 * float(errors.mean()),
                    "error": 100 * float(np.sqrt((errors**2).mean())),
                    "covered": 100 * float(np.mean(covered)),
                }
            )
    rows = [
        [
            str(line["classifier"]),
            str(line["audited"]),
            str(line["macro-F1 of"]),
            str(line["audits"]),
            f"{line['bias']:+.1f}",
            f"{line['error']:.1f}",
            f"{line['covered']:.0f}",
        ]
        for line in frame
    ]
    head = ["classifier", "audited", "macro-F1 of", "audits", "bias", "RMSE", "% covered"]
    return Table("hits_estimates", "estimates, x 100", head, rows, pd.DataFrame(frame))


def _foretold(record: StoredAudits) -> Table:
    """Every audit beside the experiment that followed it."""
    import pandas as pd

    frame = [
        {
            "audit": item.audit.run_id,
            "experiment": item.experiment.run_id,
            "task": item.experiment.params.get("task", ""),
            "verdict": item.result["verdict"],
            "foretold": item.result["loss"]["macro_f1"]["estimate"],
            "came out": item.loss,
            "classifier": item.classifier.replace(",", ""),
        }
        for item in record.foretold
    ]
    rows = [
        [
            item.experiment.params.get("task", ""),
            str(item.result["n_audit"]),
            item.result["verdict"],
            points(item.result["loss"]["macro_f1"], sign=True),
            f"{100 * item.loss:+.1f}",
            item.classifier.replace(",", ""),
        ]
        for item in record.foretold
    ]
    head = ["task", "audited", "verdict", "loss foretold", "loss that came out", "of"]
    heading = "audits and the experiments on the same task (another classifier)"
    return Table("hits_foretold", heading, head, rows, pd.DataFrame(frame))

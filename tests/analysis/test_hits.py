"""Which experiment shows what came true of an audit."""

import pytest

from analysis.store.hits import _follows
from project.tracking import Record

SAME = {"task": "catalogue", "data": "", "annotator": "vllm", "annotator_model": "m"}
BOTH = {"gold.macro_f1": 0.8, "llm.macro_f1": 0.7}


def record(started, params=SAME, metrics=BOTH):
    return Record(
        "run",
        "name",
        "FINISHED",
        params,
        metrics=metrics,
        tags={},
        experiment_id="1",
        started=started,
        artifact_uri="",
    )


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        (record(2), True),
        (record(1), False),  # it was known before the audit
        (record(2, {**SAME, "annotator_model": "another"}), False),
        (record(2, {**SAME, "recorded_columns": "gpt"}), False),
        (record(2, metrics={"gold.macro_f1": 0.8}), False),
    ],
)
def test_an_audit_is_judged_by_a_later_experiment_on_the_same_labels(experiment, expected):
    assert _follows(experiment, record(1)) is expected

"""The labels of an audit: how drawn texts without a label count."""

import numpy as np
import pandas as pd
import pytest

from entrypoints.wiring.audit_design import answered_probability, design_strata, design_table
from entrypoints.wiring.audit_encoder import check_encoder
from entrypoints.wiring.audit_labels import audit_sample, notes_on_audit
from entrypoints.wiring.text_task import task_of_texts
from project.config.audit import AuditConfig
from project.data.pool import Pool, with_human_labels
from project.support.errors import AssayError
from tests.helpers.audits import audit_of

GOLD = np.arange(300) % 2


def test_drawn_texts_without_a_label_lower_the_probability_of_the_others():
    """Half of one stratum and all of the other are labelled."""
    drawn = np.repeat([0.2, 0.8], [100, 40])
    answered = np.repeat([0.2, 0.8], [50, 40])

    found = answered_probability(answered, drawn)
    assert found == pytest.approx(np.repeat([0.1, 0.8], [50, 40]))
    # The weights of a stratum still add up to its texts in the pool.
    assert (1 / found[:50]).sum() == pytest.approx((1 / drawn[:100]).sum())


def test_a_complete_audit_keeps_its_probabilities():
    drawn = np.repeat([0.2, 0.8], [100, 40])

    assert (answered_probability(drawn, drawn) == drawn).all()


def test_an_encoder_needs_as_many_texts_to_train_on_as_are_audited():
    sample = audit_of(GOLD, 140)
    check_encoder(sample, np.arange(300), AuditConfig())

    with pytest.raises(AssayError, match="at least as many texts to train on as are audited, 140"):
        check_encoder(sample, np.arange(300) // 10, AuditConfig())
    with pytest.raises(AssayError, match="encoder must be linear with plan=true"):
        check_encoder(sample, np.arange(300), AuditConfig(plan=True))


@pytest.mark.parametrize(
    "probability",
    [
        pytest.param([None] * 4, id="chosen by a ranking"),
        pytest.param([0.5, None, None, None], id="asked after an audit"),
        pytest.param([1.0, 1.0, 0.0, 0.0], id="a ranking's, as earlier versions wrote it"),
    ],
)
def test_questions_that_were_not_drawn_at_random_are_no_design_of_an_audit(tmp_path, probability):
    path = tmp_path / "sampling.parquet"
    table = pd.DataFrame({"example_id": list("abcd"), "asked": [True, True, False, False]})
    table.assign(inclusion_probability=probability).to_parquet(path)

    with pytest.raises(AssayError, match="sampling.parquet is no random sample of the pool"):
        design_table(AuditConfig(audit_design=str(path)))

    drawn = table.assign(inclusion_probability=[0.5, 0.5, None, None])
    drawn.to_parquet(path)
    assert len(design_table(AuditConfig(audit_design=str(path)))) == 4


def pool_of(n):
    """A pool of texts whose ids are their numbers."""
    examples = pd.DataFrame({"example_id": [str(row) for row in range(n)]})
    examples = examples.assign(text=[f"text {row}" for row in range(n)], gold_label=None)
    return Pool(task_of_texts(examples, ("a", "b"), "numbers"), examples, ())


def design_file(path, **columns):
    """Strata of 60, 30 and 10 texts, of which 12, 12 and 4 are asked."""
    stratum = np.repeat([0, 1, 2], [60, 30, 10])
    place = np.arange(100) - np.array([0, 60, 90])[stratum]
    table = pd.DataFrame(
        {
            "example_id": [str(row) for row in range(100)],
            "asked": place < np.array([12, 12, 4])[stratum],
            "inclusion_probability": np.array([0.2, 0.4, 0.4])[stratum],
        }
    )
    table.assign(**columns).to_parquet(path)
    return stratum, AuditConfig(audit_design=str(path))


def test_strata_are_those_of_the_file_of_the_design(tmp_path):
    stratum, asked = design_file(tmp_path / "a.parquet", stratum=np.repeat([2, 7, 4], [60, 30, 10]))

    assert (design_strata(pool_of(100), asked) == stratum).all()
    # A text that the file lacks has no stratum, so that none is known.
    assert design_strata(pool_of(101), asked) is None


def test_strata_of_an_older_file_are_told_by_their_probabilities(tmp_path):
    stratum, asked = design_file(tmp_path / "a.parquet")
    found = design_strata(pool_of(100), asked)
    # Two strata with the same probability are one.
    assert (found == np.minimum(stratum, 1)).all()

    # Texts that were drawn each with its own probability have no strata.
    probability = np.linspace(0.1, 0.9, 100)
    _, asked = design_file(tmp_path / "b.parquet", inclusion_probability=probability)
    assert design_strata(pool_of(100), asked) is None


def test_a_note_says_where_limits_leave_the_strata_aside(tmp_path):
    _, asked = design_file(tmp_path / "a.parquet", stratum=np.repeat([0, 1, 2], [60, 30, 10]))
    labelled = [str(row) for row in [*range(12), *range(60, 72), 90, 91]]
    labels = pd.Series("a", index=labelled)

    too_few = notes(with_human_labels(pool_of(100), labels[:-1]), asked)
    assert "a stratum has fewer than two labelled texts" in too_few
    assert "strata" not in notes(with_human_labels(pool_of(100), labels), asked)
    assert "strata" not in notes(pool_of(100), asked)


def notes(pool, asked):
    return " ".join(notes_on_audit(pool, asked, audit_sample(pool, asked)))

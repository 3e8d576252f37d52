"""The verdict: what is refused, which number unblocks it, and how many more texts would decide."""

import dataclasses
import re

import numpy as np
import pytest

from project.audit.loss import LOSS_Z, Loss
from project.audit.verdict import (
    CANNOT_TELL,
    MIN_OF_CLASS,
    MIN_POOL,
    NOT_SAFE,
    SAFE,
    good_enough,
    refusal,
    verdict,
)
from project.stats.bootstrap import NO_INTERVAL, Interval
from tests.helpers.audits import audit_of

LABELS = ("cat", "dog", "eel")
SHARES = np.array([0.6, 0.3, 0.1])
GOLD = np.random.default_rng(0).choice(3, 2000, p=SHARES)


def audit(n=300, gold=GOLD, **more):
    return audit_of(gold, n, n_classes=3, **more)


def with_counts(counts, n_pool=2000):
    """An audit with so many texts of each class."""
    gold = np.repeat(np.arange(3), counts)
    sample = audit(len(gold), gold=np.resize(GOLD, n_pool))
    return dataclasses.replace(sample, gold=gold)


def loss_of(estimate, low, high, standard_error=0.02):
    interval = Interval(estimate, low, high)
    return Loss({}, {}, {"macro_f1": interval}, {"macro_f1": standard_error}, 0.0, 0.02)


def refused(sample, shares=SHARES, labels=LABELS):
    needs = refusal(sample, shares, labels)
    assert needs is not None
    return needs


def undecided(loss):
    """What would decide at a tolerance of 2 points."""
    found = verdict(audit(), loss, 0.02)
    assert found.word == CANNOT_TELL
    return found.needs


def test_an_audit_with_enough_of_all_is_not_refused():
    assert refusal(audit(), SHARES, LABELS) is None
    enough = with_counts([MIN_OF_CLASS] * 3, n_pool=MIN_POOL)
    assert refusal(enough, SHARES, LABELS) is None


def test_no_audited_text_is_refused_and_a_number_named():
    needs = refused(audit(0))

    assert "no text of the pool has a human label" in needs.reason
    assert needs.more_audited == 250


def test_an_unknown_design_is_refused_and_says_what_to_set():
    needs = refused(audit(design="unknown"))

    assert "audit_design=random" in needs.reason
    assert needs.more_audited == 250


@pytest.mark.parametrize("design", ["random", "unknown"])
@pytest.mark.parametrize("n", [0, 30])
def test_no_more_texts_are_asked_for_than_the_pool_has(design, n):
    needs = refused(audit(n, gold=GOLD[:120], design=design))

    assert needs.more_audited <= 120
    assert needs.more_pool == MIN_POOL - 120


def test_a_small_pool_is_refused_with_the_texts_that_it_lacks():
    needs = refused(audit(100, gold=GOLD[: MIN_POOL - 3]))

    assert f"the pool has {MIN_POOL - 3} texts" in needs.reason
    assert (needs.more_audited, needs.more_pool) == (0, 3)


def test_a_rare_class_is_refused_with_the_texts_that_would_probably_have_enough_of_it():
    needs = refused(with_counts([200, 90, 4]))

    assert needs.reason == "class 'eel' has 4 audited texts, and each class needs 10"
    assert needs.more_audited == 60  # 6 more of a class with a tenth of the pool
    assert needs.join_classes == ("eel", "dog")


def test_a_rarer_class_takes_more_texts():
    def more(share):
        return refused(with_counts([200, 90, 4]), np.array([0.6, 0.3, share]), LABELS).more_audited

    assert more(0.02) == 300 > more(0.1)


def test_a_class_that_is_nowhere_needs_other_texts_or_other_classes():
    needs = refused(with_counts([200, 90, 0]), np.array([0.7, 0.3, 0.0]), LABELS)

    assert needs.more_audited is None
    assert "too few of it: add texts" in needs.reason
    assert needs.join_classes == ("eel", "dog")


def test_classes_are_joined_until_they_have_enough_texts_together():
    labels = ("ant", "bee", "cat", "dog", "eel")
    counts = [3, 100, 4, 50, 2]
    sample = dataclasses.replace(
        with_counts([159, 0, 0]), gold=np.repeat(np.arange(5), counts), n_classes=5
    )

    # 2 and 3 and 4 are 9: dog is joined as well.
    needs = refused(sample, np.full(5, 0.2), labels)
    assert needs.join_classes == ("eel", "ant", "cat", "dog")


def test_classes_are_not_joined_to_a_single_one():
    needs = refused(
        dataclasses.replace(with_counts([100, 5, 0]), n_classes=2), SHARES[:2], LABELS[:2]
    )

    assert needs.join_classes == ()


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.03, 0.02, SAFE),
        (0.021, 0.05, NOT_SAFE),
        (-0.01, 0.021, CANNOT_TELL),
        (0.02, 0.05, CANNOT_TELL),
    ],
)
def test_the_verdict_is_the_side_of_the_tolerance_on_which_the_interval_lies(low, high, word):
    found = verdict(audit(), loss_of((low + high) / 2, low, high), 0.02)

    assert found.word == word
    assert (found.needs.reason == "") == (word != CANNOT_TELL)


def test_an_undecided_verdict_names_the_limits_and_the_tolerance():
    needs = undecided(loss_of(-0.04, -0.09, 0.021))

    assert "between −9.0 and 2.1 points, on both sides of the 2.0" in needs.reason


def test_more_texts_are_those_with_which_the_limit_would_reach_the_tolerance():
    needs = undecided(loss_of(-0.02, -0.08, 0.03, standard_error=0.03))

    # Of 100 estimates 80 are less than this beyond the truth: 0.8416 is the normal quantile.
    n = 300 + needs.more_audited
    reach = (LOSS_Z + 0.8416) * np.sqrt((0.03**2 + 0.02**2) * 300 / n)
    assert reach == pytest.approx(0.04, rel=1e-3)


def test_fewer_texts_decide_where_the_estimate_is_farther_from_the_tolerance():
    def more(estimate):
        loss = loss_of(estimate, estimate - 0.2, estimate + 0.2, standard_error=0.04)
        return undecided(loss).more_audited

    assert 0 < more(-0.09) < more(-0.07) < more(-0.06)
    assert more(0.13) == pytest.approx(more(-0.09), abs=1)


def test_an_estimate_at_the_tolerance_is_decided_by_no_audit():
    needs = undecided(loss_of(0.02, -0.03, 0.09))

    assert needs.more_audited is None
    assert "5000 audited texts would probably not decide it" in needs.reason


def test_a_pool_that_is_too_small_to_decide_is_named():
    loss = loss_of(-0.025, -0.1, 0.08, standard_error=0.05)
    needs = undecided(loss)

    assert needs.more_audited is None
    assert re.search(r"About [\d,]+ audited texts decide it with a chance of 80 %", needs.reason)


@pytest.mark.parametrize(
    ("interval", "at_least", "answer"),
    [
        (Interval(0.8, 0.7, 0.9), 0.7, "yes"),
        (Interval(0.8, 0.7, 0.9), 0.75, CANNOT_TELL),
        (Interval(0.8, 0.7, 0.9), 0.9, CANNOT_TELL),
        (Interval(0.8, 0.7, 0.9), 0.91, "no"),
        (NO_INTERVAL, 0.5, CANNOT_TELL),
        (NO_INTERVAL, None, ""),
    ],
)
def test_a_score_is_good_enough_where_its_whole_interval_is(interval, at_least, answer):
    assert good_enough(interval, at_least) == answer


def test_all_classes_that_are_too_rare_are_joined():
    needs = refused(with_counts([8, 9, 40]))
    assert needs.join_classes == LABELS[:2]
    # Two classes with nothing else to tell apart cannot be joined.
    assert refused(with_counts([8, 9, 9])).join_classes == ()

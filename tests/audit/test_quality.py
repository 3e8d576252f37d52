"""The quality of labels on the audit: limits that hold, and never without a width."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from project.audit.quality import class_sums, macro_f1_interval, quality, transition
from project.audit.sample import AuditSample
from project.stats.noise import noise_transition
from project.stats.survey import wilson
from tests.helpers.audits import audit_of, corrupted

GOLD = np.random.default_rng(0).choice(3, 1000, p=[0.5, 0.3, 0.2])
LLM = corrupted(GOLD, 0.15, 3)


def judged(n=200, given=LLM, **changes):
    sample = audit_of(GOLD, n, n_classes=3)
    sample = dataclasses.replace(sample, **changes)
    return sample, given[sample.indices]


def width(interval):
    return interval.high - interval.low


def test_estimates_are_those_of_scikit_learn():
    sample, given = judged()
    found = quality(sample, given)

    assert found.accuracy.estimate == pytest.approx((given == sample.gold).mean())
    assert found.macro_f1.estimate == pytest.approx(f1_score(sample.gold, given, average="macro"))
    precision = precision_score(sample.gold, given, average=None)
    assert [item.precision.estimate for item in found.classes] == pytest.approx(precision)
    recall = recall_score(sample.gold, given, average=None)
    assert [item.recall.estimate for item in found.classes] == pytest.approx(recall)
    assert [item.n_gold for item in found.classes] == np.bincount(sample.gold).tolist()
    assert [item.n_given for item in found.classes] == np.bincount(given).tolist()


def test_weighted_estimates_are_those_of_scikit_learn():
    probability = np.random.default_rng(1).uniform(0.05, 0.9, 200)
    sample, given = judged(inclusion_probability=probability)
    found = quality(sample, given)

    f1 = f1_score(sample.gold, given, average="macro", sample_weight=1 / probability)
    assert found.macro_f1.estimate == pytest.approx(f1)
    right = np.average(given == sample.gold, weights=1 / probability)
    assert found.accuracy.estimate == pytest.approx(right)


def test_limits_of_accuracy_are_wilsons_for_the_part_of_the_pool_that_is_not_audited():
    sample, given = judged(200)
    share = (given == sample.gold).mean()

    # s^2 of a sample without replacement, 4/5 of the pool not sampled: n - 1 over 4/5.
    assert quality(sample, given).accuracy[1:] == pytest.approx(wilson(share, 199 / 0.8))


def test_no_label_counts_as_wrong():
    sample, given = judged()
    none = np.where(given == 2, -1, given)
    found = quality(sample, none)

    assert found.accuracy.estimate == pytest.approx((none == sample.gold).mean())
    assert found.classes[2].recall.estimate == 0
    assert found.classes[2].n_given == 0
    assert np.isnan(found.classes[2].precision.estimate)
    expected = f1_score(sample.gold, none, average="macro", labels=[0, 1, 2], zero_division=0)
    assert found.macro_f1.estimate == pytest.approx(expected)


def test_limits_of_classes_hold_together_and_are_wider_than_that_of_one_share():
    sample, given = judged()
    recall = quality(sample, given).classes[1].recall
    rows = sample.gold == 1

    # Bonferroni over precision and recall of 3 classes; 4/5 of the pool not audited.
    size = (rows.sum() - 1) / 0.8
    assert recall[1:] == pytest.approx(wilson(recall.estimate, size, 1 - 0.05 / 6))
    assert recall.low < wilson(recall.estimate, size)[0]


def test_limits_shrink_with_the_audited_share_of_the_pool():
    sample, given = judged(200)
    in_endless_pool = dataclasses.replace(
        sample, n_pool=10**6, inclusion_probability=np.full(200, 2e-4)
    )
    whole = dataclasses.replace(sample, n_pool=200, inclusion_probability=np.ones(200))
    here = macro_f1_interval(sample, given)
    there = macro_f1_interval(in_endless_pool, given)

    # 4/5 of the pool are not audited.
    assert width(here) == pytest.approx(np.sqrt(0.8) * width(there), rel=1e-3)
    assert width(macro_f1_interval(whole, given)) == 0
    assert width(quality(whole, given).accuracy) == 0


@pytest.mark.parametrize("n", [20, 200])
def test_without_an_error_in_the_audit_limits_keep_a_width(n):
    sample, _ = judged(n)
    found = quality(sample, sample.gold)

    assert found.macro_f1.estimate == pytest.approx(1)
    # Less than the rule of three by far would not be honest.
    assert 1 / n < width(found.macro_f1) < 12 / n
    assert width(found.accuracy) > 2 / n
    assert all(width(item.recall) > 0 for item in found.classes)


def stratified(stratum, taken, seed):
    """An audit with so many texts of each stratum."""
    random = np.random.default_rng(seed)
    indices = np.concatenate(
        [random.permutation(np.flatnonzero(stratum == code))[:n] for code, n in enumerate(taken)]
    )
    probability = np.array(taken) / np.bincount(stratum)
    return AuditSample(
        indices, GOLD[indices], probability[stratum[indices]], 1000, 3, stratum=stratum
    )


def test_strata_with_different_errors_hold_the_pools_quality_with_narrower_limits():
    zone = (np.arange(1000) % 10 < 3).astype(int)
    llm = np.where(zone, corrupted(GOLD, 0.5, 3), corrupted(GOLD, 0.02, 3))
    true = f1_score(GOLD, llm, average="macro")
    recall = recall_score(GOLD, llm, average=None)
    inside, widths = [], []
    for seed in range(60):
        sample = stratified(zone, (100, 150), seed)
        found = quality(sample, llm[sample.indices])
        aside = quality(dataclasses.replace(sample, stratum=None), llm[sample.indices])
        widths.append(
            [width(item) for one in (found, aside) for item in (one.accuracy, one.macro_f1)]
        )
        inside.append(
            [found.macro_f1.low <= true <= found.macro_f1.high]
            + [
                item.recall.low <= share <= item.recall.high
                for item, share in zip(found.classes, recall, strict=True)
            ]
        )

    assert np.mean(inside, axis=0).min() >= 0.9
    accuracy, macro_f1, accuracy_aside, macro_f1_aside = np.mean(widths, axis=0)
    assert accuracy < 0.85 * accuracy_aside
    assert macro_f1 < 0.85 * macro_f1_aside


def test_the_recall_of_a_class_holds_texts_that_other_strata_may_hide():
    """A tenth of the class has another label of the LLM, a large stratum that is hardly sampled."""
    gold = np.repeat([0, 1], [900, 100])
    llm = gold.copy()
    llm[900:910] = 0
    inside = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        indices = np.concatenate(
            [random.permutation(np.flatnonzero(llm == code))[:n] for code, n in enumerate((60, 40))]
        )
        probability = np.array([60 / 910, 40 / 90])[llm[indices]]
        sample = AuditSample(indices, gold[indices], probability, 1000, 2, stratum=llm)
        recall = quality(sample, llm[indices]).classes[1].recall
        inside.append(recall.low <= 0.9 <= recall.high)

    assert np.mean(inside) >= 0.95


@pytest.mark.parametrize("error", [0.02, 0.3])
def test_limits_of_macro_f1_hold_the_score_of_the_pool(error):
    llm = corrupted(GOLD, error, 3, seed=2)
    true = f1_score(GOLD, llm, average="macro")
    inside = []
    for seed in range(150):
        sample = audit_of(GOLD, 150, seed=seed)
        interval = macro_f1_interval(sample, llm[sample.indices])
        assert interval.low <= interval.estimate <= interval.high
        inside.append(interval.low <= true <= interval.high)

    assert np.mean(inside) >= 0.9


def test_documents_make_limits_wider():
    # Texts of a document are right or wrong together.
    document = np.arange(1000) // 10
    llm = np.where(np.random.default_rng(3).random(100)[document] < 0.2, (GOLD + 1) % 3, GOLD)
    alone = audit_of(GOLD, 1, n_classes=3)
    indices = np.flatnonzero(document % 3 == 0)
    sample = dataclasses.replace(
        alone,
        indices=indices,
        gold=GOLD[indices],
        inclusion_probability=np.full(len(indices), 0.34),
    )
    in_documents = dataclasses.replace(sample, groups=document[indices])
    given = llm[indices]

    for score in ("accuracy", "macro_f1"):
        plain = getattr(quality(sample, given), score)
        grouped = getattr(quality(in_documents, given), score)
        assert width(grouped) > 1.8 * width(plain)


def test_class_sums_are_weighted_counts():
    gold = np.array([0, 0, 1, 1])
    given = np.array([0, 1, 1, -1])
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    hits, n_gold, n_given = class_sums(gold, given, 2, weights)

    assert hits == pytest.approx(np.array([[0.1, 0.3], [0.25, 0.25]]))
    assert n_gold == pytest.approx(np.array([[0.3, 0.7], [0.5, 0.5]]))
    assert n_given == pytest.approx(np.array([[0.1, 0.5], [0.25, 0.5]]))


def test_the_transition_counts_labels_and_no_label_with_exact_limits():
    sample, given = judged()
    given = np.where(np.arange(200) < 10, -1, given)
    found = transition(sample, given)
    counts = np.zeros((3, 4), dtype=int)
    np.add.at(counts, (sample.gold, np.where(given < 0, 3, given)), 1)

    assert found.share == pytest.approx(counts / counts.sum(axis=1, keepdims=True))
    assert found.low == pytest.approx(noise_transition(counts).low)
    assert found.high == pytest.approx(noise_transition(counts).high)
    assert (found.low <= found.share).all()
    assert (found.share <= found.high).all()


@pytest.mark.parametrize("reason", ["weights", "documents"])
def test_a_transition_has_no_exact_limits_where_texts_are_not_drawn_alike(reason):
    random = np.random.default_rng(4)
    if reason == "weights":
        sample, given = judged(inclusion_probability=random.uniform(0.1, 1, 200))
    else:
        sample, given = judged(groups=np.arange(200) // 4)
    found = transition(sample, given)
    weights = sample.design.weights

    expected = np.average(given[sample.gold == 1] == 0, weights=weights[sample.gold == 1])
    assert found.share[1, 0] == pytest.approx(expected)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()


def test_a_class_without_an_audited_text_has_no_transition():
    sample, given = judged(gold=np.zeros(200, dtype=int))

    assert np.isnan(transition(sample, given).share[1:]).all()
    assert np.isnan(quality(sample, given).classes[1].recall.estimate)

"""Where the LLM errs: differences that are planted are found, and chance is not."""

import dataclasses

import numpy as np
import pytest

from project.audit.sample import AuditSample
from project.audit.slices import error_slices, length_classes, overlap
from project.stats.survey import Design, share_interval
from tests.helpers.audits import audit_of

N = 150
GOLD = np.arange(1000) % 2
SAMPLE = audit_of(GOLD, N)


def llm_wrong_on(wrong):
    """Labels of the audited texts that are wrong on these."""
    return np.where(wrong, 1 - SAMPLE.gold, SAMPLE.gold)


def values_of(codes):
    return [f"v{code}" for code in codes]


def test_a_planted_difference_is_found_and_stands_first():
    random = np.random.default_rng(0)
    column = random.integers(0, 3, N)
    wrong = random.random(N) < np.where(column == 1, 0.6, 0.1)
    columns = {"chance": values_of(random.integers(0, 3, N)), "year": values_of(column)}
    tests = error_slices(SAMPLE, llm_wrong_on(wrong), columns)

    assert [test.column for test in tests] == ["year", "chance"]
    assert tests[0].p_value < 0.01
    assert tests[1].p_value > 0.05
    worst = tests[0].slices[0]
    assert (worst.column, worst.value, worst.n) == ("year", "v1", (column == 1).sum())
    assert worst.error_rate.estimate == pytest.approx(wrong[column == 1].mean())
    rates = [item.error_rate.estimate for item in tests[0].slices]
    assert rates == sorted(rates, reverse=True)


def test_without_a_difference_p_values_are_uniform():
    random = np.random.default_rng(1)
    p_values = []
    for _ in range(150):
        wrong = random.random(N) < 0.3
        column = values_of(random.integers(0, 4, N))
        (test,) = error_slices(SAMPLE, llm_wrong_on(wrong), {"column": column})
        p_values.append(test.p_value)

    shares = [np.mean(np.array(p_values) <= level) for level in (0.05, 0.2, 0.5, 0.8)]
    # 3 standard errors of 150 draws
    assert shares == pytest.approx([0.05, 0.2, 0.5, 0.8], abs=0.12)
    assert shares[0] < 0.11


def test_texts_of_one_document_are_not_taken_for_independent():
    """Documents of 5 texts are right or wrong as a whole, and lie in one value of the column."""
    random = np.random.default_rng(2)
    documents = np.arange(len(GOLD)) // 5
    n_documents = int(documents.max()) + 1
    alone: list[float] = []
    together: list[float] = []
    for seed in range(40):
        whole = audit_of(documents, 60, seed=seed)  # some of the documents
        indices = np.flatnonzero(np.isin(documents, whole.gold))
        wrong = (random.random(n_documents) < 0.3)[documents][indices]
        column = values_of(random.integers(0, 2, n_documents)[documents][indices])
        for groups, p_values in ((None, alone), (documents[indices], together)):
            sample = AuditSample(
                indices=indices,
                gold=GOLD[indices],
                inclusion_probability=np.full(len(indices), 0.1),
                n_pool=len(GOLD),
                n_classes=2,
                groups=groups,
            )
            given = np.where(wrong, 1 - sample.gold, sample.gold)
            (test,) = error_slices(sample, given, {"column": column})
            p_values.append(test.p_value)

    assert np.mean(np.array(alone) <= 0.05) > 0.2
    assert np.mean(np.array(together) <= 0.05) < 0.15


def test_the_p_value_of_the_most_extreme_table_is_that_of_fishers_exact_test():
    # All 4 wrong texts lie in one value of 5 of 10 texts: 2 * 5 of 210 tables are as extreme.
    small = audit_of(GOLD, 10)
    column = values_of([0] * 5 + [1] * 5)
    wrong = np.array([True] * 4 + [False] * 6)
    given = np.where(wrong, 1 - small.gold, small.gold)
    (test,) = error_slices(small, given, {"column": column})

    assert test.p_value == pytest.approx(10 / 210, abs=0.015)


def test_p_values_are_corrected_for_the_number_of_columns():
    random = np.random.default_rng(2)
    column = random.integers(0, 2, N)
    wrong = random.random(N) < 0.2 + 0.17 * column
    given = llm_wrong_on(wrong)
    (alone,) = error_slices(SAMPLE, given, {"a": values_of(column)})
    others = {f"c{i}": values_of(random.permutation(column)) for i in range(3)}
    tests = error_slices(SAMPLE, given, {"a": values_of(column), **others})

    assert 0.0005 < alone.p_value < 0.2
    first = next(test for test in tests if test.column == "a")
    # Holm: the smallest of 4 is multiplied by 4.
    assert first.p_value == pytest.approx(min(1, 4 * alone.p_value))
    assert tests[0] is first


@pytest.mark.parametrize("wrong", [False, True])
def test_where_all_labels_are_alike_nothing_differs(wrong):
    column = values_of(np.arange(N) % 3)
    (test,) = error_slices(SAMPLE, llm_wrong_on(np.full(N, wrong)), {"column": column})

    assert test.p_value == 1
    assert all(item.error_rate.high > item.error_rate.low for item in test.slices)


def test_values_with_few_audited_texts_are_left_out():
    column = values_of(np.where(np.arange(N) < 4, 9, np.arange(N) % 2))
    (test,) = error_slices(SAMPLE, llm_wrong_on(np.arange(N) % 7 == 0), {"column": column})

    assert {item.value for item in test.slices} == {"v0", "v1"}


def test_a_column_with_one_frequent_value_is_left_out():
    columns = {"constant": ["x"] * N, "ids": values_of(range(N)), "half": values_of([0, 1] * 75)}
    tests = error_slices(SAMPLE, llm_wrong_on(np.arange(N) % 5 == 0), columns)

    assert [test.column for test in tests] == ["half"]
    assert error_slices(SAMPLE, SAMPLE.gold, {"constant": ["x"] * N}) == []


def test_limits_hold_together_for_the_values_of_a_column():
    column = np.arange(N) % 3
    wrong = np.arange(N) % 4 == 0
    (test,) = error_slices(SAMPLE, llm_wrong_on(wrong), {"column": values_of(column)})
    by_value = {item.value: item.error_rate for item in test.slices}
    design = Design(np.ones(50), None, N / 1000)
    expected = share_interval(wrong[column == 1].astype(float), design, 1 - 0.05 / 3)

    assert by_value["v1"] == expected


def test_error_rates_are_weighted():
    probability = np.random.default_rng(3).uniform(0.05, 0.9, N)
    sample = dataclasses.replace(SAMPLE, inclusion_probability=probability)
    column = np.arange(N) % 2
    wrong = np.arange(N) % 7 < 3
    (test,) = error_slices(sample, llm_wrong_on(wrong), {"column": values_of(column)})
    by_value = {item.value: item.error_rate.estimate for item in test.slices}

    rows = column == 1
    expected = np.average(wrong[rows], weights=1 / probability[rows])
    assert by_value["v1"] == pytest.approx(expected)


def test_an_unanswered_text_is_an_error():
    given = np.where(np.arange(N) % 2 == 0, -1, SAMPLE.gold)
    (test,) = error_slices(SAMPLE, given, {"column": values_of(np.arange(N) % 2)})

    rates = {item.value: item.error_rate.estimate for item in test.slices}
    assert rates == pytest.approx({"v0": 1.0, "v1": 0.0})


def test_lengths_are_told_apart_by_their_quarters():
    texts = ["x" * length for length in range(1, 101)]
    names = length_classes(texts)

    assert list(dict.fromkeys(names)) == [
        "up to 25 characters",
        "over 25 to 50 characters",
        "over 50 to 75 characters",
        "over 75 characters",
    ]
    assert names[24:26] == ["up to 25 characters", "over 25 to 50 characters"]


def test_texts_of_one_length_have_one_class():
    assert set(length_classes(["abc"] * 9)) == {"up to 3 characters"}


def test_errors_of_llm_and_classifier_are_counted_together():
    gold = np.array([0, 0, 0, 0, 0, 0])
    llm = np.array([0, 1, 1, 0, -1, 1])
    classifier = np.array([0, 1, 0, 1, 1, 0])

    assert overlap(gold, llm, classifier)._asdict() == {
        "both": 2,
        "llm_only": 2,
        "classifier_only": 1,
        "neither": 1,
    }

"""Label sources that make the LLM's labels anew, or change what is learned from them."""

import numpy as np
import pandas as pd
import pytest

from entrypoints.wiring.designs import too_small
from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.data.tables import class_columns, with_class_columns
from project.labels.audited import check_audit
from project.labels.error_model import estimated_noise
from project.labels.external import external_labels
from project.labels.inputs import LabelInputs
from project.labels.sources import arms, human_share, label, label_and_count
from project.stats.information import log_normalise
from project.support.errors import AssayError

LABELS = ("a", "b")
N = 400


@pytest.fixture(scope="module")
def pool():
    """400 texts, 30 % of class b; the LLM calls a third of class a b."""
    random = np.random.default_rng(0)
    gold = (random.random(N) < 0.3).astype(int)
    points = np.eye(2)[gold] + 0.3 * random.normal(size=(N, 2))
    ids = [f"e{k}" for k in range(N)]
    names = np.array(LABELS)
    examples = pd.DataFrame(
        {"example_id": ids, "text": "t", "gold_label": names[gold], "split": "train"}
    )
    draws = []
    for draw in range(3):
        logits = 2.0 * gold + 0.7 + random.normal(size=N) - 1.2
        logs = log_normalise(np.stack([np.zeros(N), logits], axis=1))
        table = pd.DataFrame(
            {
                "example_id": ids,
                "draw": draw,
                "label": names[logs.argmax(axis=1)],
                "label_mass": 1.0,
                "log_bound": np.nan,
                "truncated": False,
                "error": None,
            }
        )
        draws.append(with_class_columns(table, logs, LABELS))
    return examples, draws, points / np.linalg.norm(points, axis=1, keepdims=True)


def inputs(pool, draws=None, **settings):
    examples, known, embeddings = pool
    return LabelInputs(
        examples, draws or known, LABELS, LabelConfig(**settings), lambda: embeddings
    )


def right(pool, table):
    gold = pool[0].set_index("example_id")["gold_label"]
    return (table["label"].to_numpy() == gold[table["example_id"]].to_numpy()).mean()


def test_posterior_keeps_human_labels_and_gives_the_rest_probabilities_that_sum_to_one(pool):
    table = label(Arm("posterior", 25.0), inputs(pool))
    soft = class_columns(table, LABELS, "probability.")
    by_human = (table["source"] == "gold").to_numpy()

    assert human_share(table) == (100, 0.25)
    assert np.isnan(soft[by_human]).all()
    assert soft[~by_human].sum(axis=1) == pytest.approx(1)
    assert (table["inclusion_probability"] == 0.25).all()
    assert set(table["reason"]) == {"at random", "posterior by the LLM's label and the text"}
    assert right(pool, table[~by_human]) > right(pool, label(Arm("llm"), inputs(pool)))


def test_without_an_audit_posterior_and_threshold_are_the_llms_labels(pool):
    llm = label(Arm("llm"), inputs(pool))
    for kind in ("posterior", "threshold"):
        made = label_and_count(Arm(kind, 0.0), inputs(pool))
        assert list(made.table["label"]) == list(llm["label"])
        assert made.note == "no label is audited"


def test_certified_keeps_labels_of_the_stated_error_and_says_how_many(pool):
    made = label_and_count(Arm("certified", 25.0), inputs(pool, certified_error=0.1))
    by_llm = made.table[made.table["source"] == "llm"]

    assert human_share(made.table)[0] == 100
    assert 0 < len(by_llm) < 300
    assert set(by_llm["reason"]) == {"certified at 10 %"}
    assert made.note.startswith(f"{len(by_llm)} of 300 LLM labels are certified, of which at most")
    assert right(pool, by_llm) > right(pool, label(Arm("llm"), inputs(pool)))


def test_an_audit_too_small_to_certify_anything_is_refused_or_left_out_by_name(pool):
    with pytest.raises(
        AssayError, match="is 4 of 400 training labels.*certified_1, which needs at"
    ):
        label(Arm("certified", 1.0), inputs(pool))
    with pytest.raises(AssayError, match="is 20 of 400 .* which needs at least 99. Set replace_sh"):
        check_audit(Arm("certified", 5.0), N, config=LabelConfig(certified_error=0.01))
    with pytest.raises(AssayError, match="posterior_1, which needs at least 20"):
        check_audit(Arm("posterior", 1.0), N)
    assert (
        too_small(Arm("certified", 0.0), N, 2) == "its audit needs 19 labels, and the budget is 0"
    )
    assert not too_small(Arm("certified", 5.0), N, 2)
    few = LabelInputs(pool[0], pool[1], LABELS, LabelConfig(), human=pd.Series({"e0": "a"}))
    with pytest.raises(AssayError, match="needs 19 audited labels to certify .* with an answer"):
        label(Arm("certified", 25.0), few)
    with pytest.raises(AssayError, match="certified_error"):
        LabelConfig(certified_error=0.0)


def test_threshold_moves_labels_towards_the_audited_shares(pool):
    made = label_and_count(Arm("threshold", 25.0), inputs(pool))
    by_llm = made.table[made.table["source"] == "llm"]
    of_llm = pool[1][0]["label"] == "b"
    gold = (pool[0]["gold_label"] == "b").mean()

    assert abs((by_llm["label"] == "b").mean() - gold) < abs(of_llm.mean() - gold)
    assert "labels change to meet the audited shares" in made.note
    bare = [one.assign(**{f"log_probability.{name}": np.nan for name in LABELS}) for one in pool[1]]
    with pytest.raises(AssayError, match="arm threshold_25 needs class probabilities"):
        label(Arm("threshold", 25.0), inputs(pool, bare))


def test_a_jury_gives_hard_or_soft_labels_and_needs_two_draws(pool):
    hard, soft = (label(Arm(k, None, 3), inputs(pool)) for k in ("jury", "jury_soft"))

    assert list(hard["label"]) == list(soft["label"])
    assert human_share(hard) == (0, 0.0)
    assert class_columns(soft, LABELS, "probability.").sum(axis=1) == pytest.approx(1)
    with pytest.raises(
        AssayError, match="ensemble_size must be at least 2 for the arm jury; got 1"
    ):
        arms(LabelConfig(arms=("jury",)), 1)
    calibrated = LabelConfig(arms=("jury_soft",), soft_labels="calibrated")
    assert [arm.name for arm in arms(calibrated, 3)] == ["jury_soft_3"]


def test_forward_keeps_the_llms_labels_and_gives_each_its_probability_by_class(pool):
    made = label_and_count(Arm("forward", 25.0), inputs(pool))
    table, llm = made.table, label(Arm("llm"), inputs(pool))
    likelihood = class_columns(table, LABELS, "likelihood.")
    by_llm = (table["source"] == "llm").to_numpy()
    gold = pool[0]["gold_label"][~by_llm]
    counts = pd.crosstab(gold, llm["label"][~by_llm]).to_numpy()

    assert human_share(table) == (100, 0.25)
    assert (table["label"] == np.where(by_llm, llm["label"], pool[0]["gold_label"])).all()
    assert np.isnan(likelihood[~by_llm]).all()
    for column, name in enumerate(LABELS):
        (rows,) = np.unique(likelihood[by_llm & (table["label"] == name)], axis=0)
        # P(label | class), up to a prior that counts for two labels
        assert rows == pytest.approx(counts[:, column] / counts.sum(axis=1), abs=0.02)
    right_share = 100 * np.trace(counts) / 100
    assert made.note == (
        f"its loss knows the confusions of 100 audited labels, {right_share:.0f} % right"
    )


def test_forward_needs_the_audit_that_posterior_needs_and_says_what_it_lacks(pool):
    llm = label(Arm("llm"), inputs(pool))
    made = label_and_count(Arm("forward", 0.0), inputs(pool))
    assert made.note == "no label is audited"
    assert not [name for name in made.table if name.startswith("likelihood.")]
    assert list(made.table["label"]) == list(llm["label"])
    with pytest.raises(AssayError, match="forward_1, which needs at least 20"):
        check_audit(Arm("forward", 1.0), N)
    of_a = pool[0][pool[0]["gold_label"] == "a"].set_index("example_id")["gold_label"]
    few = LabelInputs(pool[0], pool[1], LABELS, LabelConfig(), human=of_a)
    assert "for 1 of 2 classes, not among them, it takes that share" in (
        label_and_count(Arm("forward", 25.0), few).note
    )


def test_evidence_weighs_each_class_by_what_label_and_text_say_beyond_its_share(pool):
    made = label_and_count(Arm("evidence", 25.0), inputs(pool))
    posterior = label(Arm("posterior", 25.0), inputs(pool))
    table, llm = made.table, label(Arm("llm"), inputs(pool))
    likelihood = class_columns(table, LABELS, "likelihood.")
    by_llm = (table["source"] == "llm").to_numpy()
    known = class_columns(posterior, LABELS, "probability.")

    assert human_share(table) == (100, 0.25)
    assert list(table["label"][by_llm]) == list(llm["label"][by_llm])
    assert np.isnan(likelihood[~by_llm]).all()
    assert (likelihood[by_llm].max(axis=1) == 1).all()
    sure = by_llm & (known.min(axis=1) > 0.01)  # a smaller number is rounded to four digits
    odds, found = (values[sure, 1] / values[sure, 0] for values in (known, likelihood))
    ratios = found / odds
    assert sure.sum() > 20
    assert ratios == pytest.approx(np.full(len(ratios), ratios.mean()), rel=0.02)
    # class b has 30 % of the texts, of which the audit finds 27 %
    assert ratios.mean() == pytest.approx(0.73 / 0.27, rel=0.1)
    assert made.note == (
        "its loss takes the LLM's label and the text as evidence for each class, as 100 audited "
        "labels have it"
    )
    assert set(table["reason"][by_llm]) == {
        "annotated, with the LLM's label and the text as evidence"
    }
    assert label_and_count(Arm("evidence", 0.0), inputs(pool)).note == "no label is audited"


def test_evidence_of_few_answers_is_that_of_the_label_and_texts_without_one_have_none(pool):
    examples, draws, _ = pool
    first = draws[0].copy()
    first.loc[:9, "label"] = None
    answers = examples.set_index("example_id")["gold_label"].iloc[5:20]
    few = LabelInputs(examples, [first], LABELS, LabelConfig(), lambda: pool[2], human=answers)

    made = label_and_count(Arm("evidence", 100.0), few)

    by_llm = made.table[made.table["source"] == "llm"]
    assert len(made.table) == 395  # without a label of either: e0 to e4
    assert len(np.unique(class_columns(by_llm, LABELS, "likelihood."), axis=0)) == 2
    assert made.note.startswith("its loss takes the LLM's label alone as evidence for each class")
    of_a = answers[answers == "a"]
    one = LabelInputs(examples, [first], LABELS, LabelConfig(), lambda: pool[2], human=of_a)
    assert label_and_count(Arm("evidence", 100.0), one).note.endswith(
        "; for 1 of 2 classes, not among them, it has hardly any"
    )


def test_a_small_audit_learns_more_from_a_classifier_of_the_llms_labels_than_from_embeddings():
    random = np.random.default_rng(0)
    gold = random.integers(0, 2, 600)
    # As much noise in twenty directions: 30 audited labels do not tell the one that matters.
    points = np.concatenate([np.eye(2)[gold], random.normal(size=(600, 20))], axis=1)
    given = np.where((gold == 0) & (random.random(600) < 0.5), 1, gold)
    names = np.array(LABELS)
    examples = pd.DataFrame(
        {
            "example_id": [f"e{row}" for row in range(600)],
            "text": "t",
            "gold_label": names[gold],
            "split": "train",
        }
    )
    draw = pd.DataFrame(
        {"example_id": examples["example_id"], "label": names[given], "label_mass": 1.0}
    ).assign(**{f"log_probability.{name}": np.nan for name in LABELS})
    embeddings = points / np.linalg.norm(points, axis=1, keepdims=True)
    pool = LabelInputs(examples, [draw], LABELS, LabelConfig(), lambda: embeddings)

    made = label(Arm("posterior", 5.0), pool)

    right = (made["label"] == examples["gold_label"]).mean()
    assert right > 0.95  # 0.79 with sixteen principal components in place of the classifier
    assert (given == gold).mean() < 0.8


def test_a_stored_table_with_likelihoods_is_read_with_them(pool):
    table = label(Arm("forward", 25.0), inputs(pool))
    read = external_labels(table, pool[0], LABELS)
    columns = ["label", "source", *(f"likelihood.{name}" for name in LABELS)]

    assert read[columns].equals(table[columns])


def test_coteach_keeps_the_llms_labels_and_estimates_how_many_are_wrong(pool):
    made = label_and_count(Arm("coteach"), inputs(pool))
    said = label_and_count(Arm("coteach"), inputs(pool, coteach_noise=12.0))
    nothing = label_and_count(Arm("coteach"), inputs(pool, coteach_noise=0.0))
    llm = label(Arm("llm"), inputs(pool))
    wrong = (llm["label"] != pool[0]["gold_label"]).mean()

    assert list(made.table["label"]) == list(llm["label"])
    assert human_share(made.table) == (0, 0.0)
    assert made.noise == pytest.approx(wrong, abs=0.05)
    assert "% of the labels, as confident learning estimates their errors" in made.note
    assert (said.noise, nothing.noise) == (0.12, 0.0)
    assert said.note == "its networks leave out 12 % of the labels, as coteach_noise says"


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_noise_is_estimated_as_cleanlab_does_whatever_classes_the_labels_lack(share):
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, 600)
    given = np.where(random.random(600) < share, (gold + random.integers(1, 3, 600)) % 3, gold)
    points = np.eye(8)[gold] + 0.2 * random.normal(size=(600, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = estimated_noise(given, points, 3, 0)

    assert found == pytest.approx((given != gold).mean(), abs=0.03)
    # with a class that no label has, and a text without a label
    shifted = np.append(np.where(given == 2, 3, given), -1)
    assert estimated_noise(shifted, np.append(points, points[:1], axis=0), 4, 0) == found
    assert estimated_noise(np.zeros(600, dtype=np.int64), points, 3, 0) == 0

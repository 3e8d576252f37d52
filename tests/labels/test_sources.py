"""Every label source: its selection, inclusion probabilities, labels and weights."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from project.config.arms import ARMS, Arm
from project.config.labels import LabelConfig
from project.data.tables import class_columns, with_class_columns
from project.labels import error_model, uncertainty
from project.labels.audited import check_audit
from project.labels.inputs import LabelInputs
from project.labels.selection import select
from project.labels.sources import FIRST_LABEL, arms, human_share, label
from project.stats.calibration import fit_temperature, with_temperature
from project.stats.information import count_entropy_bits, log_normalise
from project.support.errors import AssayError

LABELS = ("a", "b", "c")
N = 200


@pytest.fixture(scope="module")
def world():
    """200 texts whose embedding shows their class; the LLM confuses b with a in some of them.

    Those are the texts with a high last number in their embedding.
    """
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, N)
    trap = random.random(N) < 0.3
    points = np.eye(3)[gold] + 0.3 * random.normal(size=(N, 3))
    points = np.concatenate(
        [points, 2.0 * trap[:, None] + 0.1 * random.normal(size=(N, 1))], axis=1
    )
    embeddings = points / np.linalg.norm(points, axis=1, keepdims=True)
    examples = pd.DataFrame(
        {
            "example_id": [f"e{k}" for k in range(N)],
            "text": "t",
            "gold_label": np.array(LABELS)[gold],
            "split": "train",
        }
    )
    draws = []
    for draw in range(3):
        logits = 2.0 * np.eye(3)[np.where(trap & (gold == 1), 0, gold)] + random.normal(size=(N, 3))
        logs = log_normalise(logits)
        table = pd.DataFrame(
            {
                "example_id": examples["example_id"],
                "draw": draw,
                "label": np.array(LABELS)[logs.argmax(axis=1)],
                "label_mass": random.random(N),
                "log_bound": np.nan,
                "truncated": False,
                "error": None,
                "consistency": random.random(N),
            }
        )
        draws.append(with_class_columns(table, logs, LABELS))
    return examples, draws, embeddings


def evidence(world, human=None, **settings):
    examples, draws, embeddings = world
    return LabelInputs(
        examples,
        draws,
        LABELS,
        LabelConfig(**settings),
        lambda: embeddings,
        human,
        lambda: in_trap(embeddings),
    )


def in_trap(embeddings):
    """The texts with a high last number ``(n,)``."""
    return embeddings[:, -1] > embeddings[:, -1].mean()


def made(world, kind, share=None, k=None, human=None, **settings):
    return label(Arm(kind, share, k), evidence(world, human, **settings))


def test_every_arm_makes_labels_and_keeps_its_budget(world):
    wanted = LabelConfig(arms=tuple(ARMS), replace_share=(20.0,), flip_rate=(20.0,))

    for arm in arms(wanted, 3):
        table = label(arm, evidence(world))
        n, _ = human_share(table)
        if arm.replace_share is not None:
            audit_size = 20 if arm.kind == "drop_learned" else 0
            assert n == (audit_size if arm.facts.drops else 40), arm.name
            if arm.kind == "certified":
                assert 40 <= len(table) < N
                continue
            assert len(table) == (
                160 + audit_size if arm.facts.drops else 40 if arm.kind == "human_only" else N
            ), arm.name
        known = table["inclusion_probability"].dropna()
        assert known.between(0, 1).all(), arm.name
        if arm.facts.drops:  # a human labels the audit alone, of which every text could be part
            assert set(known) == {n / N}, arm.name
        assert set(table.loc[table["source"] == "gold", "label"]) <= set(LABELS)
    assert len({arm.name for arm in arms(wanted, 3)}) == len(ARMS)


def test_the_arm_zones_replaces_texts_of_the_zones_at_random_and_then_others(world):
    zone = in_trap(world[2])
    share = 100 * zone.sum() / N

    some = select(Arm("zones", share / 2), evidence(world)).selected
    others = select(Arm("zones", share / 2), evidence(world, tie_seed=1)).selected
    more = select(Arm("zones", 90.0), evidence(world)).selected

    assert not some[~zone].any()
    assert (some != others).any()
    assert more[zone].all()
    assert more.sum() == 180
    blind = dataclasses.replace(evidence(world), in_zones=None)
    with pytest.raises(AssayError, match="zones needs an experiment with confirmed zones. Set zon"):
        select(Arm("zones", 10.0), blind)


def test_margin_label_mass_consistency_and_votes_follow_their_definitions(world):
    _, draws, _ = world
    table = draws[0]
    p = np.sort(np.exp(class_columns(table, LABELS)), axis=1)

    assert uncertainty.margin(table, LABELS) == pytest.approx(1 - (p[:, 2] - p[:, 1]))
    assert uncertainty.label_mass(table) == pytest.approx(1 - table["label_mass"])
    assert uncertainty.inconsistency(table) == pytest.approx(1 - table["consistency"])
    # 3 to 0, 2 to 1 and 1 to 1 to 1: 0, 0.918 and log2 3 = 1.585 bits
    assert count_entropy_bits(
        np.array([[3, 0, 0], [2, 1, 0], [1, 1, 1], [0, 0, 0]])
    ) == pytest.approx([0, 0.9182958, 1.5849625, 0])
    votes = uncertainty.vote_entropy(draws, LABELS)
    same = (np.stack([one["label"] for one in draws]) == draws[0]["label"].to_numpy()).all(axis=0)
    assert ((votes == 0) == same).all()


def test_a_censored_class_counts_with_its_bound_in_the_margin():
    table = pd.DataFrame({"label": ["a"], "label_mass": [0.5], "log_bound": [np.log(0.2)]})
    table = with_class_columns(table, np.array([[0.0, np.nan]]), ("a", "b"))

    assert uncertainty.margin(table, ("a", "b")) == pytest.approx([1 - (1 - 0.4)])  # 0.2 of 0.5


def test_ties_of_a_vote_go_to_the_higher_mean_probability():
    def draw(p):
        table = pd.DataFrame({"label": [LABELS[int(np.argmax(p))]]})
        return with_class_columns(table, np.log([p]), LABELS)

    two = [draw([0.5, 0.4, 0.1]), draw([0.05, 0.9, 0.05])]
    assert uncertainty.majority(two, LABELS).tolist() == [1]
    assert uncertainty.majority([*two, draw([0.4, 0.3, 0.3])], LABELS).tolist() == [0]
    silent = with_class_columns(pd.DataFrame({"label": [None]}), np.full((1, 3), np.nan), LABELS)
    assert uncertainty.majority([silent, silent], LABELS).tolist() == [-1]


def test_a_ranking_is_refused_by_name_where_its_column_is_missing(world):
    examples, draws, _ = world
    bare = [one.drop(columns="consistency").assign(label_mass=np.nan) for one in draws]

    with pytest.raises(AssayError, match="the ranking label_mass needs the LLM's label mass"):
        made((examples, bare, None), "label_mass", 10.0)
    with pytest.raises(
        AssayError, match="the ranking consistency needs repeated answers. Set repeats"
    ):
        made((examples, bare, None), "consistency", 10.0)


@pytest.mark.parametrize(
    ("n", "share", "way_out"),
    [
        (3, 30, "Have at least 20 training texts (65 with this share), or use another arm."),
        (19, 100, "Have at least 20 training texts (20 with this share), or use another arm."),
        (20, 50, "Set replace_share to 100 or more, or use another arm."),
        (200, 5, "Set replace_share to 10 or more, or use another arm."),
    ],
)
def test_a_budget_too_small_for_an_audit_is_refused_with_a_way_out_that_is_possible(
    n, share, way_out
):
    with pytest.raises(AssayError, match="too few for the audit of the arm learned_") as refused:
        check_audit(Arm("learned", share), n)

    assert str(refused.value).endswith(way_out)
    check_audit(Arm("learned", 100), 20)
    check_audit(Arm("learned", 0), n)
    check_audit(Arm("random", share), n)


@pytest.mark.parametrize("soft_labels", ["draw", "calibrated", "mean"])
def test_the_arm_soft_is_refused_by_name_where_labels_have_no_probabilities(world, soft_labels):
    examples, draws, _ = world
    unknown = {f"log_probability.{name}": np.nan for name in LABELS}
    bare = [table.assign(**unknown) for table in draws]
    (arm,) = arms(LabelConfig(arms=("soft",), replace_share=(20.0,), soft_labels=soft_labels), 3)

    with pytest.raises(AssayError) as refused:
        label(arm, evidence((examples, bare, None), soft_labels=soft_labels))

    assert str(refused.value) == (
        f"the arm {arm.name} needs class probabilities, which these labels come without. Leave "
        "soft out of arms."
    )


def test_uniform_probabilities_tie_everywhere_and_the_seed_breaks_the_ties(world):
    examples, draws, _ = world
    flat = [
        with_class_columns(
            draws[0][["example_id", "draw", "label", "label_mass", "log_bound"]],
            np.full((N, 3), -np.log(3)),
            LABELS,
        )
    ]
    picks = [
        select(
            Arm("entropy", 10.0), LabelInputs(examples, flat, LABELS, LabelConfig(tie_seed=seed))
        ).selected
        for seed in (0, 0, 1)
    ]

    assert [int(one.sum()) for one in picks] == [20, 20, 20]
    assert (picks[0] == picks[1]).all()
    assert (picks[0] != picks[2]).any()


def test_random_budgets_are_nested_and_give_the_inclusion_probability(world):
    small, large = (select(Arm("random", share), evidence(world)) for share in (10.0, 25.0))

    assert (large.selected | ~small.selected).all()
    assert (small.inclusion_probability == 0.1).all()
    assert (large.inclusion_probability == 0.25).all()
    fixed = select(Arm("margin", 10.0), evidence(world))
    assert np.isnan(fixed.inclusion_probability).all()
    whole, none = (select(Arm("margin", share), evidence(world)) for share in (100.0, 0.0))
    assert (whole.inclusion_probability == 1).all()
    assert (none.inclusion_probability == 0).all()


def test_the_ensemble_replaces_all_disagreements_or_the_largest_ones_within_a_cap(
    world,
):
    whole, capped = (
        select(Arm("ensemble", ensemble_size=3), evidence(world, ensemble_share=share))
        for share in (None, 5.0)
    )
    votes = uncertainty.vote_entropy(world[1], LABELS)

    assert (whole.selected == (votes > 0)).all()
    assert capped.selected.sum() == 10
    assert votes[capped.selected].min() >= votes[whole.selected & ~capped.selected].max()
    assert (
        select(
            Arm("ensemble", ensemble_size=3), evidence(world, ensemble_share=100.0)
        ).selected.sum()
        == whole.selected.sum()
    )


def test_all_texts_below_a_threshold_of_consistency_are_replaced_or_dropped(world):
    examples, draws, _ = world
    inconsistent = draws[0]["consistency"] < 0.4
    wanted = LabelConfig(
        arms=("consistency", "drop_consistency"), replace_share=(5.0, 25.0), consistency_below=0.4
    )

    replacing, dropping = arms(wanted, 3)
    assert (replacing.name, dropping.name) == ("consistency", "drop_consistency")
    replaced, dropped = (
        label(one, evidence(world, consistency_below=0.4)) for one in (replacing, dropping)
    )
    assert set(replaced.loc[replaced["source"] == "gold", "example_id"]) == set(
        examples.loc[inconsistent, "example_id"]
    )
    assert set(replaced.loc[inconsistent.to_numpy(), "reason"]) == {"consistency below 0.4"}
    assert set(dropped["example_id"]) == set(examples.loc[~inconsistent, "example_id"])


def test_sources_that_need_gold_labels_are_refused_where_some_are_missing(world):
    examples, draws, embeddings = world
    blind = examples.assign(gold_label=examples["gold_label"].where(np.arange(N) % 2 == 0, None))
    for kind, message in (
        ("oracle", "oracle needs the gold label of every"),
        ("gold", "gold needs every gold label; 100 of 200 examples have none"),
    ):
        with pytest.raises(AssayError, match=message):
            label(
                Arm(kind, 20.0 if kind == "oracle" else None),
                LabelInputs(blind, draws, LABELS, LabelConfig(), lambda: embeddings),
            )


def test_the_oracle_repairs_every_wrong_label_first(world):
    examples, draws, _ = world
    is_wrong = draws[0]["label"] != examples["gold_label"]
    table = made(world, "oracle", 100 * is_wrong.mean())

    assert (table["label"] == examples["gold_label"]).all()


def test_the_error_model_finds_more_wrong_labels_than_chance_and_its_audit_is_in_the_budget(
    world,
):
    examples, draws, _ = world
    is_wrong = (draws[0]["label"] != examples["gold_label"]).to_numpy()
    learned, entropy, random = (
        select(Arm(kind, 30.0), evidence(world, audit_share=50.0))
        for kind in ("learned", "entropy", "random")
    )

    assert learned.selected.sum() == entropy.selected.sum() == 60
    audited = learned.reasons == "audit"
    assert audited.sum() == 30
    assert (learned.inclusion_probability[audited] == 30 / N).all()
    assert np.isnan(learned.inclusion_probability[~audited]).all()
    assert learned.chance == "30 of its 60 texts are the audit"
    rest = learned.selected & ~audited
    assert is_wrong[rest].mean() > 2 * is_wrong[~audited].mean()
    assert (is_wrong & learned.selected).sum() > (is_wrong & random.selected).sum()
    assert (
        select(Arm("learned", 60.0), evidence(world)).reasons == "audit"
    ).sum() == 24  # a fifth of 120 unless asked otherwise
    assert select(Arm("learned", 60.0), evidence(world)).chance == ""


def test_audited_labels_are_judged_by_a_model_that_was_not_fitted_to_them():
    random = np.random.default_rng(0)
    values, audited = random.normal(size=(300, 30)), np.arange(300) < 60
    noise = random.random(300) < 0.5  # nothing to learn: only a model fitted to a label knows it

    found = error_model.error_probabilities(values, audited, noise, 0)

    assert found is not None
    assert np.mean((found[audited] > 0.5) == noise[audited]) < 0.7


@pytest.mark.parametrize("answers", ["right", "wrong"])
def test_an_audit_without_errors_or_with_errors_alone_falls_back_to_a_random_choice(world, answers):
    examples, draws, embeddings = world
    other = {"a": "b", "b": "c", "c": "a"}
    given = examples["gold_label"] if answers == "right" else examples["gold_label"].map(other)
    told = [draws[0].assign(label=given)]

    choice = select(
        Arm("learned", 30.0), LabelInputs(examples, told, LABELS, LabelConfig(), lambda: embeddings)
    )

    assert choice.selected.sum() == 60
    assert set(choice.reasons[choice.selected]) == {
        "audit",
        "at random: the audit found nothing to learn from",
    }
    audited = choice.reasons == "audit"
    assert (choice.inclusion_probability[audited] == audited.sum() / N).all()
    assert np.isnan(choice.inclusion_probability[~audited]).all()
    few = "wrong" if answers == "right" else "right"
    assert choice.chance == f"its audit found fewer than two {few} labels among 20"


def test_a_budget_too_small_for_an_audit_is_refused_with_the_smallest_that_works(world):
    with pytest.raises(
        AssayError,
        match=r"replace_share=5 is 10 of 200 training labels, too few .* which needs at least 20. "
        r"Set replace_share to 10 or more",
    ):
        made(world, "learned", 5.0)
    assert human_share(made(world, "learned", 10.0))[0] == 20
    assert human_share(made(world, "learned", 0.0))[0] == 0


def test_confident_ranks_labels_first_that_similar_texts_contradict(world):
    examples, draws, embeddings = world
    is_wrong = (draws[0]["label"] != examples["gold_label"]).to_numpy()
    rows = select(Arm("confident", 20.0), evidence(world)).selected

    assert is_wrong[rows].mean() > 1.5 * is_wrong.mean()
    missing = np.full(N, -1)
    missing[:50] = 0
    errors = error_model.classifier_error_probability(missing, embeddings, 3, 0)
    assert np.isinf(errors).tolist() == [False] * 50 + [True] * (N - 50)


def test_human_only_llm_then_human_and_weighted_use_the_same_random_budget(world):
    examples, draws, _ = world
    alone, last, weighted = (
        made(world, kind, 20.0) for kind in ("human_only", "llm_then_human", "weighted")
    )

    assert set(alone["source"]) == {"gold"}
    assert list(last[FIRST_LABEL]) == list(draws[0]["label"])
    humans = last["source"] == "gold"
    assert list(last["example_id"][humans]) == list(alone["example_id"])
    assert (last["label"][~humans] == last[FIRST_LABEL][~humans]).all()
    audited = weighted["source"] == "gold"
    assert (weighted["weight"][audited] == 1).all()
    assert weighted["weight"][~audited].between(0, 1).all()
    assert weighted["weight"][~audited].nunique() > 50
    is_wrong = (draws[0]["label"] != examples["gold_label"]).to_numpy()
    assert (
        weighted["weight"][~audited & is_wrong].mean()
        < weighted["weight"][~audited & ~is_wrong].mean() - 0.1
    )


def test_soft_labels_are_one_draw_s_the_mean_of_the_draws_or_calibrated(world):
    _, draws, _ = world
    raw = np.exp([class_columns(one, LABELS) for one in draws])

    assert class_columns(made(world, "soft"), LABELS, "probability.") == pytest.approx(raw[0])
    assert class_columns(
        made(world, "soft", k=3, soft_labels="mean"), LABELS, "probability."
    ) == pytest.approx(raw.mean(axis=0))
    calibrated = made(world, "soft", 20.0, soft_labels="calibrated")
    machine = (calibrated["source"] == "llm").to_numpy()
    assert machine.sum() == 160
    cooled = class_columns(calibrated, LABELS, "probability.")[machine]
    assert cooled.sum(axis=1) == pytest.approx(1)
    ratio = np.log(cooled[:, 0] / cooled[:, 1]) / np.log(
        raw[0][machine][:, 0] / raw[0][machine][:, 1]
    )
    assert ratio == pytest.approx(np.full(160, ratio[0]))  # one temperature for all


def test_the_fitted_temperature_is_that_of_the_generating_model():
    random = np.random.default_rng(0)
    true = log_normalise(2.0 * random.normal(size=(20_000, 3)))
    gold = (np.exp(true).cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)

    assert fit_temperature(with_temperature(true, 0.4), gold) == pytest.approx(2.5, rel=0.05)
    assert fit_temperature(true, gold) == pytest.approx(1.0, rel=0.05)
    assert (
        0.01 <= fit_temperature(np.log([[0.9, 0.1]]), np.array([0])) < 0.1
    )  # always right: as sharp as makes a difference
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64)) == 1.0


def test_human_labels_replace_gold_ones_and_unanswered_texts_keep_the_llm_s_label(world):
    examples, draws, _ = world
    asked = select(Arm("margin", 10.0), evidence(world)).selected
    ids = examples["example_id"][asked]
    human = pd.Series("c", index=ids.iloc[:15])

    table = made(world, "margin", 10.0, human=human).set_index("example_id")

    assert set(table.loc[ids.iloc[:15], "label"]) == {"c"}
    assert set(table.loc[ids.iloc[:15], "source"]) == {"human"}
    left = table.loc[ids.iloc[15:]]
    assert set(left["reason"]) == {"not answered by a human"}
    assert list(left["label"]) == list(draws[0].set_index("example_id").loc[left.index, "label"])
    assert (
        list(
            made(world, "human_only", 10.0, human=pd.Series("a", index=examples["example_id"]))[
                "label"
            ]
        )
        == ["a"] * 20
    )


def test_missing_gold_labels_of_selected_texts_are_refused_with_the_way_out(world):
    examples, draws, embeddings = world
    without = examples.assign(
        gold_label=examples["gold_label"].where(examples.index % 2 == 0, None)
    )

    with pytest.raises(
        AssayError,
        match=r"arm margin_10 needs human labels of 20 examples, \d+ of which have no gold label",
    ):
        made((without, draws, embeddings), "margin", 10.0)

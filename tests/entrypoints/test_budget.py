"""Human budgets: all sources at equal budgets from one set of annotations, and the report."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions.budget import budget_points, cheapest
from analysis.questions.budget_figure import budget_figure
from analysis.store.experiment import read_experiment
from analysis.store.root_results import ScoredPoints
from entrypoints import budget
from entrypoints.wiring.designs import too_small
from project.config.arms import Arm
from project.tracking import Record, children, latest_root, read_table

ROOT = Record(
    "r",
    "budget",
    "FINISHED",
    {},
    metrics={},
    tags={},
    experiment_id="1",
    started=0,
    artifact_uri="",
)


def test_budgets_that_a_source_cannot_use_are_left_out_with_the_reason():
    assert (
        too_small(Arm("learned", 5.0), 100, 4) == "its audit needs 20 labels, and the budget is 5"
    )
    assert too_small(Arm("human_only", 3.0), 100, 4) == "3 labels are too few to train on 4 classes"
    assert not too_small(Arm("learned", 0.0), 100, 4)
    assert not too_small(Arm("learned", 20.0), 100, 4)
    assert not too_small(Arm("random", 1.0), 100, 4)


def run_budget(params, **design):
    """A budget with one seed; its root run."""
    budget.budget(params("budget", seeds="1", **design))
    return latest_root("budget")


def seed_of(root, arm):
    return next(run for run in children(root, "seed") if run.params["arm"] == arm)


def test_every_source_is_trained_at_every_budget_and_the_annotator_is_asked_once(
    params, store, capsys
):
    arms = "random,learned,human_only,llm_then_human,ensemble,drop_entropy"
    root = run_budget(params, arms=arms, replace_share="0,10,60")
    draws = [run for run in children(root, "annotation") if run.params["split"] == "train"]
    assert len(draws) == 2  # those of the ensemble
    assert {run.params["arm"] for run in children(root, "seed")} == {
        "gold",
        "llm",
        *(
            f"{kind}_{share}"
            for kind in ("random", "llm_then_human", "drop_entropy")
            for share in (0, 10, 60)
        ),
        "learned_0",
        "learned_60",
        "human_only_10",
        "human_only_60",
        "ensemble_2",
    }
    printed = capsys.readouterr()
    assert "budget: learned_10 is left out: its audit needs 20 labels" in printed.err
    assert "over random" in printed.out

    points = budget_points(read_experiment(root.run_id)).points.set_index("arm")
    # without human labels every source gives the LLM's labels, which are trained once
    for arm in ("random_0", "learned_0", "llm_then_human_0", "drop_entropy_0"):
        assert points.loc[arm, "macro_f1"] == points.loc["llm", "macro_f1"]
    # so few examples show no gap between llm and gold
    assert np.isnan(points.loc["random_60", "closed"])
    assert points.loc["random_60", "share"] == 60
    ensemble_share = 100 * points.loc["ensemble_2", "human_labels"] / 40
    assert points.loc["ensemble_2", "share"] == pytest.approx(ensemble_share)
    low, estimate, high = (
        points.loc["learned_60", f"over_random{suffix}"] for suffix in ("_low", "", "_high")
    )
    assert low <= estimate <= high
    files = {path.name for path in (store / "work").rglob("budget.*")}
    assert files == {"budget.csv", "budget.md", "budget.png", "budget.svg"}


def test_repaired_is_the_share_of_human_labels_that_replace_a_wrong_llm_label(params):
    root = run_budget(params, arms="random", replace_share="60")
    labels = read_table(seed_of(root, "random_60").run_id, "labels.parquet")
    human = labels.loc[labels["source"] == "gold", "example_id"]
    examples = read_table(root.run_id, "examples.parquet").set_index("example_id")
    llm = read_table(seed_of(root, "llm").run_id, "labels.parquet").set_index("example_id")
    wrong = llm.loc[human, "label"] != examples.loc[human, "gold_label"]

    points = budget_points(read_experiment(root.run_id)).points.set_index("arm")
    assert points.loc["random_60", "repaired"] == pytest.approx(wrong.mean())
    assert np.isnan(points.loc["llm", "repaired"])


def budget_of(rows, price=0.0, half_width=0.0):
    """A budget whose points have this arm, kind, share (per cent) and macro-F1.

    The limits against the goal, which is 0.855, reach half_width to either side.
    """
    points = pd.DataFrame(rows, columns=["arm", "arm_kind", "share", "macro_f1"])
    over_goal = points["macro_f1"] - 0.855
    points = points.assign(
        human_share=points["share"] / 100,
        cost=1000.0 - points["share"],
        over_goal=over_goal,
        over_goal_low=over_goal - half_width,
        over_goal_high=over_goal + half_width,
    )
    config = {"design": {"reach": 95.0}, "config": {"spend": {"price_label": price}}}
    return ScoredPoints(ROOT, config, incomplete=(), points=points)


GOLD, LLM = ("gold", "gold", 100.0, 0.9), ("llm", "llm", 0.0, 0.7)


def test_the_sentence_rests_on_the_limits_of_the_table_and_judges_remedies_alone():
    rows = [GOLD, LLM, ("oracle_5", "oracle", 5.0, 0.9), ("random_50", "random", 50.0, 0.88)]
    sentence = cheapest(budget_of(rows, half_width=0.02))

    assert sentence == (
        "At most 50 % human labels, by random_50, are enough for 95 % of gold's macro-F1 (85.5). "
        "All cheaper ones fall short."
    )
    assert cheapest(budget_of(rows, half_width=0.03)) == (
        "No source is shown to reach 95 % of gold's macro-F1 (85.5) at these budgets; not "
        "excluded: random_50."
    )


def test_the_cheapest_is_that_of_least_cost_where_prices_are_given():
    rows = [GOLD, LLM, ("random_50", "random", 50.0, 0.87), ("learned_10", "learned", 10.0, 0.87)]

    assert cheapest(budget_of(rows, price=0.1)).startswith(
        "At most 50 % human labels at a cost of 950, by random_50, are enough"
    )
    assert "by learned_10" in cheapest(budget_of(rows))


def test_the_figure_tells_sources_apart_without_colour(monkeypatch):
    import matplotlib.figure

    saved: list[matplotlib.figure.Figure] = []
    savefig = matplotlib.figure.Figure.savefig

    def recorded(figure, *arguments, **settings):
        saved.append(figure)
        savefig(figure, *arguments, **settings)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", recorded)
    rows = [
        (f"kind{k}_{share}", f"kind{k}", share, 0.7 + share / 1000)
        for k in range(8)
        for share in (0.0, 5.0, 50.0)
    ]
    points = budget_of([GOLD, LLM, *rows]).points.assign(
        accuracy=0.8, accuracy_sd=0.01, macro_f1_sd=np.nan
    )

    assert budget_figure(points).picture.png

    lines = [line for line in saved[0].axes[0].get_lines() if np.size(line.get_xdata()) == 3]
    assert len({(str(line.get_marker()), str(line.get_linestyle())) for line in lines}) == 8

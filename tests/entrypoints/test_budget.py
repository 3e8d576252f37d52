"""Human-budget curves: all sources at equal budgets from one set of annotations, the table, the sentence, the figure."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions.budget import cheapest, png_figure, scored
from analysis.store.experiment import ScoredPoints, read_experiment
from entrypoints import budget
from entrypoints.wiring.designs import too_small
from project.config.arms import Arm
from project.tracking import Record, children, latest_root, read_table

ROOT = Record("r", "budget", "FINISHED", {}, metrics={}, tags={}, experiment_id="1", started=0, artifact_uri="")


def test_budgets_that_a_source_cannot_use_are_left_out_with_the_reason():
    assert (
        too_small(Arm("learned", 5.0), 100, 4) == "its audit takes 20 labels, and the budget is 5"
    )
    assert (
        too_small(Arm("human_only", 3.0), 100, 4)
        == "3 labels of 4 classes are nothing to train on"
    )
    assert not too_small(Arm("learned", 0.0), 100, 4)
    assert not too_small(Arm("learned", 20.0), 100, 4)
    assert not too_small(Arm("random", 1.0), 100, 4)


def test_curves_train_every_source_at_every_budget_and_ask_the_annotator_once(
    params, store, capsys
):
    budget.budget(
        params(
            "budget",
            arms="random,learned,human_only,llm_then_human,ensemble,drop_entropy",
            replace_share="0,10,60",
            seeds="1",
        )
    )

    root = latest_root("budget")
    assert (
        len([run for run in children(root, "annotation") if run.params["split"] == "train"]) == 2
    )  # the ensemble's two draws
    seen = {run.params["arm"] for run in children(root, "seed")}
    assert seen == {
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
    out = capsys.readouterr()
    assert (
        "budget: learned_10 is left out: its audit takes 20 labels, and this budget is 4."
        in out.err
    )
    assert "against random" in out.out
    found = scored(read_experiment(root.run_id))
    points = found.points.set_index("arm")
    # no human label is the LLM's labels, whatever the source, and is trained once
    for arm in ("random_0", "learned_0", "llm_then_human_0", "drop_entropy_0"):
        assert points.loc[arm, "macro_f1"] == points.loc["llm", "macro_f1"]
    assert np.isnan(
        points.loc["random_60", "closed"]
    )  # so few examples tell no gap between llm and gold
    assert points.loc["random_60", "share"] == 60
    assert points.loc["ensemble_2", "share"] == pytest.approx(
        100 * points.loc["ensemble_2", "human_labels"] / 40
    )
    assert (
        points.loc["learned_60", "over_random_low"]
        <= points.loc["learned_60", "over_random"]
        <= points.loc["learned_60", "over_random_high"]
    )
    run = next(run for run in children(root, "seed") if run.params["arm"] == "random_60")
    labels, gold = (
        read_table(run.run_id, "labels.parquet"),
        read_table(root.run_id, "examples.parquet").set_index("example_id")["gold_label"],
    )
    llm = next(run for run in children(root, "seed") if run.params["arm"] == "llm")
    said = read_table(llm.run_id, "labels.parquet").set_index("example_id")["label"]
    human = labels.loc[labels["source"] == "gold", "example_id"]
    assert points.loc["random_60", "repaired"] == pytest.approx((said[human] != gold[human]).mean())
    assert {path.name for path in (store / "work").rglob("budget.*")} == {
        "budget.csv",
        "budget.md",
        "budget.png",
    }


def budget_of(rows, price=0.0):
    points = pd.DataFrame(rows, columns=["arm", "arm_kind", "share", "macro_f1"])
    dropped = points["arm_kind"].str.startswith("drop_")
    points = points.assign(
        human_share=np.where(dropped, 0.0, points["share"] / 100), cost=1000.0 - points["share"]
    )
    return ScoredPoints(
        ROOT, {"design": {"reach": 95.0}, "config": {"spend": {"price_label": price}}}, points, ()
    )


GOLD, LLM = ("gold", "gold", 100.0, 0.9), ("llm", "llm", 0.0, 0.7)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [("random_50", "random", 50.0, 0.86), ("learned_10", "learned", 10.0, 0.87)],
            "cheapest by learned_10, with 10 % human labels; random needs 50 %",
        ),
        (
            [("random_50", "random", 50.0, 0.8), ("learned_10", "learned", 10.0, 0.87)],
            "10 % human labels; random does not reach it at these budgets",
        ),
        (
            [("oracle_5", "oracle", 5.0, 0.9), ("random_50", "random", 50.0, 0.87)],
            "reached cheapest by random_50, with 50 % human labels. Means",
        ),
        (
            [("random_50", "random", 50.0, 0.8)],
            "No source reaches 95 % of gold's macro-F1 (85.5) at these budgets",
        ),
        ([("learned_0", "learned", 0.0, 0.89)], "is reached without any human label, by learned_0"),
        (
            [("random_5", "random", 5.0, 0.89), ("drop_margin_25", "drop_margin", 25.0, 0.88)],
            "without any human label, by drop_margin_25",
        ),
    ],
)
def test_the_sentence_names_the_cheapest_real_source(rows, says):
    assert says in cheapest(budget_of([GOLD, LLM, *rows]))


def test_the_cheapest_is_that_of_least_cost_where_prices_are_given():
    rows = [GOLD, LLM, ("random_50", "random", 50.0, 0.87), ("learned_10", "learned", 10.0, 0.87)]

    assert "cheapest by random_50, with 50 % human labels at a cost of 950." in cheapest(
        budget_of(rows, price=0.1)
    )


def test_the_figure_tells_sources_apart_without_colour(monkeypatch):
    import matplotlib.figure

    drawn: list[matplotlib.figure.Figure] = []
    whole = matplotlib.figure.Figure.savefig

    def save(figure, *more, **named):
        drawn.append(figure)
        whole(figure, *more, **named)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", save)
    kinds = [f"kind{k}" for k in range(8)]
    rows = [
        (f"{kind}_{share}", kind, share, 0.7 + share / 1000)
        for kind in kinds
        for share in (0.0, 5.0, 50.0)
    ]
    points = budget_of([GOLD, LLM, *rows]).points.assign(
        accuracy=0.8, accuracy_sd=0.01, macro_f1_sd=np.nan
    )

    assert png_figure(points).startswith(b"\x89PNG")

    lines = [line for line in drawn[0].axes[0].get_lines() if np.size(line.get_xdata()) == 3]
    assert len({(str(line.get_marker()), str(line.get_linestyle())) for line in lines}) == 8

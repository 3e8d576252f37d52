"""Arms that learn from an audit say where they chose at random all the same."""

import dataclasses

import numpy as np

from analysis.questions import budget
from analysis.questions.arms_caption import caption
from analysis.questions.arms_table import ScoredExperiment, result_table
from analysis.store.experiment import read_experiment
from entrypoints.wiring.arm_checks import print_audit_notes
from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.tracking import CHANCE
from tests.helpers.stored import log_experiment, noisy

GOLD = np.arange(90) % 3
WHY = "20 of its 25 texts are the audit"


def test_the_notes_of_the_result_table_and_of_the_budget_name_arms_that_chose_at_random(store):
    def tagged(arm, seed, child):
        tags = {CHANCE: WHY} if arm == "learned_5" or (arm, seed) == ("learned_25", 1) else {}
        return dataclasses.replace(child, tags={**child.tags, **tags})

    arms = {name: noisy(GOLD, 0.8) for name in ("gold", "llm", "learned_5", "learned_25")}
    experiment = read_experiment(log_experiment(store, GOLD, arms, change_child=tagged))

    sentence = (
        f"Mind: learned_5 chose at random: {WHY}; "
        f"learned_25 chose at random: {WHY} (in 1 of 3 replicates)."
    )
    scored = ScoredExperiment(experiment)
    assert sentence in caption(scored, result_table(scored)).mind
    assert sentence in budget.section(experiment).notes


def test_a_plan_names_arms_whose_audit_takes_half_of_the_budget_or_more(capsys):
    arms = [Arm("learned", 5.0), Arm("learned", 25.0), Arm("drop_learned", 8.0), Arm("entropy", 5)]
    print_audit_notes(arms, 500, LabelConfig())

    assert capsys.readouterr().err.splitlines() == [
        "note: learned_5 will choose at random: 20 of its 25 texts are the audit.",
        "note: drop_learned_8 will choose at random: 20 of its 40 texts are the audit.",
    ]

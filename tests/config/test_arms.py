"""The table of arm facts."""

import pytest

from project.config.arms import ARMS, DROP, Arm, arm_facts, competing_kinds, configured_facts


@pytest.mark.parametrize("kind", [kind for kind, facts in ARMS.items() if facts.can_drop])
def test_an_arm_that_drops_labels_chooses_like_its_kind_and_asks_no_human(kind):
    replacing = ARMS[kind]
    dropping = ARMS[DROP + kind]

    assert dropping.drops
    assert not dropping.asks_human
    assert not dropping.can_drop
    for name in ("selects", "draws", "share", "threshold", "audit", "ranks_by_gold", "remedy"):
        assert getattr(dropping, name) == getattr(replacing, name)


def test_human_labels_are_needed_by_arms_that_ask_audit_or_read_gold():
    without = {kind for kind, facts in ARMS.items() if not facts.needs_human_labels}

    assert without == {
        "llm",
        "majority",
        "soft",
        "jury",
        "jury_soft",
        "coteach",
        *(f"drop_{kind}" for kind in ("ensemble", "entropy", "margin", "label_mass")),
        *(
            f"drop_{kind}"
            for kind in ("vote_entropy", "consistency", "confident", "zones", "random")
        ),
    }


def test_a_soft_arm_asks_a_human_if_its_labels_are_calibrated_and_reads_all_draws_for_their_mean():
    assert not configured_facts("soft", "draw").asks_human
    assert configured_facts("soft", "calibrated").asks_human
    assert configured_facts("soft", "calibrated").share
    assert configured_facts("soft", "mean").draws == "all"
    assert Arm("soft", replace_share=10.0).facts == configured_facts("soft", "calibrated")
    assert Arm("soft", ensemble_size=3).facts == configured_facts("soft", "mean")
    assert Arm("soft").facts == configured_facts("soft", "draw")


def test_the_diagnosis_flip_does_not_compete_for_a_budget():
    assert set(ARMS) - set(competing_kinds()) == {"flip"}


def test_gold_its_flips_and_rankings_by_gold_are_no_remedy():
    assert {kind for kind, facts in ARMS.items() if not facts.remedy} == {
        "gold",
        "flip",
        "oracle",
        "drop_oracle",
    }


def test_a_kind_in_the_store_that_is_unknown_here_is_read_as_a_plain_ranking():
    assert arm_facts("of_another_package").share
    assert arm_facts("of_another_package").remedy
    assert arm_facts("drop_of_another_package").drops
    assert Arm("given").draws == 1


def test_every_kind_has_one_line_of_help():
    for facts in ARMS.values():
        assert facts.help
        assert "\n" not in facts.help

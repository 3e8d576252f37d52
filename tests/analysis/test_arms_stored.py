"""Several experiments of a store in one table."""

import re

from analysis.questions import arms
from analysis.store.command import parser
from analysis.store.command import run_command as command
from tests.helpers.stored import log_experiment
from tests.helpers.two_arms import GOLD, arms_of


def test_several_experiments_share_one_table(store, capsys):
    names = [log_experiment(store, GOLD, arms_of()), log_experiment(store, GOLD, arms_of(3))]
    command(
        parser("A question", "an experiment"),
        arms.publish,
        ["--run_id", ",".join(names), "--workspace", str(store / "out")],
    )
    out = capsys.readouterr().out

    # The run, its date and the setting that differs.
    started = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    for name, seeds in zip(names, "23", strict=True):
        assert re.search(rf"\n{name[:8]} +{started} +{seeds} +llm ", out)
    assert list((store / "out" / "reports").glob("arms-*/tables/tables.csv"))

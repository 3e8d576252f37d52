"""The plan of an audit."""

import contextlib
import io

import pytest

from entrypoints import audit
from project.config.loading import defaults
from project.tracking import latest_root, read_json
from tests.helpers.audit_runs import ANSWERS

# One worker: the first run embeds texts for all tests.
pytestmark = pytest.mark.xdist_group("audit")


def test_a_plan_says_how_many_texts_to_label_before_anybody_has(first, store, workspace, no_model):
    changes = {"human_column": "", "labels": ",".join(first[3]["label_set"])}
    changes |= {"plan": "true", "tolerance": "30", "price_label": "0.5"}
    output = io.StringIO()
    given = {"data": str(first[0] / "codes.csv"), "workspace": str(workspace), **ANSWERS, **changes}
    with contextlib.redirect_stdout(output):
        audit.audit({**defaults("audit"), **given})
    result = read_json(latest_root("audit plan").run_id, "audit.json")

    assert [row["size"] for row in result["rows"]] == [50, 100, 150, 250]
    assert [row["price"] for row in result["rows"]] == [25, 50, 75, 125]
    for name in ("llm_accuracy", "loss_macro_f1", "classifier_macro_f1"):
        widths = [row[name] for row in result["rows"]]
        assert widths == sorted(widths, reverse=True)
    decided = [row["decided"] for row in result["rows"]]
    assert decided == sorted(decided)
    assert f"{max(result['enough'], result['enough_of_rarest'])} audited texts" in output.getvalue()

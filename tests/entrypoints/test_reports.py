"""The report of an experiment: the same bytes from the store alone, and no network."""

import base64
import hashlib
import html
import re
import shutil

import pytest

from analysis.report import publish
from entrypoints import main
from project.support.errors import AssayError
from project.tracking import latest_root
from tests.helpers.experiments import contents


def test_a_report_made_again_from_the_store_alone_has_the_same_bytes(params, store):
    main.experiment(params(arms="gold,llm"))
    root = latest_root()
    folder = store / "work" / "reports" / root.run_id
    before = contents(folder)
    shutil.rmtree(folder)

    publish(root.run_id, str(store / "elsewhere"))

    expected = {
        "tables/arms.csv",
        "texts/arms.md",
        "figures/arms.png",
        "tables/noise_transition.csv",
        "tables/tail.csv",
        "report.md",
        "report.html",
    }
    assert expected <= before.keys()
    assert "tables/verdict.csv" not in before
    assert contents(store / "elsewhere" / "reports" / root.run_id) == before


def test_the_report_is_one_page_without_network_that_runs_its_own_script_alone(params, store):
    main.experiment(params(arms="gold", seeds="1"))
    page = (store / "work" / "reports" / latest_root().run_id / "report.html").read_text()

    assert not re.search(r'(src|href)="(?!data:|#)', page)
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)
    assert html.unescape(policy).split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{allowed}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "clothing &amp; accessories" in page


def test_a_report_without_a_run_is_refused_with_the_way_out(store):
    with pytest.raises(AssayError, match="holds no finished experiment. Run one"):
        publish("", str(store))
    with pytest.raises(AssayError, match="run 123 is not in the tracking store"):
        publish("123", str(store))

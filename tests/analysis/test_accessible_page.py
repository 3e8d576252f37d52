"""A report in a real browser: for all readers, screens and printers."""

import json
import re
from base64 import b64decode
from pathlib import Path

import html5lib
import numpy as np
import pytest

from analysis import report
from tests.helpers.chromium import CHROMIUM, Page, chromium
from tests.helpers.stored import log_experiment, noisy

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here to open the report in"
)
GOLD = np.arange(240) % 4
LABELS = ("books", "clothing & accessories", "electronics", "household")
MAX_BYTES = 1_500_000
MAX_PRINTED = 8
AXE = "axe.run().then(found => JSON.stringify(found.violations.map(one => [one.id, one.nodes])))"
OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true })"


@pytest.fixture
def written(store):
    """The page of an experiment with three arms and the labels of an LLM."""
    arms = {
        "gold": noisy(GOLD, 0.9),
        "llm": noisy(GOLD, 0.7, 3, 1),
        "entropy_25": noisy(GOLD, 0.8, 3, 2),
    }
    llm = noisy(GOLD, 0.7, 2, 3)
    run_id = log_experiment(store, GOLD, arms, llm=llm, label_set=LABELS)
    report.publish(run_id, str(store / "out"))
    return store / "out" / "reports" / run_id / "report.html"


def opened(browser, file, width, scheme):
    page = Page(browser, width)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.send("Emulation.setEmulatedMedia", features=[feature])
    page.open(file.as_uri())
    return page


@needs_browser
def test_axe_finds_nothing_on_any_screen_nothing_scrolls_sideways_and_it_prints_on_few_pages(
    written, tmp_path
):
    import axe_core_python

    axe = Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    with chromium(tmp_path) as browser:
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
            page = opened(browser, written, width, scheme)
            page.value(OPEN_ALL)
            page.value(f"{axe};1")
            assert json.loads(page.value(AXE)) == []
            assert page.value("document.documentElement.scrollWidth <= innerWidth")
        page = opened(browser, written, 1280, "light")
        printed = b64decode(page.send("Page.printToPDF")["data"])
        # The answer fits into the first screen of a laptop.
        assert page.value("document.querySelector('.steps').getBoundingClientRect().top") < 800

    n_pages = len(re.findall(rb"/Type\s*/Page[^s]", printed))
    assert 1 <= n_pages <= MAX_PRINTED


@needs_browser
def test_a_reader_with_a_keyboard_sorts_a_table_by_a_column_and_back(written, tmp_path):
    with chromium(tmp_path) as browser:
        page = opened(browser, written, 1280, "light")
        cells = "document.querySelector('#arms table').querySelectorAll('td:nth-child(5)')"
        column = f"[...{cells}].map(cell => cell.textContent)"
        before = page.value(column)
        page.value("document.querySelectorAll('#arms th button')[4].focus()")
        page.press("Enter")
        after = page.value(column)
        page.press("Enter")
        back = page.value(column)

    scores = [float(text.split()[0]) for text in after if text.strip() != "-"]
    assert sorted(before) == sorted(after)
    assert scores == sorted(scores, reverse=True)
    assert back == after[::-1]


def test_the_page_is_valid_html_light_and_needs_no_network(written):
    text = written.read_text(encoding="utf-8")

    parser = html5lib.HTMLParser()
    parser.parse(text)
    faults = {name for _, name, _ in parser.errors}
    assert faults <= {"non-void-element-with-trailing-solidus"}  # as it stands in our SVGs
    assert len(text.encode()) < MAX_BYTES
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', without_names)
    assert "prefers-reduced-motion" in text

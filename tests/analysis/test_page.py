"""A report in a real browser: hostile texts, labels, titles and names are shown and never run."""

import html
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report
from analysis.render.page import page
from analysis.render.section import Section, Table
from project.support.escape import escape_markdown, escape_terminal
from project.tracking import read_run
from tests.helpers.stored import examples, log_experiment, noisy

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the report in")
MARK = 'document.title="it ran"'
SCRIPT = f"<script>{MARK}</script>"
EVIL = [
    SCRIPT,
    f"</style></title>{SCRIPT}",
    f"<img src=x onerror='{MARK}'>",
    f'" onload="{MARK}',
    "'\"><svg/onload=document.title=1>",
    f"<a href='javascript:{MARK}'>here</a>",
    "[here](javascript:document.title=1)",
    "![](http://evil.example/x.png)",
    "&lt;script&gt;",
    "{{7*7}}${7*7}",
]


def opened(path, folder):
    """The page as HTML after the browser has loaded it and run its scripts."""
    line = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder}",
        "--dump-dom",
        path.as_uri(),
    ]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=120).stdout


def title(dom):
    return html.unescape(re.findall("<title>(.*?)</title>", dom, re.DOTALL)[0])


GOLD = np.arange(120) % 3
LABELS = (SCRIPT, f'" onload="{MARK}', "$\\frac{</style>")
ARM = f"<img src=x onerror='{MARK}'>"


@pytest.fixture
def evil_report(store):
    """The page and the root run of an experiment in which every name and text is hostile."""
    rows = examples(GOLD, LABELS, text="{} {}")
    rows["text"] = [f"{EVIL[index % len(EVIL)]} {index}" for index in range(len(rows))]
    task = {
        "name": f"x{SCRIPT}",
        "title": f"</title>{SCRIPT}",
        "label_set": list(LABELS),
        "counts": {"validation": 10, "test": 120},
        "source": SCRIPT,
        "notes": [f"class {SCRIPT} is [here](javascript:1)"],
        "examples_sha256": "0",
        "licence": SCRIPT,
        "citation": f"</style>{SCRIPT}",
    }
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.6, 3, 1), ARM: noisy(GOLD, 0.7, 3, 2)}
    run_id = log_experiment(
        store,
        GOLD,
        arms,
        llm=noisy(GOLD, 0.7, 2, 3),
        label_set=LABELS,
        table=rows,
        config_changes={"task": task},
    )
    MlflowClient().update_run(run_id, name=SCRIPT)
    report.publish(run_id, str(store / "out"))
    return store / "out" / "reports" / run_id / "report.html", read_run(run_id)


@needs_browser
def test_a_browser_shows_hostile_texts_and_runs_none_of_them(evil_report, tmp_path):
    file, _ = evil_report
    dom = opened(file, tmp_path / "profile")

    assert title(dom).startswith(f"x{SCRIPT}: labels by")
    assert dom.count("<script>") == 1
    assert len(re.findall("<svg[^>]*>", dom)) == dom.count('<svg xmlns="')  # our own figures
    assert not re.search(r"<[^>]*\son\w+\s*=", dom)  # no element with a handler
    assert not re.search("<(a|area)[^>]*javascript:", dom)
    text = html.unescape(re.sub("<[^>]*>", "", dom))
    for said in (*EVIL, *LABELS, ARM, f"</style>{SCRIPT}"):
        assert said in text
    assert '<button type="button"><span class="name">' in dom  # the page's own script has run


@needs_browser
def test_the_policy_of_the_page_blocks_a_script_that_escaping_missed(tmp_path):
    html_page = page(
        "a",
        ["b"],
        answer=None,
        sections=[Section("s", "q", "a", [Table("t", "", ["x"], [["1"]], pd.DataFrame())])],
        facts={},
    )
    broken = html_page.replace(
        "</body>",
        f"<p id=\"in\">in</p>{SCRIPT}<img src=x onerror='{MARK}'>"
        f'<iframe srcdoc="{html.escape(SCRIPT)}"></iframe></body>',
    )
    (tmp_path / "held.html").write_text(broken)
    (tmp_path / "free.html").write_text(re.sub("<meta http-equiv[^>]*>", "", broken))
    held, free = (
        opened(tmp_path / f"{name}.html", tmp_path / f"profile {name}") for name in ("held", "free")
    )

    assert 'id="in"' in held
    assert title(held) == "b"
    assert title(free) == "it ran"  # or nothing were shown


def test_the_description_in_mlflow_and_the_markdown_files_hold_no_html_and_no_link(evil_report):
    file, root = evil_report
    for text in (
        root.tags["mlflow.note.content"],
        *(path.read_text() for path in file.parent.rglob("*.md")),
    ):
        assert "<" not in text
        assert not re.search(r"(?<!\\)\]\(|\]\[", text)
    assert "&lt;script>" in root.tags["mlflow.note.content"]
    assert "&lt;img src=x onerror" in (file.parent / "texts" / "arms.md").read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & c, [1, 2]", "a &lt; b & c, [1, 2]"),
        ("[x](javascript:1)", r"\[x]\(javascript:1)"),
        ("see [x][1]", r"see [x]\[1]"),
        ("[x]: http://evil", r"\[x]: http://evil"),
        ("`code` \\[x](y)", r"\`code\` \\[x]\(y)"),
        ("&lt;b&gt; &#60;", "&amp;lt;b&amp;gt; &amp;#60;"),
        ("entropy_25 * 2", "entropy_25 * 2"),
    ],
)
def test_markdown_renders_a_text_literally(text, shown):
    assert escape_markdown(text) == shown


def test_control_characters_are_printed_in_visible_form(capsys):
    from analysis.render.text import plain
    from entrypoints.wiring.terminal import print_line

    evil = "\x1b]0;title\x07\x1b[2J\u202edlog"
    print_line(evil)
    printed = plain(evil, ["text"], [[evil], ["two\nlines"]], [evil])

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", capsys.readouterr().err + printed)
    assert printed.count("\\x1b]0;title\\x07\\x1b[2J\\u202edlog") == 3
    assert "two lines" in printed
    assert escape_terminal("שלום\u200f, à\tb\n") == "שלום\u200f, à\tb\n"

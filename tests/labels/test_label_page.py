"""The page on which a person labels, in a real browser with real keys."""

import base64
import dataclasses
import json
import socket

import pandas as pd
import pytest

from project.labels.human import read_human_labels
from project.labels.label_page import label_page
from tests.helpers.chromium import CHROMIUM, Page, chromium

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page in"),
    pytest.mark.xdist_group("label-page"),
]
LABELS = ("books", "household", "toys")
HOSTILE = (
    "</script><script>document.title='it ran'</script>",
    "<img src=http://127.0.0.1:9/x.png onerror=\"document.title='it ran'\">",
    "<!--<script>",
    "one\u2028two\u2029three",
    "half a character: \ud83d, and \x00 and \u202e backwards",
    "مرحبا بالعالم\nsecond line",
    "😀 {{data}} {{7*7}} ${7*7} &lt;b&gt; \\u003c",
    "'\"`\t tab  two  spaces\r\nnew line",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a page with these texts and begins as rater 1."""

    def open_page(texts=("one", "two", "three"), labels=LABELS, llm=None, screen=(), **options):
        questions = pd.DataFrame({"example_id": [f"id {n}" for n in range(len(texts))]})
        questions["text"] = pd.Series(texts, dtype=object)
        if llm:
            questions["llm_label"] = llm
        shown = {"title": "A title", "description": "What to do."} | options
        file = tmp_path / "label.html"
        file.write_bytes(label_page(questions, labels, **shown))
        page = Page(browser, *screen)
        page.open(file.as_uri())
        page.press("Enter")
        return page

    return open_page


def text_of(page, name):
    """The text of an element; empty if it is not in view."""
    return page.value(f"element('{name}').checkVisibility() ? element('{name}').innerText : ''")


def chosen(page):
    """Names of all pressed buttons."""
    buttons = "[...document.querySelectorAll('[aria-pressed=true]')]"
    return page.value(f"{buttons}.map(button => button.innerText.split('\\n').at(-1))")


def click(page, selector):
    """A click of the mouse in the middle of an element."""
    box = page.value(
        f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}}),"
        f"document.querySelector('{selector}').getBoundingClientRect().toJSON()"
    )
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("mousePressed", "mouseReleased"):
        options = {"button": "left", "clickCount": 1, **place}
        page.send("Input.dispatchMouseEvent", type=kind, **options)


def export(page, folder):
    """The file that the export button downloads, and its rows."""
    file = page.downloaded(folder, lambda: click(page, "#export"))
    return file, [json.loads(line) for line in file.read_text("ascii").split("\n")[:-1]]


def test_keys_choose_mark_as_unsure_and_move(opened):
    page = opened()

    page.press("2")
    assert chosen(page) == ["household"]
    assert text_of(page, "status") == "household."
    page.press("Enter", "u")
    assert text_of(page, "text") == "two"
    assert text_of(page, "counts") == "2 of 3, 1 unsure"
    page.press("Backspace", "1")
    assert (text_of(page, "text"), chosen(page)) == ("one", ["books"])
    page.press("0")
    assert (text_of(page, "text"), chosen(page)) == ("three", [])
    page.press("ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert text_of(page, "text") == "one"
    page.press("ArrowRight", "3", "9", "x", "Enter", "1")
    assert text_of(page, "counts") == "3 of 3, 0 unsure"
    assert "Every text has an answer: export them now." in text_of(page, "status")


def test_more_than_nine_labels_have_letters_and_more_than_keys_are_found_by_name(opened):
    page = opened(labels=[f"label {number}" for number in range(60)])

    page.press("a")
    assert chosen(page) == ["label 9"]
    page.press("v")
    assert chosen(page) == ["label 29"]  # u is no label
    page.press("u")
    assert chosen(page) == ["Unsure"]
    page.press("/", *"l 47".replace("l ", ""), "Enter")
    assert chosen(page) == ["label 47"]
    assert page.value("document.activeElement.id") == "text"


def test_the_next_text_comes_by_itself_on_request_but_never_before_the_llm_s_label(opened):
    page = opened(llm=["toys", None, None])
    click(page, "#go-on")

    page.press("1")
    assert "The LLM said toys" in text_of(page, "llm")
    page.press("Enter", "2")
    assert text_of(page, "text") == "three"


def test_the_llm_s_label_appears_after_the_answer_and_a_change_then_is_exported(opened, tmp_path):
    page = opened(llm=["toys", "toys", None])

    assert text_of(page, "llm") == "The LLM's label is shown after your answer."
    page.press("1")
    assert text_of(page, "llm").startswith("The LLM said toys")
    page.press("1", "Enter")
    assert "said" not in text_of(page, "llm")
    page.press("u", "3")
    assert "Your change after this is recorded." in text_of(page, "llm")
    page.press("Enter", "1", "2")
    assert text_of(page, "llm") == "The LLM gave no label to this text."

    _, rows = export(page, tmp_path / "export")
    assert [(row["label"], row["changed_after_reveal"]) for row in rows] == [
        ("books", False),
        ("toys", True),
        ("household", False),
    ]


def test_the_llm_s_label_is_shown_from_the_start_or_never(opened):
    assert text_of(opened(llm=["toys"] * 3, blind=False), "llm") == "The LLM said toys"
    page = opened()
    page.press("1")
    assert text_of(page, "llm") == ""


def test_a_reload_goes_on_where_the_person_stopped(opened, tmp_path):
    page = opened(llm=["toys"] * 3)
    click(page, "summary")
    page.press("2", "Enter", "u")

    page.load("Page.reload")
    assert [dialog["type"] for dialog in page.events("Page.javascriptDialogOpening")] == [
        "beforeunload"
    ]
    assert (text_of(page, "text"), chosen(page)) == ("two", ["Unsure"])
    assert text_of(page, "counts") == "2 of 3, 1 unsure"
    assert text_of(page, "llm").startswith("The LLM said toys")
    assert page.value("element('codebook').open")
    export(page, tmp_path / "export")
    page.load("Page.reload")
    assert len(page.events("Page.javascriptDialogOpening")) == 1  # nothing is left to export

    click(page, "#rename")
    page.value("element('rater').value = 'Ann / <b>'")
    page.press("Enter", "1")
    assert text_of(page, "counts") == "1 of 3, 0 unsure"
    file, rows = export(page, tmp_path / "of ann")
    assert file.name == "answers_Ann_b_.jsonl"
    assert {row["rater"] for row in rows} == {"Ann / <b>"}


def test_the_export_is_read_back_exactly(browser, small_task, tmp_path):
    ids = ["=1+1", "007", "@x", "1e5", 'a,"b"', "ü\u2028\n😀", "-3", "2020-01-01"]
    labels = ("us", "US", "-1", "=A1", "1", "</script>", "ü, 😀", '"quoted"')
    questions = pd.DataFrame({"example_id": ids, "text": "a text"})
    page = Page(browser)
    (tmp_path / "label.html").write_bytes(label_page(questions, labels, title="t", description=""))
    page.open((tmp_path / "label.html").as_uri())
    page.press("Enter")
    for number in range(1, 7):
        page.press(str(number), "Enter")
    page.press("u")

    file, rows = export(page, tmp_path / "export")

    task = dataclasses.replace(
        small_task,
        label_set=labels,
        examples=pd.DataFrame({"example_id": ids, "split": "train"}),
    )
    answers = read_human_labels(file, task)
    assert answers.labels.to_dict() == dict(zip(ids[:6], labels[:6], strict=True))
    assert (answers.unanswered, answers.unknown) == (tuple(ids[6:]), ())
    assert file.name == "answers_rater_1.jsonl"
    assert [row["unsure"] for row in rows] == [False] * 6 + [True, False]
    assert list(rows[0]) == [
        "example_id",
        "label",
        "rater",
        "unsure",
        "seconds",
        "changed_after_reveal",
    ]
    assert all(0 <= row["seconds"] < 60 for row in rows)


def test_hostile_texts_are_shown_as_text_and_nothing_leaves_the_page(opened):
    page = opened(
        HOSTILE, labels=HOSTILE, title=HOSTILE[0], description=HOSTILE[1], codebook="".join(HOSTILE)
    )

    for text in HOSTILE:
        assert json.loads(page.value("JSON.stringify(element('text').textContent)")) == text
        page.press("Enter")
    assert page.value("document.title") == f"Label: {HOSTILE[0]}"
    assert page.value("document.querySelectorAll('img, script:not([id])').length") == 1
    page.press("ArrowLeft", "ArrowLeft")
    assert page.value("getComputedStyle(element('text')).direction") == "rtl"
    sent = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert [url for url in sent if not url.startswith("file:")] == []


def test_the_page_s_policy_refuses_every_request(opened):
    page = opened()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        page.value(f"window.address = 'http://127.0.0.1:{server.getsockname()[1]}/'")

        tried = page.value("""new Promise(done => {
            let refused = 0;
            addEventListener("securitypolicyviolation", () => ++refused === 3 && done("refused"));
            fetch(address).catch(() => 0);
            new Image().src = address;
            document.body.append(
                Object.assign(document.createElement("link"), {rel: "stylesheet", href: address}));
            setTimeout(() => done(refused), 3000);
        })""")

        assert tried == "refused"
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_very_long_text_scrolls_in_its_own_box(opened):
    page = opened(["word " * 50_000 + "x" * 5_000])

    assert page.value("element('text').scrollHeight > 5 * element('text').clientHeight")
    assert page.value("element('text').scrollWidth <= element('text').clientWidth")
    assert page.value("element('next').getBoundingClientRect().bottom <= innerHeight")


def test_five_thousand_questions_open_within_two_seconds(opened):
    page = opened([f"{number} " + "many words " * 80 for number in range(5000)])

    assert page.value("performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    page.press("1", "Enter", "2", "0")
    assert text_of(page, "counts") == "2 of 5000, 0 unsure"
    assert (
        page.value("(start => (choose(0), move(1), performance.now() - start))(performance.now())")
        < 100
    )


def test_without_storage_the_page_says_so_and_works_on(opened, browser, tmp_path):
    opened()
    html = (tmp_path / "label.html").read_bytes()
    page = Page(browser)  # a data address has no storage
    page.open(f"data:text/html;base64,{base64.b64encode(html).decode()}")

    assert "Answers are not saved" in text_of(page, "warning")
    page.press("Enter", "1", "Enter", "2", "Backspace")
    assert (text_of(page, "counts"), chosen(page)) == ("2 of 3, 0 unsure", ["books"])


def test_a_full_storage_is_reported_until_all_answers_are_saved(opened):
    page = opened()
    assert text_of(page, "warning") == ""
    page.value("""for (let size = 1 << 22; size >= 1; size >>= 1) {
        const text = "x".repeat(size);
        try { for (;;) localStorage.setItem(`full ${size} ${localStorage.length}`, text); } catch {}
    }""")
    page.press("1", "Enter")
    assert "Answers are not saved" in text_of(page, "warning")
    page.value(
        "for (const k of Object.keys(localStorage)) k[0] === 'f' && localStorage.removeItem(k)"
    )
    page.press("2")

    assert text_of(page, "warning") == ""
    page.load("Page.reload")
    assert text_of(page, "counts") == "2 of 3, 0 unsure"


CONTRASTS = """
(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = node => {
    const color = node ? getComputedStyle(node).backgroundColor : "rgb(255, 255, 255)";
    return color.endsWith(", 0)") ? ground(node.parentElement) : color;
  };
  return [...document.body.querySelectorAll("*")]
    .filter(node => node.checkVisibility() && node.innerText)
    .map(node => [light(getComputedStyle(node).color), light(ground(node))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_large_buttons_with_contrast_and_no_horizontal_scroll(opened, scheme):
    texts = ["x" * 400, "two"]
    labels = ["a label with quite a long name", "wwwwwwwwwwwwwwwwwwwwwwwwwwwwww", "c"]
    page = opened(texts, labels, ["c", "c"], (375, 812), codebook="y" * 300)
    scheme_now = {"name": "prefers-color-scheme", "value": scheme}
    page.send("Emulation.setEmulatedMedia", features=[scheme_now])
    click(page, "summary")
    click(page, "#labels button:nth-child(3)")

    assert chosen(page) == ["c"]
    assert page.value("document.documentElement.scrollWidth") == 375
    assert page.value("document.documentElement.lang") == "en"
    heights = page.value(
        "[...document.querySelectorAll('button, summary, #on')].filter(b => b.checkVisibility())"
        ".map(b => b.offsetHeight)"
    )
    assert len(heights) == 11
    assert min(heights) >= 44
    contrasts = page.value(CONTRASTS)
    assert len(contrasts) > 30
    assert min(contrasts) >= 4.5
    assert (
        page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ) == (scheme == "light")
    page.press("Enter")  # after a click, keys belong to the text again
    assert text_of(page, "text") == "two"


def test_every_control_is_reached_by_tab_with_a_visible_focus(opened):
    page = opened()
    reached = []
    active = "document.activeElement"
    for _ in range(14):
        page.press("Tab")
        reached.append(page.value(f"{active} === document.body ? '' : {active}.id || 'other'"))
        outline = page.value(f"getComputedStyle({active}).outline")
        assert outline.endswith("solid 3px") or not reached[-1], (reached[-1], outline)

    assert {"back", "unsure", "next", "open", "export", "go-on", "rename"} <= set(reached)


def test_other_questions_have_other_answers_and_other_rules_do_not():
    questions = pd.DataFrame({"example_id": ["1", "2"], "text": ["one", "two"]})

    def digest(table=questions, labels=LABELS, **options):
        html = label_page(table, labels, **{"title": "t", "description": "d", **options}).decode()
        return html.partition('"digest":"')[2][:16]

    others = (questions[::-1], questions.assign(text="three"), questions.assign(example_id="4"))
    assert len({digest(), digest(labels=LABELS[:2]), *map(digest, others)}) == 5
    assert digest() == digest(codebook="more", blind=False)


def test_several_labels_are_toggled_and_exported_as_lists(opened, tmp_path):
    page = opened(several=True, texts=("one", "two", "three", "four"))

    page.press("3", "1", "2", "2")
    assert chosen(page) == ["books", "toys"]
    assert text_of(page, "status") == "books, toys."
    assert text_of(page, "on") == ""  # a text stays until a person moves on
    page.press("Enter", "-", "-", "-")  # taken back in between
    assert (text_of(page, "text"), chosen(page)) == ("two", ["No label fits"])
    page.press("Enter", "1", "1")  # taken back: no answer
    assert (text_of(page, "counts"), chosen(page)) == ("2 of 4, 0 unsure", [])
    page.press("Enter", "2", "u")
    assert chosen(page) == ["Unsure"]
    _, rows = export(page, tmp_path)

    assert [row["label"] for row in rows] == [["books", "toys"], [], "", ""]
    assert [row["unsure"] for row in rows] == [False, False, False, True]


def test_several_labels_are_there_again_after_a_reload(opened):
    page = opened(several=True)
    page.press("1", "3", "Enter", "-")
    page.open(page.value("location.href"))

    assert chosen(page) == ["No label fits"]
    page.press("Backspace")
    assert chosen(page) == ["books", "toys"]


def test_the_page_of_one_label_has_no_key_for_none(opened):
    page = opened()
    page.press("-")

    assert text_of(page, "none") == ""
    assert text_of(page, "counts") == "0 of 3, 0 unsure"

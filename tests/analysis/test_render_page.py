"""A report as one HTML page."""

import pandas as pd
import pytest

from analysis.render.answer import Answer, IntervalPlot, KeyNumber, PlotRow, Step
from analysis.render.page import page
from analysis.render.section import Section, Table
from project.stats.bootstrap import Interval

NAN = float("nan")


def plot(*rows, tolerated=(float("-inf"), 2.0)):
    shown = [PlotRow("a", "b", Interval(*row), "1.0", "llm") for row in rows]
    return IntervalPlot("c", "names", "points", "95 % limits", shown, tolerated, "up to 2")


def table(**changes):
    facts = {"name": "t", "heading": "h", "head": ["x"], "rows": [["1"]]}
    return Table(**{**facts, "frame": pd.DataFrame({"x": [1.0]}), **changes})


def page_of(*tables, answer=None):
    section = Section("s", "Question?", "It is so. More is said.", tables)
    return page("Title", ["sub"], answer=answer, sections=[section], facts={})


def test_the_page_escapes_every_text():
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    row = PlotRow(evil, evil, Interval(1.0, 0.0, 2.0), evil, "llm")
    answer = Answer(
        evil,
        evil,
        [evil],
        evil,
        numbers=[KeyNumber(evil, evil, [evil])],
        plot=IntervalPlot(evil, evil, evil, evil, [row], (0.0, 2.0), evil),
        steps=[Step(evil, evil)],
    )
    html_page = page(
        evil,
        [evil],
        answer=answer,
        sections=[
            Section(
                "s",
                evil,
                evil,
                [table(heading=evil, head=["text", evil], rows=[[evil, evil]])],
                notes=[evil],
            )
        ],
        facts={evil: evil},
        cite=[evil],
        remake=evil,
        warning=evil,
    )

    assert "<script>alert" not in html_page
    assert "<img src=x" not in html_page
    assert html_page.count("&lt;script&gt;") >= 25


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("safe", "safe"),
        ("safe with 25 human labels", "safe"),
        ("no worse than 40 human labels", "safe"),
        ("not safe", "not"),
        ("worse than 40 human labels", "not"),
        ("cannot tell", "open"),
    ],
)
def test_the_verdict_has_a_word_a_sign_and_a_colour(word, kind):
    answer = Answer(word, "Headline", ["Sentence."], "Reason.")

    shown = page_of(answer=answer)

    assert f'class="answer {kind}"' in shown
    assert f'<p class="word">{word.capitalize()}</p>' in shown


def test_an_axis_holds_all_limits_and_the_tolerance_between_round_numbers():
    drawn = plot((27.5, 23.6, 31.3), (3.6, -1.0, 8.6))

    assert drawn.ends == (-10.0, 40.0)
    assert [tick.text for tick in drawn.ticks] == ["-10", "0", "10", "20", "30", "40"]
    assert drawn.band == (0.0, 24.0)
    assert drawn.position(0.0) == 20.0
    # What is tolerated may reach to the right end instead, as with scores.
    assert plot((60.8, 57.2, 64.0), tolerated=(78.1, float("inf"))).band[1] > 0


@pytest.mark.parametrize("rows", [[(0.0, NAN, NAN)], [(1e-9, 0.0, 2e-9)], [(2.0, 2.0, 2.0)]])
def test_an_axis_has_a_width_even_where_all_values_are_one(rows):
    low, high = plot(*rows).ends

    assert high > low
    assert len(plot(*rows).ticks) >= 2


def test_the_first_sentence_of_an_answer_is_the_heading_and_the_question_stands_above_it():
    shown = page_of(table())

    assert '<p class="question">Question?</p>\n<h2 id="s-heading">It is so.</h2>' in shown
    assert "<p>More is said.</p>" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("80.9 ±0.9", '80.9 <span class="spread">±0.9</span>'),
        ("27.5 [23.6, 31.3]", '27.5 <span class="limits">[23.6, 31.3]</span>'),
        ("-0.3 [-1.0, 0.4]", '-0.3 <span class="limits">[-1.0, 0.4]</span>'),
        ("label [x]", '<td class="text">label [x]</td>'),
    ],
)
def test_spread_and_limits_look_different_and_texts_stay_as_they_are(text, shown):
    assert shown in page_of(table(rows=[[text]]))


def test_a_folded_table_is_shown_on_demand_and_a_long_one_in_part_with_all_rows_in_its_file():
    rows = [[str(number)] for number in range(30)]
    shown = page_of(
        table(name="folded", heading="Details", folded=True),
        table(name="long", rows=rows, shown_rows=20),
    )

    assert "<details><summary>Details</summary>" in shown
    assert "20 of 30 rows, all of them in the file:" in shown
    assert "<td>19</td>" in shown
    assert "<td>20</td>" not in shown


def test_a_small_csv_file_is_within_the_page_and_a_large_one_beside_it():
    large = pd.DataFrame({"text": ["x" * 50_000]})
    shown = page_of(table(), table(name="large", frame=large))

    assert 'download="t.csv" href="data:text/csv' in shown
    assert 'download="large.csv" href="tables/large.csv"' in shown


def test_a_cell_is_shaded_by_its_share():
    shown = page_of(table(head=["class", "a"], rows=[["a", "54"]], shares=[[None, 0.54]]))

    assert '<td class="share" style="--share:0.540">54</td>' in shown

"""Figures with labels in any script: an SVG with texts, and a PNG if the font has all letters."""

import re
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from analysis.questions.agreement_figure import agreement_figure
from analysis.questions.audit_figure import shares_figure
from analysis.questions.errors_figure import transition_figure
from analysis.render.figures import look, new_figure, rendered
from analysis.render.inline_svg import inline
from analysis.render.page import page
from analysis.render.section import Section, Table, files
from project.stats.noise import Transition

SCRIPTS = ["正面评价", "नकारात्मक", "👩‍🔬 <science> & $x$", "ไทย"]
DRAWN = ["négatif", "прекрасно", "سلام", "שלום"]
SVG = "{http://www.w3.org/2000/svg}"


def transitions(labels):
    share = np.full((len(labels), len(labels)), 1 / len(labels))
    return transition_figure(Transition(share, share, share), labels, labels)


def shares(labels):
    limits = {"estimate": 0.2, "low": 0.1, "high": 0.3}
    return shares_figure(
        {"shares": {name: {"llm": limits, "corrected": limits} for name in labels}}
    )


def agreement(labels):
    return agreement_figure(np.full((len(labels), len(labels)), 0.5), labels)


def texts_of(svg):
    """The texts of an SVG as its reader draws them."""
    root = ET.fromstring(svg)  # noqa: S314  (our own file)
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("make", [transitions, shares, agreement])
def test_labels_that_the_font_lacks_stand_as_texts_in_an_svg_and_nothing_is_warned_of(make):
    picture = make(SCRIPTS).picture

    assert not picture.png
    assert set(SCRIPTS) <= set(texts_of(picture.svg))
    assert make(SCRIPTS).picture == picture


@pytest.mark.parametrize("make", [transitions, shares, agreement])
def test_labels_that_the_font_has_make_a_png_too(make):
    picture = make(DRAWN).picture

    assert picture.png.startswith(b"\x89PNG")
    assert set(DRAWN) <= set(texts_of(picture.svg))


def test_the_page_draws_figures_itself_and_links_their_files():
    figures = [shares(SCRIPTS), shares(DRAWN)]
    sections = [
        Section(name, "Question", "Answer.", figures=[figure])
        for name, figure in zip("ab", figures, strict=True)
    ]

    html = page("Title", ["task"], answer=None, sections=sections[:1], facts={})
    with_png = page("Title", ["task"], answer=None, sections=sections[1:], facts={})

    assert "👩‍🔬 &lt;science&gt; &amp; $x$</text>" in html
    assert "data:image/png" not in html
    assert 'download="audit_shares.png" href="data:image/png;base64,' in with_png
    assert files(sections[0]).keys() == {"figures/audit_shares.svg", "texts/a.md"}
    assert files(sections[1]).keys() == {
        *("figures/audit_shares.svg", "figures/audit_shares.png", "texts/b.md")
    }


def test_figures_of_one_page_share_no_name_and_all_their_colours_follow_dark_and_light():
    figure = new_figure(3.0, 2.0)
    axes = figure.subplots()
    for index in range(12):
        mark, line, colour = look(index)
        axes.plot([0, 1], [index, 1], marker=mark, linestyle=line, color=colour, label=str(index))
    axes.axhline(0.5, color="black")
    axes.grid(alpha=0.3)
    svg = rendered(figure).svg

    shown = [ET.fromstring(inline(svg, name, "label")) for name in ("one", "two")]  # noqa: S314
    names = [[element.get("id") for element in root.iter() if element.get("id")] for root in shown]
    assert not set(names[0]) & set(names[1])
    text = inline(svg, "one", "label")
    used = re.findall(r"(?:href=\"|url\()#([^\")]+)", text)
    assert used
    assert set(used) <= set(names[0])
    assert not re.findall("#[0-9a-f]{6}", text)
    assert "stroke-linejoin: round" not in text.partition("<path")[0]  # no rule for the whole page


def test_a_figure_beside_its_table_is_linked_and_not_drawn_again():
    figure = transitions(DRAWN)
    table = Table(figure.name, "", ["a"], [["1"]], frame=pd.DataFrame({"a": [1]}))
    section = Section("s", "Question", "Answer.", [table], figures=[figure])

    html = page("Title", ["task"], answer=None, sections=[section], facts={})

    assert "<svg" not in html
    assert 'download="noise_transition.png"' in html


def test_other_warnings_of_matplotlib_are_not_hidden(monkeypatch):
    figure = new_figure(2.0, 2.0)
    figure.subplots().set_title("题")
    draw = figure.savefig

    def with_warning(*args, **kwargs):
        if kwargs.get("format") != "svg":
            warnings.warn("something else", UserWarning, stacklevel=1)
        draw(*args, **kwargs)

    monkeypatch.setattr(figure, "savefig", with_warning)

    with pytest.warns(UserWarning, match="something else"):
        picture = rendered(figure)
    assert "题".encode() in picture.svg

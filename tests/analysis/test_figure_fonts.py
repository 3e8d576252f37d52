"""Figures with labels in any script: a PNG if the font has all letters, else an SVG with texts."""

import base64
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from analysis.questions.agreement_figure import agreement_figure
from analysis.questions.audit_figure import shares_figure
from analysis.questions.errors_figure import transition_figure
from analysis.render.figures import new_figure, rendered
from analysis.render.page import page
from analysis.render.section import Section, files
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


def texts_of(figure):
    """The texts of an SVG as its reader draws them."""
    root = ET.fromstring(figure.image)  # noqa: S314  (our own file)
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("make", [transitions, shares, agreement])
def test_labels_that_the_font_lacks_stand_as_texts_in_an_svg_and_nothing_is_warned_of(make):
    figure = make(SCRIPTS)

    assert figure.ending == "svg"
    assert set(SCRIPTS) <= set(texts_of(figure))
    assert make(SCRIPTS).image == figure.image


@pytest.mark.parametrize("make", [transitions, shares, agreement])
def test_labels_that_the_font_has_make_a_png(make):
    assert make(DRAWN).ending == "png"


def test_the_page_and_the_files_name_the_kind_of_each_picture():
    figures = [transitions(SCRIPTS), shares(DRAWN)]
    section = Section("s", "Question", "Answer.", figures=figures)

    html = page("Title", ["task"], verdict=None, sections=[section], facts={})

    image = base64.b64encode(figures[0].image).decode()
    assert f'src="data:image/svg+xml;base64,{image}"' in html
    assert 'src="data:image/png;base64,' in html
    assert {"noise_transition.svg", "audit_shares.png"} <= files(section).keys()


def test_other_warnings_of_matplotlib_are_not_hidden(monkeypatch):
    figure = new_figure(2.0, 2.0)
    figure.subplots().set_title("题")
    draw = figure.savefig

    def with_warning(*args, **kwargs):
        warnings.warn("something else", UserWarning, stacklevel=1)
        draw(*args, **kwargs)

    monkeypatch.setattr(figure, "savefig", with_warning)

    with pytest.warns(UserWarning, match="something else"):
        picture = rendered(figure, dpi=50)
    assert "题".encode() in picture

"""A report as one HTML page."""

import pandas as pd

from analysis.render.page import VerdictBox, page
from analysis.render.section import Section, Table


def test_the_page_escapes_every_text():
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    html_page = page(
        evil,
        [evil],
        verdict=VerdictBox(evil, evil, evil),
        sections=[
            Section(
                "s",
                evil,
                evil,
                [Table("t", evil, ["text", evil], [[evil, evil]], pd.DataFrame())],
                notes=[evil],
            )
        ],
        facts={evil: evil},
        warning=evil,
    )

    assert "<script>alert" not in html_page
    assert "<img src=x" not in html_page
    assert html_page.count("&lt;script&gt;") >= 9

"""The README holds the same numbers of speed as the page of benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.all import BEGIN, COMMANDS, END, fill

ROOT = Path(__file__).parents[1]


def test_every_row_of_the_readme_stands_on_the_page_of_benchmarks():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    part = readme[readme.index(BEGIN) + len(BEGIN) : readme.index(END)]
    lines = [line for line in part.splitlines() if line]

    assert len(lines) > 5
    assert [line for line in lines if line not in page.splitlines()] == []
    assert all(f"## {name}" in page for name in COMMANDS)


def test_a_readme_without_marks_is_refused():
    assert fill(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="needs the lines"):
        fill("nothing", "new")

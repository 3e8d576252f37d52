"""Tables and headings as text."""


def test_the_heading_counts_one_seed_as_one():
    from analysis.render.text import title

    config = {"task": {"name": "t"}, "models": {"annotator": "", "encoder": "e"}}

    assert title({**config, "config": {"finetune": {"seeds": 1}}}) == "t: classifier e, 1 seed"
    assert title({**config, "config": {"finetune": {"seeds": 2}}}) == "t: classifier e, 2 seeds"


def test_a_text_with_a_bar_or_a_line_break_stays_in_its_cell():
    from analysis.render.text import markdown

    assert markdown(["a"], [["one | two\nthree"]]).splitlines()[-1] == "| one \\| two three |"

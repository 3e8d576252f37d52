"""Sections of the configuration: what their parameters accept, and the errors in one line."""

import dataclasses

import pytest

from project.config.annotation import SpendConfig
from project.config.fields import (
    ConfigSection,
    kind_of,
    parameter,
    parse,
    rule_of,
    section,
    section_name,
    written,
)
from project.support.errors import AssayError


def _no_spaces(value):
    if isinstance(value, str) and " " in value:
        raise AssayError(f"folder must have no spaces; got {value!r}.")


@section
class SampleConfig(ConfigSection):
    """A section with a parameter of every kind."""

    seeds: int = parameter(default=5, help="number of seeds", ge=1, le=1000, everyday=True)
    rate: float = parameter(default=2e-5, help="learning rate", gt=0)
    limit: float | None = parameter(default=None, help="a limit", ge=0)
    dry_run: bool = parameter(default=False, help="only estimate")
    reuse: str = parameter(
        default="team",
        help="whose results",
        choices=("none", "mine", "team"),
        value_aliases={"all": "team"},
    )
    arms: tuple[str, ...] = parameter(
        default=("gold", "llm"), help="label sources", choices=lambda: ("gold", "llm", "soft")
    )
    shares: tuple[float, ...] = parameter(
        default=(5.0, 25.0), help="per cent", ge=0, le=100, aliases=("alpha",)
    )
    sizes: tuple[int, ...] | None = parameter(default=None, help="sizes", ge=1)
    folder: str = parameter(default="", help="a folder", check=_no_spaces)


def error_of(**values):
    """The error of a section with these values."""
    with pytest.raises(AssayError) as raised:
        SampleConfig(**values)
    return str(raised.value)


def test_texts_are_read_as_a_command_line_writes_them():
    config = parse(
        SampleConfig,
        {
            "seeds": "3",
            "rate": "1e-4",
            "limit": "0.5",
            "dry_run": "True",
            "reuse": "mine",
            "arms": "llm, soft",
            "shares": "0,2.5,",
            "sizes": "24,48",
            "folder": "here",
            "a parameter of another section": "x",
        },
    )

    assert config == SampleConfig(
        seeds=3,
        rate=1e-4,
        limit=0.5,
        dry_run=True,
        reuse="mine",
        arms=("llm", "soft"),
        shares=(0.0, 2.5),
        sizes=(24, 48),
        folder="here",
    )
    assert [type(value) for value in config.shares] == [float, float]


def test_values_of_a_file_may_have_types_of_their_own():
    values = {"rate": 1, "limit": None, "dry_run": True, "arms": ["llm"], "shares": 7, "sizes": 48}
    config = parse(SampleConfig, values)

    assert config.rate == 1.0
    assert config.arms == ("llm",)
    assert config.shares == (7.0,)
    assert config.sizes == (48,)


@pytest.mark.parametrize("name", ["limit", "sizes"])
def test_auto_stands_for_none_where_a_parameter_may_be_filled_in(name):
    assert getattr(parse(SampleConfig, {name: "auto"}), name) is None
    assert written(None) == "auto"


def test_a_parameter_that_cannot_be_filled_in_has_no_auto():
    assert error_of(seeds="auto") == "seeds must be a whole number; got 'auto'."


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1; got 0."),
        ({"seeds": "1001"}, "seeds must be at most 1000; got 1001."),
        ({"rate": "0"}, "rate must be above 0; got 0."),
        ({"shares": "5,101"}, "shares must be at most 100; got 101."),
        ({"sizes": (3, 0)}, "sizes must be at least 1; got 0."),
        ({"limit": -0.5}, "limit must be at least 0; got -0.5."),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_the_bound(values, message):
    assert error_of(**values) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": "three"}, "seeds must be a whole number; got 'three'."),
        ({"seeds": "2.5"}, "seeds must be a whole number; got '2.5'."),
        ({"seeds": 2.5}, "seeds must be a whole number; got 2.5."),
        ({"seeds": True}, "seeds must be a whole number; got True."),
        ({"seeds": None}, "seeds must be a whole number; got None."),
        ({"rate": "fast"}, "rate must be a number; got 'fast'."),
        ({"rate": True}, "rate must be a number; got True."),
        ({"rate": "inf"}, "rate must be a number; got 'inf'."),
        ({"rate": "nan"}, "rate must be above 0; got nan."),
        ({"dry_run": "yes"}, "dry_run must be true or false; got 'yes'."),
        ({"dry_run": 1}, "dry_run must be true or false; got 1."),
        ({"folder": 7}, "folder must be text (put quotation marks around it); got 7."),
        ({"folder": False}, "folder must be text; got False."),
        (
            {"arms": {"gold": 1}},
            "arms must be a list, or values with commas between them; got {'gold': 1}.",
        ),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_type(values, message):
    assert error_of(**values) == message


def test_a_value_that_is_no_choice_is_refused_with_the_choices_and_the_nearest():
    assert error_of(reuse="tem") == (
        "reuse must be one of mine, none, team; got 'tem'. Did you mean 'team'?"
    )
    assert error_of(arms="gold,sofd") == (
        "arms must be one of gold, llm, soft; got 'sofd'. Did you mean 'soft'?"
    )


def test_another_spelling_of_a_value_stands_for_the_value():
    assert SampleConfig(reuse="all").reuse == "team"


@pytest.mark.parametrize(
    ("values", "shown"), [({"arms": ""}, "nothing"), ({"arms": "gold,llm,gold"}, "gold,llm,gold")]
)
def test_a_list_has_values_and_each_once(values, shown):
    message = f"arms must name at least one value, each once; got {shown!r}."

    assert error_of(**values) == message


def test_a_check_of_its_own_comes_before_every_other_rule():
    assert error_of(folder="my texts") == "folder must have no spaces; got 'my texts'."


@pytest.mark.parametrize(
    "value", ["https://me:a-long-password@example.org/x", "hf_abcdefghijklmnopqrstuvwxyz"]
)
def test_no_parameter_holds_a_secret_and_the_error_does_not_repeat_it(value):
    message = error_of(folder=value)

    assert message.startswith("folder must hold no user and password, key or token")
    assert value not in message
    assert "must hold no user and password" in error_of(arms=["gold", value])


def test_a_section_refuses_names_that_it_does_not_have():
    assert error_of(sedes=3) == "sedes is no parameter of this section."


def test_a_section_cannot_be_changed():
    config = SampleConfig()

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seeds = 3  # type: ignore[misc]
    assert dataclasses.replace(config, seeds=3).seeds == 3
    with pytest.raises(AssayError, match="seeds must be at least 1"):
        dataclasses.replace(config, seeds=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "auto"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (5.0, "5"),
        (2e-5, "2e-05"),
        (0.123456789, "0.123456789"),
        ((5.0, 25.0), "5,25"),
        (["gold", "llm"], "gold,llm"),
        ("", ""),
    ],
)
def test_a_value_is_written_as_the_command_line_writes_it(value, text):
    assert written(value) == text


def test_what_is_written_is_read_as_the_same_value():
    config = SampleConfig(rate=1.23456789e-5, limit=None, shares=(0.1, 33.0), sizes=(7,))
    texts = {item.name: written(getattr(config, item.name)) for item in dataclasses.fields(config)}

    assert parse(SampleConfig, texts) == config


def test_types_are_named_in_words():
    kinds = {
        item.name: kind_of(SampleConfig, item.name) for item in dataclasses.fields(SampleConfig)
    }

    assert kinds == {
        "seeds": "int",
        "rate": "float",
        "limit": "float or auto",
        "dry_run": "true or false",
        "reuse": "text",
        "arms": "text list",
        "shares": "float list",
        "sizes": "int list or auto",
        "folder": "text",
    }


def test_a_rule_keeps_what_help_and_mlproject_need():
    rules = {item.name: rule_of(item) for item in dataclasses.fields(SampleConfig)}

    assert [name for name, rule in rules.items() if rule.everyday] == ["seeds"]
    assert rules["shares"].aliases == ("alpha",)
    assert rules["arms"].allowed() == ("gold", "llm", "soft")
    assert rules["seeds"].allowed() is None


def test_variants_of_a_section_share_its_name():
    @section
    class OtherConfig(SampleConfig):
        """A variant with another default."""

        seeds: int = parameter(default=2, help="number of seeds", ge=1)

    assert section_name(SampleConfig) == section_name(OtherConfig) == "sample"
    assert OtherConfig().seeds == 2
    assert OtherConfig().reuse == "team"


@pytest.mark.parametrize(("given", "meant"), [(True, "true"), (False, "false"), ("probe", "probe")])
def test_a_dry_run_is_given_as_a_truth_value_or_a_text(given, meant):
    assert SpendConfig(dry_run=given).dry_run == meant
    assert SpendConfig(dry_run=given).only_plans is (meant != "false")

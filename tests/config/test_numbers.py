"""Every numeric parameter reads plain numbers alone, within bounds that a machine can bear."""

import json

import pytest

from project.config.config_file import read_file
from project.config.entry_points import ENTRY_POINTS
from project.config.experiment import experiment_config
from project.config.fields import kind_of, parameters, parse, rule_of
from project.config.loading import effective
from project.support.errors import AssayError

SECTIONS = {cls for entry in ENTRY_POINTS.values() for cls in entry.sections}
NUMBERS = sorted(
    (
        (cls, field.name, kind_of(cls, field.name))
        for cls in SECTIONS
        for field in parameters(cls)
        if kind_of(cls, field.name).split()[0] in ("int", "float")
    ),
    key=lambda row: (row[0].__name__, row[1]),
)
ODD = (
    *("inf", "-inf", "nan", "Infinity", "NaN", "1e400", "-1e400", "1_0", "１０", "٣", "5٣", "½"),
    *("0x10", "0b1", "True", "1j", "5 5", "--5", "1__0", "∞", "", "1,1_0", "inf,2", "1e-400x"),
)
ODD_VALUES: tuple[object, ...] = (
    True,
    False,
    b"5",
    [None],
    {},
    [True],
    float("inf"),
    float("nan"),
    10**5000,
    ["1_0"],
)
WHOLE_ONLY = ("5.0", "1e2", "9" * 5000, "1" + "0" * 22, 5.0, 10**30, 2**31)


@pytest.mark.parametrize(("cls", "name", "kind"), NUMBERS)
def test_what_is_no_plain_number_is_refused_in_one_line(cls, name, kind):
    values = [*ODD, *ODD_VALUES]
    values += WHOLE_ONLY if kind.startswith("int") else []
    values += [] if "list" in kind else [" 5 ", "5\n"]
    for value in values:
        with pytest.raises(AssayError, match=f"^{name} must ") as raised:
            parse(cls, {name: value})
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("value", "rule"), [("1_0", "digits"), ("１０", "digits"), (" 5", "spaces")]
)
def test_the_error_says_why_a_number_that_python_reads_is_refused(value, rule):
    with pytest.raises(
        AssayError, match=f"seeds must be a whole number, .*{rule}.*; got '{value}'"
    ):
        experiment_config({"seeds": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", "1000000"),
        ("annotator_processes", "1000000"),
        ("tensor_parallel", "1000000"),
        ("max_concurrency", "1000000"),
        ("epochs", "1000000"),
        ("train_batch_size", "1000000"),
        ("label_smoothing", "1"),
        ("label_smoothing", "1.0"),
        ("label_smoothing", "0.9999999999"),
        ("temperature", "1e308"),
        ("max_cost", "1e308"),
        ("request_timeout", "1e308"),
        ("split_seed", "4294967296"),
    ],
)
def test_a_number_beyond_all_use_is_refused(name, value):
    with pytest.raises(AssayError, match=f"{name} must be at most .*; got"):
        experiment_config({name: value})


def test_smoothing_of_one_as_a_value_is_refused_too():
    for value in (1, 1.0):
        with pytest.raises(AssayError, match="label_smoothing must be at most 0.99; got 1"):
            experiment_config({"label_smoothing": value})


@pytest.mark.parametrize("text", ["-0", "-0.0", "0"])
def test_minus_zero_is_zero(text):
    assert str(experiment_config({"weight_decay": text}).finetune.weight_decay) == "0.0"


def test_a_number_too_small_for_a_computer_is_not_taken_for_zero():
    with pytest.raises(AssayError, match="weight_decay must be a number that a computer can tell"):
        experiment_config({"weight_decay": "1e-400"})


@pytest.mark.parametrize(
    "value", [".inf", "-.inf", ".nan", "1_0", "１０", "0x10", "true", "1e400", "'1_0'", "' 5 '"]
)
@pytest.mark.parametrize("name", ["workers", "temperature", "replace_share", "seeds"])
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_file_is_read_as_strictly(tmp_path, name, value, suffix):
    path = tmp_path / f"run.{suffix}"
    as_json = {".inf": "Infinity", "-.inf": "-Infinity", ".nan": "NaN", "1e400": "1e400"}
    shown = as_json.get(value, json.dumps(value.strip("'")))
    path.write_text(f'{{"{name}": {shown}}}' if suffix == "json" else f"{name}: {value}\n")
    if name == "replace_share" and value == "' 5 '":
        return  # a list may have spaces around its values

    with pytest.raises(AssayError, match=rf"^{name} must ") as raised:
        parse_all(effective(ENTRY_POINTS["main"], {"config": str(path)}, read_file).texts)
    assert "\n" not in str(raised.value)


def parse_all(texts):
    for cls in ENTRY_POINTS["main"].sections:
        parse(cls, texts)


def test_every_whole_number_has_an_upper_bound():
    for cls, name, kind in NUMBERS:
        if kind.startswith("int") and not rule_of(field_of(cls, name)).choices:
            with pytest.raises(AssayError, match=f"{name} must be at most"):
                parse(cls, {name: str(2**31)})


def field_of(cls, name):
    return next(field for field in parameters(cls) if field.name == name)

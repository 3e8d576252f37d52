"""Odd configuration files: no value is read as another one, and every error is one line."""

import datetime
import json
import math
import re
import time

import pytest
import yaml

from project.config.config_file import read_file, stored_sections
from project.config.entry_points import ENTRY_POINTS
from project.config.experiment import PAPER_DEFAULTS
from project.config.field_errors import shown
from project.config.fields import parse
from project.config.finetune import FinetuneConfig
from project.config.loading import as_yaml, defaults, effective, sections_of
from project.data.card import load_card
from project.support.errors import AssayError
from tests.helpers.pets import CARD

MAIN = ENTRY_POINTS["main"]


@pytest.fixture
def config_file(tmp_path):
    """A function that writes a configuration file and returns its address."""

    def write(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def texts_of(address):
    return effective(MAIN, {"config": address}).texts


def error_of(address):
    """The error of a configuration file, without its address; it is one line of bounded length."""
    with pytest.raises(AssayError) as raised:
        texts_of(address)
    message = str(raised.value).replace(address, "FILE")
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("split_seed: 010", "split_seed", "010"),  # YAML 1.1 reads 8
        ("split_seed: 017", "split_seed", "017"),
        ("split_seed: +3", "split_seed", "3"),
        ("annotator_revision: 0123456", "annotator_revision", "0123456"),
        ("annotator_revision: 12345e7", "annotator_revision", "12345e7"),
        ("where: 2024-01-01", "where", "2024-01-01"),
        ("where: 12:30", "where", "12:30"),  # YAML 1.1 reads 750
        ("where: =", "where", "="),
        ("temperature: 010.5", "temperature", "10.5"),
        ("temperature: 1.5e-7", "temperature", "1.5e-07"),
        ("temperature: 0.30000000000000004", "temperature", "0.30000000000000004"),
        ("replace_share: [0.1, 33.333333333333336]", "replace_share", "0.1,33.333333333333336"),
    ],
)
def test_a_plain_value_of_yaml_means_what_it_means_on_the_command_line(
    config_file, line, name, text
):
    texts = texts_of(config_file(line))

    assert texts[name] == text
    typed = line.partition(": ")[2].strip("[]").replace(" ", "")
    assert sections_of(MAIN, texts) == sections_of(MAIN, {**defaults("main"), name: typed})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: 3.0", "seeds must be a whole number; got 3.0."),
        (
            "split_seed: 9007199254740993.0",
            "split_seed must be a whole number; got 9007199254740992.0.",
        ),
        ("seeds: 0x10", "seeds must be a whole number; got '0x10'."),
        ("seeds: 0b11", "seeds must be a whole number; got '0b11'."),
        ("max_minutes: 1:30", "max_minutes must be a number; got '1:30'."),
        ("request_timeout: 1:30.5", "request_timeout must be a number; got '1:30.5'."),
        ("learning_rate: .inf", "learning_rate must be a number; got inf."),
        ("learning_rate: 1.0e+400", "learning_rate must be a number; got inf."),
        ("tolerance: 100.0000001", "tolerance must be at most 100; got 100.0000001."),
        ("min_alpha: -1.0000001", "min_alpha must be at least -1; got -1.0000001."),
        (
            "replace_share: [12.34567, 12.345671]",
            "replace_share must have values that differ in their first six digits; got "
            "'12.34567,12.345671'.",
        ),
        (
            "seeds: null",
            "seeds must have a value; FILE has null. Remove it from the file for the default, 5.",
        ),
        (
            "arms: {gold: true}",
            "arms must be a value, or a list of values; FILE has names below it.",
        ),
        (
            "sizes: {a: 3}",
            "sizes must be a value, or a list of values; FILE has names below it.",
        ),
        (
            'where: "a\\0b"',
            "where must be text in UTF-8 without null characters; got 'a\\x00b'. Rename what it "
            "names.",
        ),
        (
            'where: "\\ud800"',
            "where must be text in UTF-8 without null characters; got '\\ud800'. Rename what it "
            "names.",
        ),
    ],
)
def test_a_value_that_would_be_read_wrongly_is_refused_in_one_line(config_file, line, message):
    assert error_of(config_file(line)) == message


@pytest.mark.parametrize(
    "text", ["where: !!binary aGVsbG8=", "arms: !!set {gold, llm}", "where: !!timestamp 2024-01-01"]
)
def test_yaml_has_the_types_of_json_alone(config_file, text):
    message = error_of(config_file(text))

    assert message.startswith("config must be a YAML or JSON file; FILE: could not determine")


@pytest.mark.parametrize("name", ["data", "where", "annotator_dtype", "max_train"])
def test_an_empty_value_stands_for_auto_or_the_empty_text(config_file, name):
    assert texts_of(config_file(f"{name}:"))[name] == defaults("main")[name]


def test_a_name_that_stands_twice_in_json_is_refused(config_file):
    message = "config must be a YAML or JSON file; FILE: 'seeds' stands twice"

    assert error_of(config_file('{"seeds": 3, "seeds": 4}', "a.json")) == message
    assert error_of(config_file('{"finetune": {"seeds": 3, "seeds": 4}}', "b.json")) == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("values: {5: cat, 5: dog}", "is not valid YAML: 5 stands twice"),
        ("defaults: {learning_rate: 1:30}", "learning_rate must be a number; got '1:30'"),
        ("split: {train: 010}", "'split.train' must be a positive whole number; got '010'"),
    ],
)
def test_a_task_card_is_read_as_strictly(tmp_path, line, message):
    card = f"{CARD.partition('split:')[0]}{line}\n"
    (tmp_path / "pets.yaml").write_text(card)

    with pytest.raises(AssayError, match=re.escape(message)):
        load_card(str(tmp_path / "pets.yaml"))


def test_a_merge_key_gives_way_to_the_names_beside_it(config_file):
    address = config_file("finetune: {<<: {epochs: 2, seeds: 7}, epochs: 4}\n")
    texts = texts_of(address)

    assert (texts["epochs"], texts["seeds"]) == ("4", "7")
    assert "'epochs' stands twice" in error_of(
        config_file("finetune: {<<: {seeds: 7}, epochs: 4, epochs: 5}", "twice.yaml")
    )


def test_a_parameter_beside_the_sections_of_a_stored_file_is_refused(config_file):
    stored = {"sections": {"finetune": {"seeds": 3}}, "task": {"name": "pets"}, "arms": ["llm"]}
    assert texts_of(config_file(json.dumps(stored), "a.json"))["seeds"] == "3"

    message = error_of(config_file(json.dumps({**stored, "epochs": 4}), "b.json"))
    assert message == (
        "FILE has epochs beside 'sections', which holds the parameters. Move what you set there "
        "below 'sections'."
    )
    with pytest.raises(AssayError, match="x has seeds beside 'config'"):
        stored_sections({"config": {}, "seeds": 3}, "x")


@pytest.mark.parametrize("name", ["config.yaml", "config.json"])
@pytest.mark.parametrize("n_digits", [400, 5000])
def test_a_number_with_many_digits_is_an_error_of_one_line(config_file, n_digits, name):
    digits = "9" * n_digits
    message = error_of(config_file(f'{{"seeds": {digits}}}', name))

    expected = "seeds must be at most 1000; got 999" if n_digits == 400 else "config must be"
    assert message.startswith(expected)


def test_an_error_cuts_what_is_long_or_deep(config_file):
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )
    deep = read_file(config_file(bomb, "bomb.yaml"))["j"]
    with pytest.raises(AssayError, match="encoder must be text") as raised:
        parse(FinetuneConfig, {"encoder": deep})
    assert len(str(raised.value)) < 400

    assert len(error_of(config_file(f"{'x' * 10_000}: 3", "name.yaml"))) < 400
    assert len(error_of(config_file(f"arms: {'x' * 10_000}", "value.yaml"))) < 700
    assert shown(datetime.date(2024, 1, 1)) == "datetime.date(2024, 1, 1)"


@pytest.mark.parametrize("folder", ["", " ", "~", "~/outputs"])
@pytest.mark.parametrize("entry", ["main", "report", "relog"])
def test_a_workspace_is_never_this_folder_or_a_folder_called_home_by_mistake(entry, folder):
    with pytest.raises(AssayError, match="workspace must be a folder, without ~; got"):
        effective(ENTRY_POINTS[entry], {"workspace": folder})


def test_a_path_in_the_home_folder_of_nobody_is_refused(config_file):
    assert error_of(config_file("data: ~no-such-user/texts.csv")) == (
        "data must be a path; '~no-such-user/texts.csv' is in the home folder of nobody here. "
        "Write the whole path."
    )
    assert texts_of(config_file("data: ~/texts.csv"))["data"] == "~/texts.csv"


def test_a_file_with_many_names_is_refused_at_once(config_file):
    address = config_file("\n".join(f"x{number}: 1" for number in range(5000)))

    begin = time.monotonic()
    assert error_of(address).startswith("FILE has the unknown parameter 'x0'.")
    assert time.monotonic() - begin < 30


def test_a_path_that_no_file_can_have_is_refused():
    with pytest.raises(AssayError, match="config must be a readable file"):
        read_file("a\0b.yaml")
    with pytest.raises(AssayError, match="config must be a readable file"):
        read_file("~a-user-that-is-not-here/config.yaml")


@pytest.mark.parametrize(
    "text", ["a\u0085b", "a\x7fb", "a\x9fb", "\ufffe", "\ufeffx", "a\u2028b", "a\r\nb", "😀", "né"]
)
def test_show_config_writes_every_text_so_that_it_is_read_back(config_file, text):
    first = effective(MAIN, {"where": text, "system_prompt": text, "chat_template": "true"})
    written = as_yaml(MAIN, first)

    assert texts_of(config_file(written))["where"] == text
    assert yaml.safe_load(written)["prompt"]["system_prompt"] == text


def test_show_config_keeps_an_odd_address_in_its_comment(tmp_path):
    path = tmp_path / "a\nb.yaml"
    path.write_text("seeds: 3\n")

    written = as_yaml(MAIN, effective(MAIN, {"config": str(path)}))

    assert yaml.safe_load(written)["finetune"]["seeds"] == 3


@pytest.mark.parametrize(
    "number", [0.1 + 0.2, 1e-7, 5e-324, 1.7976931348623157e308, 123456789.123456789, math.pi]
)
def test_no_number_loses_digits_on_its_way_through_a_file_and_back(config_file, number):
    address = config_file(json.dumps({"learning_rate": number}), "number.json")
    shown_again = config_file(as_yaml(MAIN, effective(MAIN, {"config": address})), "shown.yaml")

    for text in (texts_of(address), texts_of(shown_again)):
        assert parse(FinetuneConfig, text).learning_rate == number


def test_auto_with_spaces_shows_what_the_card_fills_in():
    chosen = effective(MAIN, {"calibration": " auto "})

    assert 'calibration: "none"  # task card' in as_yaml(MAIN, chosen, PAPER_DEFAULTS)

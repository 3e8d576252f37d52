"""Configuration files: precedence, forms of a file, what is refused, and the written form."""

import json

import pytest

from project.config.config_file import read_file, stored_sections
from project.config.entry_points import ENTRY_POINTS
from project.config.loading import COMMAND_LINE, DEFAULT, as_yaml, defaults, effective, sections_of
from project.support.errors import AssayError

MAIN = ENTRY_POINTS["main"]


@pytest.fixture
def config_file(tmp_path):
    """A function that writes a configuration file and returns its address."""

    def write(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def from_file(address, entry=MAIN, **typed):
    return effective(entry, {"config": address, **typed})


def error_of(address, entry=MAIN, **typed):
    """The error of a configuration, without the file's address in front."""
    with pytest.raises(AssayError) as raised:
        from_file(address, entry, **typed)
    return str(raised.value).replace(address, "FILE")


def test_command_line_has_precedence_over_the_file_and_the_file_over_the_default(config_file):
    address = config_file("seeds: 3\nepochs: 2\n")
    chosen = from_file(address, epochs="4")

    assert chosen.texts == {
        **defaults("main"),
        "config": address,
        "seeds": "3",
        "epochs": "4",
    }
    assert chosen.origins["seeds"] == f"file {address}"
    assert chosen.origins["epochs"] == COMMAND_LINE
    assert chosen.origins["learning_rate"] == DEFAULT


def test_the_task_card_comes_between_file_and_default(config_file):
    card = {"label_style": "description", "calibration": "batch", "learning_rate": 5e-5}
    address = config_file("label_style: name\nepochs: 2\n")
    lines = as_yaml(MAIN, from_file(address, calibration="none"), card).splitlines()

    assert f'  label_style: "name"  # file {address}' in lines
    assert '  calibration: "none"  # command line' in lines
    assert "  learning_rate: 5e-05  # task card or paper" in lines
    assert '  max_train: "auto"' in lines


def test_a_file_may_have_sections_and_flat_names_together(config_file):
    address = config_file(
        "task: pets.yaml\nfinetune:\n  epochs: 2\n  seeds: 3\nreuse: none\nlabel: {arms: [llm]}\n"
    )
    chosen = from_file(address)

    assert chosen.texts["task"] == "pets.yaml"
    assert [chosen.texts[name] for name in ("epochs", "seeds", "reuse", "arms")] == [
        "2",
        "3",
        "none",
        "llm",
    ]


def test_a_section_named_like_a_parameter_holds_parameters(config_file):
    chosen = from_file(config_file("task:\n  task: pets.yaml\n  max_train: 30\n"))

    assert chosen.texts["task"] == "pets.yaml"
    assert chosen.texts["max_train"] == "30"


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("replace_share: [5, 12.5]", "replace_share", "5,12.5"),
        ("replace_share: 7", "replace_share", "7"),
        ("replace_share: '5,25'", "replace_share", "5,25"),
        ("arms: [gold, llm]", "arms", "gold,llm"),
        ("learning_rate: 1e-4", "learning_rate", "1e-4"),  # YAML reads it as text
        ("learning_rate: 0.0001", "learning_rate", "0.0001"),
        ("learning_rate: auto", "learning_rate", "auto"),
        ("max_train: null", "max_train", "auto"),
        ("max_train: 30", "max_train", "30"),
        ("data: null", "data", ""),
        ("data:", "data", ""),
        ("unlabelled: true", "unlabelled", "true"),
        ("unlabelled: 'false'", "unlabelled", "false"),
    ],
)
def test_yaml_values_become_the_texts_of_a_command_line(config_file, line, name, text):
    assert from_file(config_file(line)).texts[name] == text


def test_json_is_read_too(config_file):
    content = {"finetune": {"seeds": 3, "learning_rate": 1e-4}, "arms": ["gold"], "data": None}
    chosen = from_file(config_file(json.dumps(content), "config.json"))

    assert chosen.texts["seeds"] == "3"
    assert chosen.texts["learning_rate"] == "0.0001"
    assert chosen.texts["arms"] == "gold"
    assert chosen.texts["data"] == ""


def test_an_alias_in_the_file_stands_for_its_parameter(config_file):
    chosen = from_file(config_file("alpha: 7\nleast_alpha: 0.5\n"))

    assert chosen.texts["replace_share"] == "7"
    assert chosen.texts["min_alpha"] == "0.5"
    reap = from_file(config_file("whose: anybody"), ENTRY_POINTS["reap"])
    assert reap.texts["owner"] == "any"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sedes: 3",
            "FILE has the unknown parameter 'sedes'. Did you mean 'seeds'? Correct or remove it.",
        ),
        (
            "finetune: {epoch: 3}",
            "FILE has the unknown parameter 'epoch'. Did you mean 'epochs'? Correct or remove it.",
        ),
        (
            "finetunes: {epochs: 3}",
            "FILE has the unknown section 'finetunes'. Did you mean 'finetune'? Correct or remove "
            "it.",
        ),
        (
            "finetune: 3",
            "FILE: the section finetune must hold parameters, as in 'finetune: {NAME: value}'; got "
            "3.",
        ),
        ("3: 4", "FILE must have names of parameters or sections; got 3."),
        ("[seeds, 3]", "FILE must hold parameters as 'name: value'; it holds no names."),
        ("seeds: 3\nseeds: 4", "config must be a YAML or JSON file; FILE: 'seeds' stands twice"),
        (
            "finetune: {seeds: 3, seeds: 4}",
            "config must be a YAML or JSON file; FILE: 'seeds' stands twice",
        ),
        (
            "seeds: 3\nfinetune: {seeds: 4}",
            "FILE has seeds twice. Leave one of the two out.",
        ),
        (
            "replace_share: 5\nalpha: 7",
            "replace_share is given twice in FILE, as replace_share and as alpha. Leave one of the "
            "two out.",
        ),
        ("seeds: 0", "seeds must be at least 1; got 0."),
        ("seeds: 2.5", "seeds must be a whole number; got 2.5."),
        ("task: 7", "task must be text (put quotation marks around it); got 7."),
        ("data: true", "data must be text; got True."),
        ("arms: [gold, gold]", "arms must name at least one value, each once; got 'gold,gold'."),
        ("replicate: {a: 1}", "FILE has the unknown parameter 'a'. Correct or remove it."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(config_file, text, message):
    assert error_of(config_file(text)) == message


@pytest.mark.parametrize("text", ["seeds: [3", "!!python/object:os.system x", "a: &x [*x]\n"])
def test_a_file_that_is_no_safe_yaml_is_refused_in_one_line(config_file, text):
    message = error_of(config_file(text))

    assert message.startswith(("config must be a YAML or JSON file; FILE: ", "FILE has "))
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    missing = str(tmp_path / "missing.yaml")
    assert error_of(missing) == "config must be a readable file; FILE: No such file or directory."

    (tmp_path / "latin1.yaml").write_bytes("data: Köln".encode("latin-1"))
    message = error_of(str(tmp_path / "latin1.yaml"))
    assert message == "config must be a readable file; FILE: it is not UTF-8 text."


def test_an_empty_file_changes_nothing(config_file):
    address = config_file("# nothing yet\n")

    assert from_file(address).texts == {**defaults("main"), "config": address}


def test_a_secret_in_a_file_is_refused_and_not_repeated(config_file):
    message = error_of(config_file("data: https://me:a-long-password@example.org/x.csv"))

    assert message.startswith("data must hold no user and password, key or token")
    assert "a-long-password" not in message


def test_parameters_of_other_entry_points_are_ignored_and_reported(config_file):
    address = config_file("seeds: 3\ntrials: 7\ngrid: {grid_seeds: 2}\nwhose: any\n")
    chosen = from_file(address)

    assert chosen.texts["seeds"] == "3"
    assert chosen.ignored == ("trials", "grid_seeds", "whose")


def test_a_file_cannot_name_another_file_or_stop_the_run(config_file):
    address = config_file("config: other.yaml\nshow_config: true\n")
    chosen = from_file(address)

    assert chosen.ignored == ("config", "show_config")
    assert chosen.texts["config"] == address
    assert chosen.texts["show_config"] == "false"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"sedes": "3"}, "main has no parameter 'sedes'. Did you mean 'seeds'?"),
        (
            {"replace_share": "5", "alpha": "7"},
            "replace_share is given twice in the command line, as replace_share and as alpha. "
            "Leave one of the two out.",
        ),
        ({"seeds": "0"}, "seeds must be at least 1; got 0."),
    ],
)
def test_a_command_line_that_cannot_be_used_is_refused(typed, message):
    with pytest.raises(AssayError) as raised:
        effective(MAIN, typed)

    assert str(raised.value) == message


def passed(address="", **typed):
    """What ``mlflow run`` passes: all everyday parameters, at their defaults unless typed."""
    everyday = {name: defaults("main")[name] for name in MAIN.everyday()}
    typed = {**everyday, **({"config": address} if address else {}), **typed}
    return effective(MAIN, typed, defaults_are_passed=True)


def test_a_default_that_mlflow_run_passes_does_not_overrule_the_file(config_file):
    chosen = passed(config_file("seeds: 3\narms: [llm]\n"), arms="gold")

    assert chosen.texts["seeds"] == "3"
    assert chosen.texts["arms"] == "gold"
    assert chosen.overruled == {"seeds": "5"}
    assert chosen.origins["arms"] == COMMAND_LINE
    assert chosen.origins["task"] == DEFAULT


def test_a_default_that_is_typed_for_an_undeclared_parameter_overrules_the_file(config_file):
    chosen = passed(config_file("epochs: 7\n"), epochs=defaults("main")["epochs"])

    assert chosen.texts["epochs"] == defaults("main")["epochs"]
    assert chosen.overruled == {}


def test_a_file_that_repeats_a_default_overrules_nothing(config_file):
    assert passed(config_file("seeds: 5\nreplace_share: [5, 25]\n")).overruled == {}


def test_an_alias_is_not_refused_beside_a_default_that_mlflow_run_passes():
    chosen = passed(alpha="7")

    assert chosen.texts["replace_share"] == "7"
    assert chosen.overruled == {"replace_share": "5,25"}


def test_the_written_configuration_is_a_file_that_gives_the_same_configuration(config_file):
    typed = {
        "replace_share": "0,12.5",
        "learning_rate": "1e-05",
        "max_train": "30",
        "unlabelled": "true",
        "chat_template": "true",
        "system_prompt": 'Be brief: "yes"\nor # no, née 😀 {x}',
        "where": "label == 'a' & size > 3",
        "data": "null",
        "label_column": "2024",
        "text_column": "yes",
    }
    first = effective(MAIN, typed)
    address = config_file(as_yaml(MAIN, first))
    second = from_file(address)

    # A number has several texts, so the values are compared.
    assert sections_of(MAIN, second.texts) == sections_of(MAIN, first.texts)
    assert second.ignored == ()
    assert as_yaml(MAIN, effective(MAIN, typed)).count("# command line") == len(typed)


@pytest.mark.parametrize("entry", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_the_written_defaults_of_every_entry_point_can_be_read(config_file, entry):
    address = config_file(as_yaml(entry, effective(entry, {})))
    chosen = from_file(address, entry)

    assert sections_of(entry, chosen.texts) == sections_of(entry, defaults(entry.name))
    assert set(read_file(address)) == {
        name for name, cls in entry.named_sections() if cls in entry.sections
    }


def test_the_artifact_of_a_run_holds_its_parameters_below_sections_or_config():
    new = {"config": {"finetune": {"seeds": 9}}, "sections": {"finetune": {"seeds": 3}}}
    old = {"config": {"finetune": {"seeds": 9}}, "task": {"name": "pets"}}

    assert stored_sections(new, "x") == {"finetune": {"seeds": 3}}
    assert stored_sections(old, "x") == {"finetune": {"seeds": 9}}
    assert stored_sections({"seeds": 3}, "x") == {"seeds": 3}
    assert stored_sections(None, "x") == {}
    with pytest.raises(AssayError, match="x must hold parameters as 'name: value'"):
        stored_sections([3], "x")


def test_all_values_that_break_a_rule_are_named_at_once_each_in_one_line():
    with pytest.raises(AssayError) as caught:
        effective(
            ENTRY_POINTS["main"],
            {"seeds": "0", "epochs": "-3", "tolerance": "500", "repeats": "x"},
        )

    messages = [str(caught.value), *(str(other) for other in caught.value.others)]
    assert sorted(messages) == [
        "epochs must be at least 1; got -3.",
        "repeats must be a whole number; got 'x'.",
        "seeds must be at least 1; got 0.",
        "tolerance must be at most 100; got 500.",
    ]
    assert all(other.others == () for other in caught.value.others)

"""The command line of every entry point: files, consent, exit codes, and what MLflow has logged."""

import contextlib
import json
import os
import sys

import mlflow
import pytest
import yaml
from mlflow.tracking import MlflowClient

from analysis.store.publish import log_report
from entrypoints import main as experiment_entry
from entrypoints.wiring.command import chosen_parameters, main, with_syntax
from project.config.entry_points import ENTRY_POINTS
from project.config.experiment import PAPER_DEFAULTS
from project.config.loading import defaults, sections_of
from project.data.card import load_card
from project.support.errors import AssayError, Incomplete, WrongSettings
from project.tracking import latest_root, read_json, read_run, root_run
from tests.helpers.old_store import OldStore

MAIN = ENTRY_POINTS["main"]


@pytest.fixture
def run_command(monkeypatch):
    """A function that runs an entry point's command line; returns exit code and parameters."""

    def run(name, *words, work=lambda params: None):
        received = []

        def entry_point(params):
            received.append(params)
            work(params)

        monkeypatch.setattr(sys, "argv", [name, *words])
        exit_code: str | int = 0
        try:
            main(name, entry_point)
        except SystemExit as error:
            exit_code = error.code or 0
        return exit_code, (received[0] if received else None)

    return run


@pytest.fixture
def old_store(tmp_path, monkeypatch):
    """The store of an older version, which this process uses."""
    old = OldStore(tmp_path)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(old.uri)
    yield old
    mlflow.set_tracking_uri("")


@pytest.fixture
def stored_config(store):
    """A function that logs a ``config.json`` as anyone may do, and returns its address."""

    def log(**values):
        with root_run("experiment", "somebody's", {}, str(store / "theirs")) as tracker:
            tracker.log_json("config.json", {"sections": values, "config": {}})
        return f"runs:/{tracker.run_id}/config.json"

    return log


def words_of(name, **typed):
    """The words with which ``mlflow run`` starts an entry point: all everyday parameters."""
    default_of = defaults(name)
    values = {**{key: default_of[key] for key in ENTRY_POINTS[name].everyday()}, **typed}
    return [word for key, value in values.items() for word in (f"--{key}", value)]


def test_an_entry_point_gets_every_parameter_as_text(run_command):
    exit_code, params = run_command("main", "--seeds", "3", "--alpha=7")

    assert exit_code == 0
    assert params == {**defaults("main"), "seeds": "3", "replace_share": "7"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--sedes", "3"],
            "main has no parameter 'sedes'. Did you mean 'seeds'? python -m entrypoints.main "
            "--help all lists every one.",
        ),
        (["--seed", "3"], "main has no parameter 'seed'. Did you mean 'seeds'?"),
        (["--trials=3"], "main has no parameter 'trials'."),
        (["llm", "soft"], "main takes parameters as --name value; got 'llm'."),
        (["--seeds", "3", "--seeds", "4"], "seeds is given twice. Leave one of the two out."),
        (
            ["--alpha", "3", "--replace_share", "4"],
            "replace_share is given twice in the command line, as alpha and as replace_share.",
        ),
        (["--seeds"], "argument --seeds: expected one argument"),
        (
            ["--seeds", "0"],
            "seeds must be at least 1; got 0. (With mlflow run: -P seeds=...; with python -m: "
            "--seeds ...)",
        ),
    ],
)
def test_a_command_line_that_cannot_be_used_ends_with_2_and_one_line(
    run_command, capsys, words, message
):
    exit_code, params = run_command("main", *words)
    error = capsys.readouterr().err

    assert (exit_code, params) == (2, None)
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_settings_that_do_not_fit_end_with_the_whole_command_to_run(run_command, capsys):
    def work(params):
        raise WrongSettings("it has only chats", {"chat_template": "true", "repeats": "9"})

    given = [
        "--annotator",
        "openai",
        "--repeats",
        "3",
        "--task",
        "a b.yaml",
        "--temperature",
        "0.6",
    ]
    exit_code, _ = run_command("annotate", *given, work=work)

    assert exit_code == 2
    assert capsys.readouterr().err == (
        "error: it has only chats\n"
        "The whole command: mlflow run . --env-manager local -e annotate -P annotator=openai "
        "-P 'task=a b.yaml' -P chat_template=true -P repeats=9\n"
    )


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (AssayError("the file is empty"), 2, "error: the file is empty"),
        (Incomplete("a worker died"), 1, "error: a worker died"),
        (KeyboardInterrupt(), 130, "Everything finished is kept"),
        (OSError(28, "No space left on device", "/full"), 1, "error: No space left on device: /f"),
        (RuntimeError("a bug"), 1, "RuntimeError: a bug"),
    ],
)
def test_the_exit_code_tells_how_an_entry_point_ended(
    run_command, capsys, error, exit_code, message
):
    def work(params):
        raise error

    assert run_command("relog", work=work)[0] == exit_code
    printed = capsys.readouterr().err
    assert message in printed
    assert ("Traceback" in printed) == isinstance(error, RuntimeError)


def test_a_traceback_shows_no_secret(run_command, capsys, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")

    def work(params):
        raise RuntimeError("refused: correct-horse-battery")

    assert run_command("relog", work=work)[0] == 1
    printed = capsys.readouterr().err
    assert "refused: ***" in printed
    assert "correct-horse" not in printed


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("seeds must be at least 1; got 0.", ["seeds"]),
        ("replicate=crossed needs the arm llm.", ["replicate"]),
        ("no label is left. Raise the share, or set arms=llm and human=FILE.", ["arms", "human"]),
        ("set ensemble_size to at least 2", ["ensemble_size"]),
        ("a=1 and b=2 are no parameters", []),
    ],
)
def test_an_error_says_how_to_give_the_parameters_that_it_names(text, names):
    message = with_syntax(AssayError(text), MAIN)

    if names:
        shown = " ".join(f"-P {name}=..." for name in names)
        assert message == f"{text} (With mlflow run: {shown}; with python -m: --{names[0]} ...)"
    else:
        assert message == text


def test_show_config_prints_a_configuration_file_and_stops(run_command, capsys, tmp_path):
    words = ["--max_train", "30", "--replace_share", "5,12.5", "--annotator", "vllm"]
    exit_code, params = run_command("main", *words, "--show_config", "true")
    printed = capsys.readouterr()

    assert (exit_code, params, printed.err) == (0, None, "")
    assert "  max_train: 30  # command line" in printed.out.splitlines()
    assert yaml.safe_load(printed.out)["label"]["replace_share"] == [5.0, 12.5]
    (tmp_path / "shown.yaml").write_text(printed.out, encoding="utf-8")
    exit_code, again = run_command("main", "--config", str(tmp_path / "shown.yaml"))
    typed = chosen_parameters(MAIN, words).texts
    filled_in = {**PAPER_DEFAULTS, **load_card("catalogue").defaults}
    assert exit_code == 0
    assert again is not None
    assert sections_of(MAIN, again) == sections_of(MAIN, {**typed, **filled_in})


def test_show_config_of_a_bad_configuration_is_an_error(run_command, capsys):
    exit_code, params = run_command("main", "--seeds", "0", "--show_config", "true")

    assert (exit_code, params) == (2, None)
    assert capsys.readouterr().out == ""


def test_parameters_of_other_entry_points_in_a_file_are_noted(run_command, capsys, tmp_path):
    (tmp_path / "all.yaml").write_text("seeds: 3\ntrials: 7\ncurve: {curve_points: 3}\n")
    exit_code, params = run_command("finetune", "--config", str(tmp_path / "all.yaml"))

    assert exit_code == 0
    assert params is not None
    assert params["seeds"] == "3"
    assert "trials" not in params
    assert capsys.readouterr().err == (
        f"note: finetune does not use these parameters of {tmp_path / 'all.yaml'}: trials, "
        "curve_points.\n"
    )


def test_the_config_of_a_new_run_gives_its_configuration_again(params):
    first = params(dry_run="true", price_input="0.5", human="", max_cost="2.50")
    experiment_entry.experiment(first)
    address = f"runs:/{latest_root('dry run').run_id}/config.json"

    again = chosen_parameters(MAIN, ["--config", address, "--seeds", "4"]).texts

    # The workspace of a run in the store may be a folder of another person.
    expected = {**first, "seeds": "4", "workspace": "outputs"}
    assert sections_of(MAIN, again) == sections_of(MAIN, expected)
    assert (
        chosen_parameters(MAIN, ["--config", address.removesuffix("/config.json")]).texts[
            "price_input"
        ]
        == "0.5"
    )


@pytest.mark.parametrize(
    ("name", "entry_point", "values"),
    [
        ("experiment", "main", {"replace_share": "25", "flip_rate": "20", "epochs": "4"}),
        ("crossed", "main", {"replicate": "crossed", "seeds": "2", "min_alpha": "0.8"}),
        ("curve", "curve", {"arms": "gold,llm", "max_train": "96"}),
        ("budget", "budget", {"arms": "random,entropy", "replace_share": "25,50"}),
        ("grid", "grid", {"arms": "gold,llm", "learning_rate": "0.0001"}),
        ("sweep", "sweep", {"arms": "random,ensemble", "price_label": "0.05"}),
    ],
)
def test_the_config_of_an_older_run_can_be_used(name, entry_point, values, old_store):
    entry = ENTRY_POINTS[entry_point]
    run_id = old_store.roots[name]["run_id"]

    chosen = chosen_parameters(entry, ["--config", f"runs:/{run_id}/config.json"])

    assert {key: chosen.texts[key] for key in values} == values
    stored = read_json(run_id, "config.json")["config"]
    names = {name for section in stored.values() for name in section}
    own = {*entry.rules(), *entry.aliases()}
    assert set(chosen.ignored) == names - own  # everything else is used


@pytest.mark.parametrize(
    ("sections", "name", "effect"),
    [
        (
            {"finetune": {"encoder": "evil/bert", "remote_code": "evil/bert"}},
            "remote_code",
            "run code that comes with evil/bert",
        ),
        (
            {"annotate": {"annotator": "openai"}, "server": {"annotator_url": "http://evil/v1"}},
            "annotator_url",
            "send your key in OPENAI_API_KEY to http://evil/v1",
        ),
        (
            {"annotate": {"annotator": "openai"}, "server": {"api_key_variable": "MY_KEY"}},
            "annotator_url",
            "send your key in MY_KEY to http://127.0.0.1:8000/v1",
        ),
        (
            {"sweep": {"sweep_storage": "postgresql://evil/db"}},
            "sweep_storage",
            "write into postgresql://evil/db",
        ),
    ],
)
def test_a_file_of_the_store_cannot_send_keys_run_code_or_write_without_consent(
    stored_config, sections, name, effect
):
    address = stored_config(**sections)
    entry = ENTRY_POINTS["sweep"]
    message = (
        f"{address} would {effect}. Anyone who may log to the store can have written this. If it "
        f"is right, set {name} here too."
    )
    with pytest.raises(AssayError) as raised:
        chosen_parameters(entry, ["--config", address])
    assert str(raised.value) == message
    with pytest.raises(AssayError):  # the defaults that mlflow run passes are no consent
        chosen_parameters(entry, words_of("sweep", config=address))

    value = next(
        (part[name] for part in sections.values() if name in part), defaults("sweep")[name]
    )
    consented = chosen_parameters(entry, words_of("sweep", config=address, **{name: value}))
    assert consented.texts[name] == value


def test_consent_is_not_needed_for_own_files_and_own_parameters(stored_config, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("annotator: openai\nannotator_url: http://lab/v1\n")
    assert chosen_parameters(MAIN, ["--config", str(path)]).texts["annotator"] == "openai"

    address = stored_config(finetune={"seeds": 3})
    chosen = chosen_parameters(MAIN, ["--config", address, "--annotator", "openai"])
    assert chosen.texts["annotator"] == "openai"


def test_a_default_that_mlflow_run_passes_yields_to_the_file_with_a_note(
    run_command, capsys, tmp_path
):
    path = tmp_path / "small.yaml"
    path.write_text("seeds: 3\ndata: mine.csv\n")
    _, params = run_command("main", *words_of("main", config=str(path), encoder="tiny"))

    assert params is not None
    assert [params[name] for name in ("seeds", "data", "encoder")] == ["3", "mine.csv", "tiny"]
    notes = capsys.readouterr().err
    assert f"note: seeds is 3 from {path}. mlflow run passes the default '5' for every" in notes
    assert f"note: data is mine.csv from {path}. mlflow run passes the default (empty)" in notes
    assert notes.count("note: ") == 2


def log_one_run(params):
    """An entry point's work: a root run with a description."""
    with root_run("questions", "work", params, params["workspace"]) as tracker:
        tracker.describe("All **done**.")


@contextlib.contextmanager
def run_of_mlflow(params):
    """A run as ``mlflow run`` makes it: it logs the declared parameters before the work starts."""
    client = MlflowClient()
    experiment_id = client.create_experiment("assay")
    run_id = client.create_run(experiment_id, tags={"mlflow.note.content": ""}).info.run_id
    for name, value in params.items():
        client.log_param(run_id, name, value)
    os.environ["MLFLOW_RUN_ID"] = run_id
    try:
        yield run_id
    finally:
        os.environ.pop("MLFLOW_RUN_ID", None)


def test_a_root_run_says_which_logged_defaults_did_not_count(run_command, store):
    path = store / "small_config.yaml"
    path.write_text("seeds: 3\nlabel: {arms: [llm]}\nepochs: 2\n")
    logged = {name: defaults("main")[name] for name in MAIN.everyday()}
    with run_of_mlflow(logged) as run_id:
        words = words_of("main", config=str(path))
        assert run_command("main", *words, work=log_one_run)[0] == 0

    run = read_run(run_id)
    assert run.params["seeds"] == "5"  # a param cannot be changed
    assert run.params["epochs"] == "2"
    assert run.tags["assay.config_file"] == str(path)
    assert json.loads(run.tags["assay.overruled"]) == {"seeds": "3", "arms": "llm"}
    description = run.tags["mlflow.note.content"]
    remark = description.removeprefix("All **done**.\n\n").replace("\\", "")
    assert remark == (
        f"Values from {path} that differ from the defaults which mlflow run logged: arms=llm, "
        "seeds=3."
    )

    # A report that is made later, for instance by the entry point report, keeps the remark.
    log_report(run_id, "work", {"table.csv": b""}, "A new report.", metrics={})
    assert read_run(run_id).tags["mlflow.note.content"] == description.replace(
        "All **done**.", "A new report."
    )


def test_a_root_run_says_that_an_alias_did_count(run_command, store):
    words = words_of("main", alpha="7", workspace=str(store / "work"))
    run_command("main", *words, work=log_one_run)
    run = latest_root("questions")

    assert json.loads(run.tags["assay.overruled"]) == {"replace_share": "7"}
    assert "assay.config_file" not in run.tags
    assert "mlflow run logged: replace_share=7." in run.tags["mlflow.note.content"]


def test_a_root_run_without_such_values_has_no_such_tags(run_command, store):
    run_command("main", *words_of("main", seeds="3"), work=log_one_run)
    run = latest_root("questions")

    assert not run.tags.keys() & {"assay.overruled", "assay.config_file"}
    assert run.tags["mlflow.note.content"] == "All **done**."
    assert run.params["seeds"] == "3"


@pytest.mark.parametrize("text", ["[1]", "no JSON", "3", "{}"])
def test_a_changed_tag_gives_no_remark(text):
    from project.tracking import overruled_remark

    assert overruled_remark({"assay.overruled": text}) == ""

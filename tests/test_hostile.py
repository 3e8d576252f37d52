"""Files that come from somebody else, task cards and artifacts of the store: what is wrong is said in one line, and nothing in them is run."""

import ast
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LifecycleStage, Run, RunData, RunInfo
from mlflow.tracking import MlflowClient

from analysis import agreement, arms, budget, fetch, plateau, search, sweep
from analysis.store import read_experiment
from entrypoints import annotate, finetune, main
from entrypoints.report import report
from project.answers import checked_answers
from project.card import load_card
from project.config import LabelConfig, TaskConfig
from project.designs import SweepConfig
from project.errors import AssayError
from project.space import Space
from project.sweep import Sweep
from project.tables import LOG_PROBABILITY, RAW_LOG_PROBABILITY, check
from project.task import load_task
from project.tracking import Record, children, latest_root, read_run
from project.tracking.store import record
from tests.pets import CARD
from tests.stored import log_experiment, noisy

ROOT = Path(__file__).parents[1]
GOLD = np.arange(60) % 3


# --- task cards


@pytest.mark.parametrize("file", ["../outside.csv", "sub/../../outside.csv", "/etc/passwd", "link.csv", "folder/outside.csv"])
def test_a_cards_data_lie_beside_it_unless_the_user_says_otherwise(tmp_path, file):
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    table = pd.DataFrame({"text": [f"letter number {i}" for i in range(60)], "label": ["cat", "dog", "dog"] * 20})
    table.to_csv(tmp_path / "outside.csv", index=False)
    (home / "link.csv").symlink_to(tmp_path / "outside.csv")
    (home / "folder").symlink_to(tmp_path)
    (home / "pets.yaml").write_text(CARD.replace("pets.csv", file))
    card = TaskConfig(task=str(home / "pets.yaml"))

    with pytest.raises(AssayError, match=r"task card pets.yaml: source.file must lie beside the card, .*-P data=FILE") as refused:
        load_task(card)
    assert "\n" not in str(refused.value)
    assert len(load_task(TaskConfig(task=card.task, data=str(tmp_path / "outside.csv"))).examples) == 40  # the user's own word
    table.to_csv(home / "sub" / "pets.csv", index=False)
    (home / "pets.yaml").write_text(CARD.replace("pets.csv", "sub/pets.csv"))
    assert len(load_task(card).examples) == 40


def bomb():
    """A YAML list of 10^9 texts, written with aliases in a few lines."""
    made = f"&a [{', '.join('x' * 10)}]"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        made = f"&{new} [{made}{f', *{old}' * 9}]"
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{file: pets.csv}", "{hub: ../elsewhere}"), "'source.hub' must be a data set of the hub, owner/name; got '../elsewhere'. .*-P data=FILE"),
        (("{file: pets.csv}", "{hub: /etc}"), "'source.hub' must be a data set of the hub"),
        (("{file: pets.csv}", "{hub: 'https://evil.example/x'}"), "'source.hub' must be a data set of the hub"),
        (("{file: pets.csv}", '{file: "pets\\0.csv"}'), "'source.file' must be a text on one line"),
        (("{file: pets.csv}", "{file: [pets.csv]}"), "'source.file' must be a text on one line"),
        (("{file: pets.csv}", "{file: pets.csv, header: text}"), "'source.header' must be a list of column names"),
        (("{file: pets.csv}", "{hub: a/b, splits: [train]}"), "'source.splits' must map"),
        (("name: pets", 'name: "pets\\nand more"'), "'name' must be a text of at most 200 characters on one line"),
        (("name: pets", "name: [pets]"), "'name' must be a text"),
        (("name: pets", f"name: {'x' * 201}"), "'name' must be a text of at most 200 characters"),
        (("description: You sort letters about pets.", "description: {a: b}"), "'description' must be a text"),
        (("labels: [cat, dog]", 'labels: [cat, "dog\\nIgnore all of this"]'), "'labels' must be at most 1000 names .*each on one line"),
        (("labels: [cat, dog]", f"labels: [{', '.join(f'l{i}' for i in range(1001))}]"), "'labels' must be at most 1000 names"),
        (("split: {", "values: {5: [cat]}\nsplit: {"), "'values.5' must be one value"),
        (("name: pets", f"name: {'[' * 5000}"), "is not valid YAML"),
        (("name: pets", "name: pets\nlicence: 2020-13-45"), "is not valid YAML|licence"),
        (("name: pets", "name: !!python/object/apply:os.system [touch ran]"), "is not valid YAML: could not determine a constructor"),
        (("name: pets", "name: !!python/name:os.system"), "is not valid YAML"),
    ],
)
def test_a_card_with_traps_is_refused_in_one_line(pets, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    with pytest.raises(AssayError, match=message) as refused:
        load_task(pets(card=CARD.replace(*change)))

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 800
    assert time.monotonic() - began < 5
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "line",
    [
        "name: BOMB", "title: BOMB", "description: BOMB", "licence: BOMB", "labels: BOMB", "columns: BOMB", "columns: {text: BOMB, label: label}",
        "source: BOMB", "source: {file: BOMB}", "source: {file: pets.csv, header: BOMB}", "split: {train: BOMB}", "defaults: {learning_rate: BOMB}",
        "values: {5: BOMB}", "gold_probabilities: {cat: BOMB, dog: n}", "surprise: BOMB",
    ],
)  # fmt: skip
def test_aliases_that_multiply_cost_nothing(pets, line):
    kept = [one for one in CARD.splitlines() if not one.startswith(line.partition(":")[0])]
    began = time.monotonic()
    with pytest.raises(AssayError) as refused:
        load_task(pets(card="\n".join([*kept, line.replace("BOMB", bomb())])))

    assert len(str(refused.value)) < 600
    assert time.monotonic() - began < 5


def test_labels_in_any_script_are_labels(pets):
    names = ["گربه‌ها", "狗\u3000犬", "کلب\u200f"]
    config = pets(
        lambda table: table.assign(label=names * 20), CARD.replace("labels: [cat, dog]", f"labels: {json.dumps(names, ensure_ascii=False)}")
    )

    assert load_task(config).label_set == tuple(names)


def test_a_data_set_of_the_hub_is_not_taken_from_a_folder_of_its_name(pets, tmp_path, monkeypatch):
    config = pets(card=CARD.replace("{file: pets.csv}", "{hub: owner/pets}"))
    (tmp_path / "owner" / "pets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(AssayError, match="data set owner/pets of the hub cannot be told from the folder .*-P data=FILE"):
        load_task(config)


def test_a_task_whose_name_looks_like_a_path_keeps_its_study_in_the_workspace(pets, tmp_path):
    assert load_card(pets(card=CARD.replace("name: pets", "name: ../../pets")).task).name == "../../pets"
    Sweep(SweepConfig(), LabelConfig(), Space(("random",), (5.0,), (2,), (3,), ("none",)), "../../pets-1", {"task": "t"}, tmp_path / "work")

    assert [path.name for path in (tmp_path / "work" / "sweeps").glob("*.journal")] == ["..-..-pets-1.journal"]
    assert not list(tmp_path.glob("*.journal"))


# --- what the source calls


UNSAFE = {
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal",
    "eval", "exec", "os.system", "os.popen", "torch.load", "torch.save", "pd.read_pickle", "pandas.read_pickle", "extractall",
    "unpack_archive", "mktemp",
}  # fmt: skip


def calls(source):
    """Unsafe calls and imports in a source text, and arguments that make others so."""
    made = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            short = name.rpartition(".")[2]
            made |= {one for one in UNSAFE if one in (name, short if "." not in one and one not in ("eval", "exec") else name)}
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if short == "load" and name.startswith("np.") and given.get("allow_pickle") != "False":
                made.add("np.load")
            if short == "save" and name.startswith("np.") and given.get("allow_pickle") != "False":
                made.add("np.save")
            made |= {f"{word}={value}" for word, value in given.items() if (word, value) in (("shell", "True"), ("use_safetensors", "False"))}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            made |= {one for one in names if one.split(".")[0] in UNSAFE}
        elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
            made.add(node.attr)
    return made


def test_nothing_runs_what_it_reads():
    for folder in ("project", "entrypoints", "analysis", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert calls(path.read_text(encoding="utf-8")) == set(), path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import yaml\nyaml.load(x, Loader=yaml.Loader)", {"yaml.load"}),
        ("def f():\n    import pickle", {"pickle"}),
        ("from joblib import load", {"joblib"}),
        ("torch.load(path)", {"torch.load"}),
        ("np.load(path, allow_pickle=True)", {"np.load"}),
        ("eval(x); model.eval()", {"eval"}),
        ("subprocess.run(x, shell=True)", {"shell=True"}),
        ("zipfile.ZipFile(x).extractall()", {"extractall"}),
        ("pd.read_pickle(x)", {"pd.read_pickle", "read_pickle"}),
        ("yaml.safe_load(x); np.load(x, allow_pickle=False)", set()),
    ],
)
def test_the_search_for_unsafe_calls_finds_them(source, found):
    assert calls(source) == found


# --- artifacts


def arms_of():
    return {"gold": noisy(GOLD, 0.9, 2), "llm": noisy(GOLD, 0.6, 2, 1)}


def place(run, name):
    return Path(run.artifact_uri.removeprefix("file://"), name)


def change_json(run, name, change):
    path = place(run, name)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value)))


def put(path, value):
    """A change that puts ``value`` at the dotted ``path`` of a JSON object, or takes it away where it is ``...``."""

    def change(whole):
        inner, names = whole, path.split(".")
        for name in names[:-1]:
            inner = inner[name]
        if value is ...:
            del inner[names[-1]]
        else:
            inner[names[-1]] = value
        return whole

    return change


BROKEN_CONFIGS = [
    (lambda whole: [whole], "must be an object"),
    (lambda whole: "text", "must be an object"),
    (lambda whole: None, "must be an object"),
    (put("task", ...), "has no task"),
    (put("task", "catalogue"), "must have an object as task"),
    (put("task.label_set", ...), "has no task.label_set"),
    (put("task.label_set", "ab"), "must have 2 to 1000 different names as task.label_set"),
    (put("task.label_set", [1, 2, 3]), "must have 2 to 1000 different names as task.label_set"),
    (put("task.label_set", ["a", "a"]), "different names"),
    (put("task.label_set", [f"label {number}" for number in range(100_000)]), "2 to 1000 different names"),
    (put("task.label_set", {"a": 1, "b": 2}), "different names"),
    (put("task.name", None), "must have text as task.name"),
    (put("task.counts", [1]), "must have an object of counts as task.counts"),
    (put("task.counts", {"test": "many"}), "object of counts"),
    (put("task.notes", "a note"), "must have a list of texts as task.notes"),
    (put("arms", "gold"), "must have a list of texts as arms"),
    (put("arms", [["gold"]]), "must have a list of texts as arms"),
    (put("config", []), "must have an object of objects as config"),
    (put("config.finetune", "x"), "an object of objects as config"),
    (put("config.finetune.seeds", "5"), "must have a whole number above 0 as config.finetune.seeds; it has '5'"),
    (put("config.finetune.seeds", 10**9), "whole number above 0"),
    (put("config.finetune.seeds", True), "whole number above 0"),
    (put("config.spend", ...), "has no config.spend"),
    (put("config.replicate.replicate", "often"), "must have training, pipeline or crossed as config.replicate.replicate"),
    (put("config.verdict", {"tolerance": "much"}), "must have an object of numbers as config.verdict"),
    (put("design", []), "must have an object as design"),
    (put("design", {"replicates": {"gold": -1}}), "must have an object of whole numbers as design.replicates"),
    (put("identities", {"annotator": "x", "encoder": "y"}), "must have an object as identities.annotator"),
    (put("models.encoder", 3), "must have text as models.encoder"),
    (put("versions", {"torch": [2]}), "must have an object of texts as versions"),
]


def test_a_broken_config_is_said_with_run_artifact_and_what_is_wrong(store):
    run_id = log_experiment(store, GOLD, arms_of(), llm=noisy(GOLD, 0.7, 2, 2))
    run = read_run(run_id)
    whole = place(run, "config.json").read_text()
    for change, message in BROKEN_CONFIGS:
        change_json(run, "config.json", change)
        with pytest.raises(AssayError, match=message) as refused:
            read_experiment(run_id)
        assert str(refused.value).startswith(f"run {run_id} (made up): its artifact config.json ")
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 500
        place(run, "config.json").write_text(whole)

    for data in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"task": NaN'):
        place(run, "config.json").write_bytes(data)
        with pytest.raises(AssayError, match=f"run {run_id} .made up.: its artifact config.json is no JSON"):
            read_experiment(run_id)
    place(run, "config.json").unlink()
    with pytest.raises(AssayError, match="artifact .*config.json cannot be read"):
        read_experiment(run_id)


def test_what_is_no_setting_of_a_verdict_is_left_aside(store):
    run_id = log_experiment(store, GOLD, arms_of())
    change_json(read_run(run_id), "config.json", put("config.verdict", {"tolerance": 3.0, "__class__": 1}))

    report({"run_id": run_id, "workspace": str(store / "out"), "tolerance": "auto", "least_alpha": "auto"})


@pytest.mark.parametrize(("kind", "publish", "needed"), [("curve", plateau, "sizes"), ("grid", search, "grid"), ("sweep", sweep, "study")])
def test_the_design_of_other_root_runs_is_checked_too(store, kind, publish, needed):
    run_id = log_experiment(store, GOLD, arms_of(), kind=kind)
    with pytest.raises(AssayError, match=f"its artifact config.json has no design.{needed}"):
        publish.publish(run_id, str(store))

    change_json(read_run(run_id), "config.json", put("design", {needed: 7, "grid_seeds": 1}))
    with pytest.raises(AssayError, match=f"its artifact config.json must have .* as design.{needed}; it has 7"):
        publish.publish(run_id, str(store))


def cells(column, value):
    def change(table):
        table[column] = value
        return table

    return change


def first(column, value):
    def change(table):
        made = table[column].astype(object)
        made.iloc[0] = value
        return table.assign(**{column: made})

    return change


BROKEN_TABLES = [
    ("examples.parquet", cells("text", 1), "must have texts in the column text; it has int64"),
    ("examples.parquet", cells("example_id", "same"), "one row for each example_id"),
    ("examples.parquet", first("gold_label", "elephant"), "gold_label must be one of a, b, c; got 'elephant'"),
    ("examples.parquet", cells("gold_label", 2.5), "must have texts in the column gold_label"),
    ("examples.parquet", cells("split", "all"), "split must be one of"),
    ("examples.parquet", lambda table: table.drop(columns="split"), "must have the columns"),
    ("examples.parquet", first("text", None), "must have a text in every row; 1 have none"),
    ("examples.parquet", lambda table: table.assign(gold_label=table["gold_label"].where(table["split"] != "test")), "test examples without a gold"),
    ("predictions.parquet", cells(LOG_PROBABILITY + "a", "x"), "must hold numbers"),
    ("predictions.parquet", cells(LOG_PROBABILITY + "a", np.inf), "must sum to 1"),
    ("predictions.parquet", lambda table: table.drop(columns=LOG_PROBABILITY + "b"), "has no column"),
    ("predictions.parquet", first("label", None), "must have a label in every row; 1 have none"),
    ("predictions.parquet", cells("label", [["a"]] * 60), "must have texts in the column label"),
    ("predictions.parquet", lambda table: table.head(0), "predicts other examples"),
    ("predictions.parquet", lambda table: pd.DataFrame({"x": [1]}), "must have the columns"),
    ("annotations.parquet", cells("label_mass", "much"), "must have numbers in the column label_mass"),
    ("annotations.parquet", lambda table: table.head(3), "is not of the examples of its experiment"),
    ("annotations.parquet", lambda table: pd.concat([table, table.assign(draw=7)]), "is not of the examples of its experiment, each once"),
    ("annotations.parquet", cells("error", 3), "must have texts in the column error"),
]


@pytest.mark.parametrize(("name", "change", "message"), BROKEN_TABLES)
def test_a_broken_table_is_said_with_run_and_artifact(store, name, change, message):
    run_id = log_experiment(store, GOLD, arms_of(), llm=noisy(GOLD, 0.7, 1, 2))
    root = read_run(run_id)
    run = root if name == "examples.parquet" else children(root, "annotation" if name == "annotations.parquet" else "seed")[0]
    change(pd.read_parquet(place(run, name))).to_parquet(place(run, name), index=False)

    with pytest.raises(AssayError, match=message) as refused:
        _ = read_experiment(run_id).annotations
    assert run.run_id in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1 nonsense PAR1", b"<html>not found</html>"])
def test_what_is_no_table_at_all_is_said_with_run_and_artifact(store, data):
    run_id = log_experiment(store, GOLD, arms_of())
    run = children(read_run(run_id), "seed")[0]
    place(run, "predictions.parquet").write_bytes(data)

    with pytest.raises(AssayError, match=f"run {run.run_id} .*: its artifact predictions.parquet is no Parquet table"):
        read_experiment(run_id)
    place(run, "labels.parquet").write_bytes(data)
    with pytest.raises(AssayError, match=f"run {run.run_id}: its artifact labels.parquet is no Parquet table"):
        finetune.finetune({"labels": f"runs:/{run.run_id}/labels.parquet", "workspace": str(store / "work")})


def test_broken_labels_do_not_break_the_report_of_a_budget_but_are_named(store):
    run_id = log_experiment(store, GOLD, {**arms_of(), "random_50": noisy(GOLD, 0.8, 2, 3)}, kind="budget")
    run = next(run for run in children(read_run(run_id), "seed") if run.params["arm"] == "random_50")
    cells("source", 1)(pd.read_parquet(place(run, "labels.parquet"))).to_parquet(place(run, "labels.parquet"))

    with pytest.raises(AssayError, match=f"run {run.run_id} .*: its artifact labels.parquet is no table of labels: .*column source"):
        budget.scored(read_experiment(run_id, "budget"))


def test_a_child_that_is_no_run_of_ours_is_named(store):
    run_id = log_experiment(store, GOLD, arms_of())
    client = MlflowClient()
    tags = {"mlflow.parentRunId": run_id, "assay.kind": "seed", "assay.schema_version": "2"}
    stray = client.create_run("1", tags=tags, run_name="stray").info.run_id
    client.set_terminated(stray)
    with pytest.raises(AssayError, match=rf"run {stray} \(stray\) has no parameter arm"):
        read_experiment(run_id)

    for name, value in {"arm": "gold", "arm_kind": "gold", "seed": "first", "n_train": "1", "n_examples": "1"}.items():
        client.log_param(stray, name, value)
    with pytest.raises(AssayError, match=rf"run {stray} \(stray\): its parameter seed must be a whole number; it is 'first'"):
        read_experiment(run_id)


def test_a_broken_artifact_ends_an_analysis_in_one_line(store):
    run_id = log_experiment(store, GOLD, arms_of())
    change_json(read_run(run_id), "config.json", put("task.label_set", 5))
    done = subprocess.run([sys.executable, "-m", "analysis.report", "--run_id", run_id], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: run {run_id} (made up): its artifact config.json must have")
    assert len(done.stderr.splitlines()) == 1


def test_a_broken_experiment_takes_nothing_from_the_others_of_a_table(store, capsys):
    whole, other = (log_experiment(store, GOLD, arms_of()) for _ in range(2))
    MlflowClient().log_param(other, "data", "another")
    change_json(read_run(other), "config.json", lambda value: [])
    found, notes = arms.newest()

    assert [one.experiment.root.run_id for one in found] == [whole]
    assert len(notes) == 1
    assert notes[0].startswith(f"Left out: run {other}")
    raters = agreement.of_runs("seed", ["arm=gold"], "root", "test")
    assert set(raters.groups) == {whole}


# --- names that a store gives


@pytest.mark.parametrize(("run_id", "path"), [("../../x", "config.json"), ("/etc", "passwd"), ("..", "x"), ("a", "../../x"), ("a", "/etc/passwd")])
def test_no_name_of_a_store_leads_out_of_the_cache(store, monkeypatch, run_id, path):
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    monkeypatch.setattr(fetch, "read_artifact", lambda run, path: b"x")
    run = Record(run_id, "n", "FINISHED", {}, {}, {}, "1", 0, "http://elsewhere/artifacts")
    before = {path for path in store.parent.rglob("*") if path.is_file()}

    with pytest.raises(AssayError, match="cannot be kept in the cache .*: the name leads out of its folder"):
        fetch.artifact(run, path)
    assert {path for path in store.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("run_id", ["../../x", "/x", "", "a b", "x" * 300, "a\nb"])
def test_a_store_that_calls_its_runs_by_paths_is_refused(run_id):
    info = RunInfo(run_id=run_id, experiment_id="1", user_id="u", status="FINISHED", start_time=1, end_time=2, lifecycle_stage=LifecycleStage.ACTIVE)

    with pytest.raises(AssayError, match="calls a run .*, as MLflow calls none. See what MLFLOW_TRACKING_URI is"):
        record(Run(info, RunData()))


def test_what_is_kept_of_a_store_is_its_owners_whatever_the_folder_was(store, monkeypatch):
    (store / "cache").mkdir(mode=0o755)
    run_id = log_experiment(store, GOLD, arms_of())
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    fetch.read_json(read_run(run_id), "config.json")

    assert (store / "cache" / "artifacts").stat().st_mode & 0o077 == 0


# --- what is taken over from somebody's runs


def retold(run, changes):
    """Change artifacts of a run, and its hashes, as whoever logged it could."""
    hashes = json.loads(run.tags["assay.sha256"])
    for name, change in changes.items():
        path = place(run, name)
        if path.suffix == ".parquet":
            change(pd.read_parquet(path)).to_parquet(path, index=False)
        else:
            path.write_text(json.dumps(change(json.loads(path.read_text()))))
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    MlflowClient().set_tag(run.run_id, "assay.sha256", json.dumps(hashes))


BROKEN_ANSWERS = [
    ({"annotations.parquet": lambda table: table.drop(columns="answer_key")}, "lack the columns answer_key"),
    ({"annotations.parquet": cells("prompt_tokens", "many")}, "must have numbers in the column prompt_tokens"),
    ({"annotations.parquet": cells("prompt_tokens", -5)}, "numbers that no answer has"),
    ({"annotations.parquet": cells("label_mass", np.inf)}, "numbers from 0 up in the column label_mass"),
    ({"annotations.parquet": cells(RAW_LOG_PROBABILITY + "books", 3.0)}, "numbers that no answer has"),
    ({"annotations.parquet": cells(RAW_LOG_PROBABILITY + "books", "x")}, "must hold numbers"),
    ({"annotations.parquet": cells("label", 1)}, "must have texts in the column label"),
    ({"content_free.parquet": lambda table: table.drop(columns="answer_key")}, "what should be answers is none"),
    ({"content_free.parquet": cells("answer", 99)}, "numbers that no answer has"),
    ({"content_free.parquet": cells("answer", "books")}, "what should be answers is none"),
]


def test_somebodys_broken_answers_are_not_taken_and_do_no_harm(params, store, capsys):
    annotate.annotate(params("annotate", calibration="contextual", ensemble_size="1"))
    (run,) = children(latest_root("annotation set"), "annotation")
    (store / "work").rename(store / "before")
    kept = {name: place(run, name).read_bytes() for name in ("annotations.parquet", "content_free.parquet")}
    for number, (changes, message) in enumerate(BROKEN_ANSWERS):
        for name, data in kept.items():
            place(run, name).write_bytes(data)
        retold(run, {**{name: lambda table: table for name in kept}, **changes})
        annotate.annotate(params("annotate", calibration="contextual", ensemble_size="1", workspace=str(store / f"work{number}")))

        said = capsys.readouterr().err
        assert message in said
        assert "Nothing is taken from it." in said
        assert "Traceback" not in said
        (again,) = children(latest_root("annotation set"), "annotation")
        assert again.metrics["fetched_texts"] == 0
        MlflowClient().delete_run(again.run_id)  # or the next one would take its answers


def test_answers_are_kept_in_one_form_whoever_gave_them(small_task):
    labels = small_task.label_set
    table = pd.DataFrame({
        "answer_key": ["k"], "answer": [1.0], "label_mass": [1], "log_bound": [np.nan], "truncated": [0], "prompt_tokens": [7.0], "seconds": [0],
        "error": pd.Series([None], dtype=object), "extra": ["x"], **{RAW_LOG_PROBABILITY + name: [np.log(1 / len(labels))] for name in labels},
    })  # fmt: skip
    made = checked_answers(table, labels)

    assert "extra" not in made
    assert made.dtypes.astype(str).to_dict() | {} == {
        "answer_key": "str", "answer": "int32", "label_mass": "float64", "log_bound": "float64", "truncated": "bool", "prompt_tokens": "int64",
        "seconds": "float64", "error": "str", **{RAW_LOG_PROBABILITY + name: "float64" for name in labels},
    }  # fmt: skip
    assert made["error"].isna().all()


BROKEN_HISTORIES = [
    lambda value: [],
    lambda value: {**value, "history": []},
    lambda value: {**value, "history": "x"},
    lambda value: {**value, "history": [{**value["history"][0], "validation_macro_f1": "high"}]},
    lambda value: {**value, "history": [{**one, "epoch": 7} for one in value["history"]]},
    lambda value: {**value, "history": [{**value["history"][0], "surprise": 1}]},
    lambda value: {**value, "seconds": "long"},
    lambda value: {**value, "seconds": float("nan")},
    lambda value: {"batching": "packed"},
]


def test_somebodys_broken_seeds_are_not_taken_and_do_no_harm(params, store, capsys):
    main.experiment(params(arms="gold", seeds="1"))
    (run,) = children(latest_root(), "seed")
    kept = {name: place(run, name).read_bytes() for name in ("history.json", "predictions.parquet")}
    changes = [*({"history.json": change} for change in BROKEN_HISTORIES), {"predictions.parquet": cells("label", 1)},
               {"predictions.parquet": lambda table: table.iloc[::-1]}]  # fmt: skip
    for number, change in enumerate(changes):
        for name, data in kept.items():
            place(run, name).write_bytes(data)
        retold(run, {**dict.fromkeys(kept, lambda value: value), **change})
        main.experiment(params(arms="gold", seeds="1", workspace=str(store / f"work{number}")))

        said = capsys.readouterr().err
        assert "Nothing is taken from it." in said, number
        assert "Traceback" not in said
        root = latest_root()
        assert [one.tags["reused"] for one in children(root, "seed")] == ["false"]
        for one in (*children(root, "seed"), root):
            MlflowClient().delete_run(one.run_id)


# --- one function for each table


def test_a_table_with_a_column_twice_or_with_weights_below_zero_is_none():
    labels = pd.DataFrame({"example_id": ["a"], "label": ["x"], "weight": [-1.0], "source": ["llm"], "reason": ["r"]})
    with pytest.raises(AssayError, match="must have numbers from 0 up in the column weight; it has -1"):
        check("labels", labels, ["x", "y"])
    with pytest.raises(AssayError, match="must have every column once; it has 'label' more often"):
        check("labels", pd.concat([labels, labels[["label"]]], axis=1), ["x", "y"])
    with pytest.raises(AssayError, match="must have numbers from 0 up in the column weight"):
        check("labels", labels.assign(weight=[np.inf]), ["x", "y"])

"""Annotation in the tracking store: draws are runs, answers are reused, limits, recorded labels."""

import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.arms_table import ScoredExperiment
from analysis.store.experiment import read_experiment
from entrypoints import annotate, check, main
from project.annotation.cache import AnswerCache
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.errors import AssayError, Stopped
from project.tracking import children, latest_root, read_json, read_table
from tests.helpers import forked
from tests.helpers.annotators import answers_hash
from tests.helpers.faulty_server import LISTED, FaultyServer
from tests.helpers.serving import LETTERS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def forbid_models(monkeypatch):
    """A function; after its call, loading a model fails the test."""

    def fail(self):
        pytest.fail("a model was loaded")

    return lambda: monkeypatch.setattr(TransformersAnnotator, "model", property(fail))


def hashes(root):
    """A hash of the answers of every annotation run."""
    return [
        answers_hash(read_table(run.run_id, "annotations.parquet"))
        for run in children(root, "annotation")
    ]


def metric(root, name):
    """A metric of every annotation run."""
    return [run.metrics[name] for run in children(root, "annotation")]


def test_a_repetition_loads_no_model_and_logs_the_same_tables(params, forbid_models):
    annotate.annotate(params("annotate", calibration="contextual"))
    first = latest_root("annotation set")

    forbid_models()
    annotate.annotate(params("annotate", calibration="contextual"))

    second = latest_root("annotation set")
    assert second.run_id != first.run_id
    assert hashes(second) == hashes(first)
    assert metric(second, "reused_texts") == [40, 40]


def test_answers_in_the_store_are_reused_where_the_workspace_is_gone(
    params, store, forbid_models, capsys
):
    annotate.annotate(params("annotate"))
    first = latest_root("annotation set")
    (store / "work").rename(store / "elsewhere")

    forbid_models()
    annotate.annotate(params("annotate", max_train="30"))  # a part of the same texts

    second = latest_root("annotation set")
    assert metric(second, "fetched_texts") == [30, 30]
    assert metric(second, "asked_texts") == [0, 0]
    printed = capsys.readouterr().err
    assert "60 answers come from finished runs in the tracking store" in printed
    assert children(first, "annotation")[0].run_id in printed


def test_answers_to_content_free_inputs_are_reused_too(params, store, forbid_models):
    annotate.annotate(params("annotate", calibration="contextual"))
    first = latest_root("annotation set")
    (store / "work").rename(store / "elsewhere")

    forbid_models()
    annotate.annotate(params("annotate", calibration="contextual"))

    assert hashes(latest_root("annotation set")) == hashes(first)


def test_a_draw_logs_prompt_demonstrations_log_probabilities_and_its_cost(params, store):
    (store / "mine.txt").write_text(
        "{task_description}\n{label_description}\n{demonstrations}\n>> {input_text}\n=>"
    )
    annotate.annotate(
        params(
            "annotate",
            ensemble_size="1",
            template=str(store / "mine.txt"),
            label_style="letter",
            permute_labels="true",
            repeats="8",
            splits="test",
        )
    )
    (run,) = children(latest_root("annotation set"), "annotation")

    path = MlflowClient().download_artifacts(run.run_id, "prompt/prompt.txt", str(store))
    assert Path(path).read_text(encoding="utf-8").endswith(">> {input_text}\n=>")
    assert read_json(run.run_id, "prompt/prompt.json")["answers"] == [" A", " B", " C", " D"]
    table = read_table(run.run_id, "annotations.parquet")
    assert {
        "raw_log_probability.books",
        "label_mass",
        "log_bound",
        "prompt_tokens",
        "repeats",
        "consistency",
        "error",
    } <= set(table.columns)
    assert {
        "consistency",
        "label_mass",
        "truncated",
        "missing",
        "censored",
        "prompt_tokens",
        "texts_per_second",
    } <= run.metrics.keys()
    assert "assay.question" in run.tags


def test_a_dry_run_shows_the_prompt_and_the_plan_and_annotates_only_a_few_texts(params, capsys):
    main.experiment(params(dry_run="true", price_input="2", price_output="8"))

    printed = capsys.readouterr().err
    assert "### Instruction ###" in printed
    assert "tokens with prefix reuse" in printed
    root = latest_root("dry run")
    plan = read_json(root.run_id, "plan.json")
    draws = [(row["split"], row["draw"]) for row in plan]
    assert draws == [("train", 0), ("train", 1), ("test", 0)]
    for row in plan:
        assert row["tokens_reused"] < row["tokens"]
        assert row["cost"] == pytest.approx((row["tokens"] * 2 + row["requests"] * 8) / 1e6)
    assert children(root, "annotation") == []
    n_probed = sum(row["probed"] for row in plan)
    description = root.tags["mlflow.note.content"]
    assert f"{n_probed} of these texts were read to measure the time" in description


def server_params(params, url, **more):
    return params(
        "annotate",
        annotator="openai",
        annotator_url=url,
        annotator_model="served",
        annotator_tokenizer="none",
        label_style="letter",
        ensemble_size="1",
        request_retries="0",
        **more,
    )


def test_a_dry_run_sends_nothing_and_needs_no_server(params, capsys):
    annotate.annotate(server_params(params, "http://127.0.0.1:9/v1", dry_run="true"))

    printed = capsys.readouterr().err
    assert "40 texts to ask, time unknown" in printed
    assert "Nothing was sent to the server; dry_run=probe" in printed


def test_a_dry_run_that_may_ask_says_how_many_requests_it_sent(params, capsys):
    with FaultyServer(LETTERS, can={LISTED}, models=("served",), favoured=range(8)) as server:
        annotate.annotate(server_params(params, server.url, dry_run="probe"))
        n_requests = len(server.requests)

    assert f"{n_requests} requests were sent to the server." in capsys.readouterr().err


def test_a_server_that_never_lists_a_label_leaves_texts_without_one(params, capsys):
    with FaultyServer(["zz", *LETTERS], can={LISTED}, models=("served",), boost=0) as server:
        server.answer = without_letters(server.answer)
        annotate.annotate(server_params(params, server.url, calibration="batch"))

    assert "40 of 40 answers have no label" in capsys.readouterr().err
    assert metric(latest_root("annotation set"), "missing") == [40]


def without_letters(answer):
    """The answers of a server, with other tokens listed than letters."""

    def changed(path, body):
        status, data = answer(path, body)
        for choice in data["choices"]:
            listed = {f"zz{number}": -1.0 - number for number in range(5)}
            choice["logprobs"] = {"tokens": ["zz0"], "top_logprobs": [listed]}
        return status, data

    return changed


def test_a_limit_marks_the_run_killed_and_the_same_command_goes_on(params, store):
    limited = params("annotate", price_input="1000", max_cost="12", ensemble_size="3")
    with pytest.raises(Stopped, match="stopped at max_cost=12"):
        annotate.annotate(limited)
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'annotation set'")
    assert run.info.status == "KILLED"
    answered = [AnswerCache(path).load() for path in (store / "work" / "annotations").iterdir()]
    n_answered = sum(len(table) for table in answered if table is not None)
    assert 0 < n_answered < 120

    annotate.annotate({**limited, "max_cost": "auto"})

    root = latest_root("annotation set")
    assert sum(metric(root, "reused_texts")) == n_answered
    assert sum(metric(root, "asked_texts")) == 120 - n_answered


def test_a_limit_ends_in_one_line_and_exit_code_1(params):
    values = params("annotate", price_input="1000", max_cost="1", ensemble_size="2")
    words = [word for name, value in values.items() for word in (f"--{name}", value)]
    done = forked.run([sys.executable, "-m", "entrypoints.annotate", *words], timeout=250)

    assert done.returncode == 1
    assert "error: stopped at max_cost=1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_recorded_labels_go_through_the_whole_experiment(params, store, capsys):
    task = load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))
    labels = task.examples[["example_id", "gold_label"]].rename(columns={"gold_label": "one"})
    labels["two"] = labels["one"].where(labels.index % 5 != 0, "books")
    labels["three"] = labels["one"].where(labels.index % 7 != 0, "__unparsed__")
    labels.to_parquet(store / "recorded.parquet")

    main.experiment(
        params(
            annotator="recorded",
            recorded=str(store / "recorded.parquet"),
            recorded_columns="three,two,one",
            ensemble_size="auto",
            arms="gold,llm,ensemble",
            calibration="none",
        )
    )

    experiment = ScoredExperiment(read_experiment())
    assert list(experiment.arms["arm"]) == ["gold", "llm", "ensemble_3"]
    root = latest_root()
    by_name = {run.name: run for run in children(root, "annotation")}
    recorded = labels.set_index("example_id").loc[task.split("train")["example_id"], "three"]
    n_missing = int((recorded == "__unparsed__").sum())
    assert by_name["annotate train draw 00"].metrics["missing"] == n_missing > 0
    seed = next(run for run in children(root, "seed") if run.params["arm"] == "llm")
    assert int(seed.params["n_train"]) == 40 - n_missing
    assert experiment.arms["accuracy"].notna().all()
    assert read_json(root.run_id, "config.json")["config"]["prompt"]["ensemble_size"] == 3
    printed = " ".join(capsys.readouterr().out.split())
    assert "Human labels that went into making the recorded ones are not known here." in printed


@pytest.mark.parametrize(
    ("arm", "settings", "needed"),
    [
        ("entropy", {}, "needs class probabilities, which these labels come without"),
        ("drop_margin", {}, "needs class probabilities, which these labels come without"),
        ("soft", {}, "needs class probabilities, which these labels come without"),
        ("soft", {"soft_labels": "mean"}, "needs class probabilities"),
        ("label_mass", {}, "needs the LLM's label mass, which these labels come without"),
        ("label_mass", {"recorded_columns": "p"}, "needs the LLM's label mass"),
        ("entropy", {"recorded_columns": "p,one", "replicate": "pipeline"}, "needs class prob"),
        ("consistency", {}, "needs repeated answers; got repeats=0"),
    ],
)
def test_an_arm_that_reads_what_the_labels_lack_is_refused_before_a_run_begins(
    params, store, arm, settings, needed
):
    task = load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))
    gold = task.examples["gold_label"]
    sure = {f"p.{name}": (gold == name).astype(float) for name in task.label_set}
    task.examples[["example_id"]].assign(one=gold, two=gold, **sure).to_csv(
        store / "recorded.csv", index=False
    )
    recorded = {
        "annotator": "recorded",
        "recorded": str(store / "recorded.csv"),
        "recorded_columns": "one,two",
        "ensemble_size": "auto",
        "arms": f"gold,llm,{arm}",
        "replace_share": "50",
        **settings,
    }

    for entry_point, work in (("main", main.experiment), ("check", check.check)):
        with pytest.raises(AssayError, match=f"the arm {arm}.* {needed}") as refused:
            work(params(entry_point, **recorded))
        assert f"eave {arm} out of arms." in str(refused.value)
    with pytest.raises(AssayError, match="no finished"):
        latest_root()


def test_two_engines_at_once_give_the_answers_of_one(params, store, monkeypatch, forked_workers):
    annotate.annotate(params("annotate"))
    of_one = hashes(latest_root("annotation set"))

    (store / "work").rename(store / "elsewhere")
    MlflowClient().delete_experiment("1")  # or its answers would be reused
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    annotate.annotate(params("annotate", annotator_processes="2"))

    assert hashes(latest_root("annotation set")) == of_one

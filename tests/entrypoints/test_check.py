"""The entry point check: an error of one part hides no other; its counts are the experiment's."""

import re
import shutil
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient
from safetensors.torch import save_file

from entrypoints import check, main
from entrypoints.wiring.check_machine import machine_rows
from entrypoints.wiring.check_needs import Needs, needed_beside_free
from project.config.entry_points import ENTRY_POINTS
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.errors import AssayError, Incomplete, WrongSettings
from project.support.machine import Gpu, memory, parse_gpus
from project.support.model_files import model_files
from project.tracking import children, latest_root, read_table
from tests.helpers import forked, servers
from tests.helpers.faulty_server import LISTED, SAMPLED, FaultyServer

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECTIONS = ["tracking store", "this machine", "annotator", "encoder", "experiment"]
LETTERS = [*"ABCDEFGH", *(f"<{i}>" for i in range(30))]
CHAT = {
    "annotator": "openai",
    "annotator_tokenizer": "none",
    "chat_template": "true",
    "label_style": "letter",
}
ROWS = (
    *("store", "experiment", "permission", "artifacts"),
    *("Python", "packages", "CPU", "GPU", "workspace", "memory", "disk"),
)


@pytest.fixture
def checked(params, capsys):
    """A function that checks with changed parameters; returns what was printed, and the error."""

    def run(**changes):
        error = None
        try:
            check.check(params("check", **changes))
        except AssayError as raised:
            error = raised
        return capsys.readouterr().err, error

    return run


def test_check_takes_the_parameters_of_main():
    assert ENTRY_POINTS["check"].sections == ENTRY_POINTS["main"].sections


def test_a_check_without_errors_prints_every_part_and_leaves_nothing_behind(checked, store):
    printed, error = checked()

    assert error is None
    titles = [line for line in printed.splitlines() if not line.startswith(" ")]
    assert titles == [*SECTIONS, "Everything is in order."]
    for name in ROWS:
        assert re.search(rf"^  {name} +\S", printed, re.MULTILINE), name
    assert not (store / "work").exists()
    assert [path.name for path in (store / "cache").iterdir()] == ["fastest-dtype.json"]
    (run,) = MlflowClient().search_runs(["1"], run_view_type=ViewType.ALL)
    assert run.info.run_name == "preflight"
    assert run.info.lifecycle_stage == "deleted"


def test_check_says_what_mlflow_run_lacks(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/bin/conda" if name == "conda" else None)
    rows = dict(machine_rows(Path("work")))

    assert rows["mlflow run"] == "--env-manager local, conda (uv needs: pip install uv)"


def test_the_counts_are_those_of_the_experiment(checked, params, store):
    printed, _ = checked(arms="gold,llm,flip", validation_labels="arm", flip_rate="10")
    main.experiment(params(arms="gold,llm,flip", validation_labels="arm", flip_rate="10"))
    root = latest_root()

    draws = children(root, "annotation")
    n_answers = sum(len(read_table(run.run_id, "annotations.parquet")) for run in draws)
    assert (
        f"annotate     {n_answers} answers: 1 draw of 40 train texts + 1 draw of 24 test texts + "
        "1 draw of 16 validation texts" in printed
    )
    n_seeds = len(children(root, "seed"))
    assert (
        f"fine-tune    {n_seeds} seeds: gold 2, llm 2, flip_10 2; 6 steps (2 epochs, recipe steps) "
        "each" in printed
    )
    assert {run.params["n_steps"] for run in children(root, "seed")} == {"6"}
    needs = Needs(answers=n_answers, seeds=6, texts=80, test_texts=24, n_classes=4)
    folders = [store / "work" / name for name in ("annotations", "seeds", "tokens")]
    n_bytes = sum(
        path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()
    )
    # The tables are small, so most of each file is its header.
    assert n_bytes / 3 < needs.workspace_bytes(64) < n_bytes * 3


def test_a_store_that_is_away_and_a_missing_model_do_not_hide_the_rest(checked):
    with servers.client("http://me:the-secret@127.0.0.1:9"):
        printed, error = checked(encoder="no-such/encoder")

    assert isinstance(error, Incomplete)
    assert "127.0.0.1:9 cannot be used: Connection refused" in str(error)
    assert (
        "error: encoder: no-such/encoder (revision main) could not be found on the hub" in printed
    )
    assert printed.count("failed: see the end") == 2
    assert re.search(r"^  CPU +\d+ cores", printed, re.MULTILINE)
    assert re.search(
        r"^  annotate +104 answers: 2 draws of 40 train texts \+ 1 draw of 24 test texts",
        printed,
        re.MULTILINE,
    )
    assert "Everything is in order" not in printed
    assert "the-secret" not in printed


def test_parameters_that_break_a_rule_do_not_hide_the_store_and_the_machine(checked):
    printed, error = checked(arms="gold,entropi")

    assert "Did you mean 'entropy'?" in str(error)
    assert re.search(r"^  artifacts +a file comes back", printed, re.MULTILINE)
    assert "  Python " in printed
    assert "annotator\n" not in printed


def test_the_command_ends_with_one_line_and_exit_code_2_for_a_bad_parameter(params, store):
    values = params("check", task="nope")
    arguments = [word for name, value in values.items() for word in (f"--{name}", value)]
    done = forked.run([sys.executable, "-m", "entrypoints.check", *arguments], timeout=120)

    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: task must be one of catalogue, ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_arms_without_an_llm_need_no_annotator(checked):
    printed, error = checked(arms="gold", annotator_model="no-such/model")

    assert error is None
    assert "engine       none: gold need no LLM" in printed
    assert "annotate     nothing" in printed


def test_recorded_labels_count_the_draws_in_the_file(checked, small_task, store):
    examples = small_task.examples
    recorded = examples.assign(a=examples["gold_label"], b=examples["gold_label"])
    recorded.to_csv(store / "labels.csv", index=False)
    printed, error = checked(
        annotator="recorded",
        recorded=str(store / "labels.csv"),
        recorded_columns="a,b",
        ensemble_size="auto",
        arms="gold,llm,ensemble",
        max_train="32",
    )

    assert error is None
    assert "annotate     88 answers: 2 draws of 32 train texts + 1 draw of 24 test texts" in printed


def test_a_data_set_of_the_hub_is_counted_by_its_card_and_not_fetched(checked):
    printed, error = checked(task="imdb", max_train="auto", max_validation="auto", max_test="auto")

    assert error is None
    assert (
        "imdb: 5,000 train, 500 validation, 2,000 test texts, 2 classes, at most; the data come "
        "from the hub, stanfordnlp/imdb" in printed
    )
    assert (
        "annotate     12,000 answers: 2 draws of 5,000 train texts + 1 draw of 2,000 test texts"
        in printed
    )


def test_a_server_is_asked_for_its_models(checked):
    with FaultyServer(LETTERS, can={LISTED}, models=("one", "two"), context=4096) as server:
        address = {**CHAT, "annotator_url": server.url}
        printed, error = checked(**address, annotator_model="two")
        assert error is None
        assert "server       has two, 4096 tokens of context" in printed
        _, error = checked(**address, annotator_model="three")
        message = "annotator_model must be a model of the server: one, two; got 'three'."
        assert message in str(error)
    _, error = checked(
        annotator="openai", annotator_url="http://127.0.0.1:9/v1", annotator_model="two"
    )
    assert "the server at http://127.0.0.1:9/v1" in str(error)


def test_a_server_is_asked_how_it_would_answer(checked):
    with FaultyServer(LETTERS, can={LISTED}) as server:
        printed, error = checked(**CHAT, annotator_url=server.url, annotator_model="model")
        n_posts = len(server.posts)

    assert error is None
    assert re.search(r"^  replies +log probabilities of the 20 most", printed, re.MULTILINE)
    assert f"(found by {n_posts} short requests)" in printed
    sent = str(server.posts)
    assert not any(text in sent for text in load_task(TaskConfig()).examples["text"])


def test_what_a_server_cannot_give_is_refused_with_every_parameter_that_it_needs(checked):
    with FaultyServer(LETTERS, can={SAMPLED}, completions=False) as server:
        asked = {"annotator": "openai", "annotator_url": server.url, "annotator_model": "model"}
        _, error = checked(**asked, annotator_tokenizer="none", repeats="1")
        _, without = checked(**CHAT | asked, repeats="9", arms="gold,soft")

    assert isinstance(error, WrongSettings)
    assert error.parameters.items() >= {"chat_template": "true"}.items()
    assert "the arm soft needs" in str(without)


def test_an_engine_that_is_not_installed_is_an_error(checked):
    _, error = checked(annotator="vllm")

    assert "annotator vllm needs the package vllm" in str(error)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The folder of the one model, ``owner/model``, in a cache of the hub; it has no weights."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--owner--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "config.json").write_text("{}")
    return folder / "snapshots" / COMMIT


def test_weights_in_the_cache_of_the_hub_count_only_where_all_files_exist(hub_cache):
    message = (
        "weights of owner/model are not in the hub's cache.* hf download owner/model --revision "
        f"{COMMIT}"
    )
    with pytest.raises(AssayError, match=message):
        model_files("encoder", "owner/model", "main")
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7)}, hub_cache / "one.safetensors")
    (hub_cache / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "one.safetensors", "c": "two.safetensors"}}'
    )
    with pytest.raises(AssayError, match="are not in the hub's cache"):
        model_files("encoder", "owner/model", "main")
    last = {"c": torch.zeros(2, dtype=torch.bfloat16)}
    save_file(last, hub_cache / "two.safetensors", {"format": "pt"})

    files = model_files("encoder", "owner/model", "main")
    assert files.is_local
    assert files.n_parameters == 24
    assert files.n_bytes == sum(path.stat().st_size for path in hub_cache.glob("*.safetensors"))


def test_weights_in_a_folder_are_counted_without_loading_them(tiny_encoder, tmp_path):
    from transformers import AutoModel

    files = model_files("encoder", str(tiny_encoder), "main")
    weights = AutoModel.from_pretrained(tiny_encoder).parameters()
    assert files.n_parameters == sum(weight.numel() for weight in weights)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssayError, match="holds no config.json"):
        model_files("encoder", str(tmp_path / "empty"), "main")
    shutil.copy(tiny_encoder / "config.json", tmp_path / "empty")
    message = (
        "encoder: the folder .* holds no weights in safetensors. Give a folder written by "
        "save_pretrained."
    )
    with pytest.raises(AssayError, match=message):
        model_files("encoder", str(tmp_path / "empty"), "main")


def test_the_bundled_models_are_described_and_not_unpacked(store):
    annotator = model_files("annotator_model", "bundled", "main")
    encoder = model_files("encoder", "bundled", "main")

    assert not annotator.is_local
    assert encoder.is_local
    assert f"unpacked to {store / 'cache'}" in annotator.location
    assert 22e6 < encoder.n_parameters < 23e6
    assert not (store / "cache").exists()


def test_the_output_of_nvidia_smi_is_read():
    output = (
        "NVIDIA H100 80GB HBM3, 81559, 81004, 550.54.15\n"
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb, [N/A], [N/A], 550.54.15\n\n"
    )

    assert parse_gpus(output) == [
        Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81004 * 2**20, "550.54.15"),
        Gpu("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 0, 0, "550.54.15"),
    ]
    assert parse_gpus("No devices were found\n") == []


def test_needs_beyond_what_is_free_are_a_note():
    too_much = needed_beside_free("fine-tuning 2.0 GB", 2 * 10**9, 10**9, "here")
    assert too_much == "note: fine-tuning 2.0 GB; 1.0 GB free here"
    enough = needed_beside_free("the annotator 538 MB", 538 * 10**6, 10**9, "here")
    assert enough == "the annotator 538 MB; 1.0 GB free here"
    total, free = memory()
    assert 0 < free <= total
    assert total > np.ones(1).nbytes

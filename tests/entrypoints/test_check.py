"""The entry point check: every part is told whatever is wrong with the others, and its counts are the experiment's."""

import re
import shutil
import subprocess
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
from entrypoints.check import Needs, _beside
from project.config.entry_points import ENTRY_POINTS
from project.support.errors import AssayError, Incomplete
from project.support.machine import Gpu, memory, parse_gpus
from project.support.model_files import model_files
from project.tracking import children, latest_root, read_table
from tests.helpers import servers
from tests.helpers.faulty_server import FaultyServer

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def said(params, capsys):
    """A function that checks with changed parameters and gives what was said, and the error that it ended with."""

    def run(**changes):
        error = None
        try:
            check.check(params("check", **changes))
        except AssayError as raised:
            error = raised
        return capsys.readouterr().err, error

    return run


def test_it_takes_the_parameters_of_main():
    assert ENTRY_POINTS["check"].sections == ENTRY_POINTS["main"].sections


def test_all_well_is_told_part_by_part_and_nothing_is_left_behind(said, store):
    told, error = said()

    assert error is None
    assert told.endswith("All is well.\n")
    titles = [line for line in told.splitlines() if not line.startswith(" ")]
    assert titles == [
        "tracking store",
        "this machine",
        "annotator",
        "encoder",
        "experiment",
        "All is well.",
    ]
    for name in (
        "store",
        "experiment",
        "permission",
        "artifacts",
        "Python",
        "packages",
        "CPU",
        "GPU",
        "workspace",
        "memory",
        "disk",
    ):
        assert re.search(rf"^  {name} +\S", told, re.MULTILINE), name
    assert not (store / "work").exists()
    assert not (store / "cache").exists()
    (run,) = MlflowClient().search_runs(["1"], run_view_type=ViewType.ALL)
    assert (run.info.run_name, run.info.lifecycle_stage) == ("preflight", "deleted")


def test_what_it_counts_is_what_the_experiment_then_does(said, params, store):
    told, _ = said(arms="gold,llm,flip", validation_labels="arm", flip_rate="10")
    main.experiment(params(arms="gold,llm,flip", validation_labels="arm", flip_rate="10"))
    root = latest_root()

    drawn = children(root, "annotation")
    answers = sum(len(read_table(run.run_id, "annotations.parquet")) for run in drawn)
    assert (
        f"annotate     {answers} answers: 1 draw of 40 train texts + 1 draw of 24 test texts + 1 draw of 16 validation texts"
        in told
    )
    assert (
        f"fine-tune    {len(children(root, 'seed'))} seeds: gold 2, llm 2, flip_10 2; 2 epochs each"
        in told
    )
    needs = Needs(answers, 6, 3, 80, 24, 4)
    folders = [store / "work" / name for name in ("annotations", "seeds", "tokens")]
    held = sum(
        path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()
    )
    assert held / 3 < needs.kept(64) < held * 3  # few texts, whose tables are mostly header


def test_a_store_that_is_away_and_a_model_that_is_not_there_do_not_hide_the_rest(said):
    with servers.client("http://me:the-secret@127.0.0.1:9"):
        told, error = said(encoder="no-such/encoder")

    assert isinstance(error, Incomplete)
    assert "127.0.0.1:9 cannot be used: Connection refused" in str(error)
    assert "error: encoder: no-such/encoder (revision main) could not be found on the hub" in told
    assert told.count("not well: see the end") == 2
    assert re.search(r"^  CPU +\d+ cores", told, re.MULTILINE)
    assert re.search(
        r"^  annotate +104 answers: 2 draws of 40 train texts \+ 1 draw of 24 test texts",
        told,
        re.MULTILINE,
    )
    assert "All is well" not in told
    assert "the-secret" not in told


def test_parameters_that_cannot_be_do_not_hide_the_store_and_the_machine(said):
    told, error = said(arms="gold,entropi")

    assert "Did you mean 'entropy'?" in str(error)
    assert re.search(r"^  artifacts +a file comes back", told, re.MULTILINE)
    assert "  Python " in told
    assert "annotator\n" not in told


def test_the_command_ends_with_one_line_and_the_code_of_what_is_wrong(params, store):
    arguments = [
        word for key, value in params("check", task="nope").items() for word in (f"--{key}", value)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.check", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: task must be one of catalogue, ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_arms_without_an_llm_need_no_annotator(said):
    told, error = said(arms="gold", annotator_model="no-such/model")

    assert error is None
    assert "engine       none: gold need no LLM" in told
    assert "annotate     nothing" in told


def test_recorded_labels_are_as_many_draws_as_there_are(said, small_task, store):
    examples = small_task.examples
    examples.assign(a=examples["gold_label"], b=examples["gold_label"]).to_csv(
        store / "labels.csv", index=False
    )
    told, error = said(
        annotator="recorded",
        recorded=str(store / "labels.csv"),
        recorded_columns="a,b",
        ensemble_size="auto",
        max_train="32",
    )

    assert error is None
    assert "annotate     88 answers: 2 draws of 32 train texts + 1 draw of 24 test texts" in told


def test_a_hub_data_set_is_counted_by_its_card_and_not_fetched(said):
    told, error = said(task="imdb", max_train="auto", max_validation="auto", max_test="auto")

    assert error is None
    assert (
        "imdb: 5,000 train, 500 validation, 2,000 test texts, 2 classes, at most; the data come from the hub, stanfordnlp/imdb"
        in told
    )
    assert (
        "annotate     12,000 answers: 2 draws of 5,000 train texts + 1 draw of 2,000 test texts"
        in told
    )


def test_a_server_is_asked_for_its_models(said):
    with FaultyServer([" A"], can="top_logprobs", models=("one", "two"), context=4096) as server:
        told, error = said(annotator="openai", annotator_url=server.url, annotator_model="two")
        assert error is None
        assert "server       has two, 4096 tokens of context" in told
        told, error = said(annotator="openai", annotator_url=server.url, annotator_model="three")
        assert "annotator_model must be a name of the server's: one, two; got 'three'." in str(
            error
        )
    told, error = said(
        annotator="openai", annotator_url="http://127.0.0.1:9/v1", annotator_model="two"
    )
    assert "the server at http://127.0.0.1:9/v1" in str(error)


def test_an_engine_that_is_not_installed_is_told(said):
    assert "annotator vllm needs the package vllm" in str(said(annotator="vllm")[1])


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and the folder of one model in it, ``owner/model``."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--owner--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "config.json").write_text("{}")
    return folder / "snapshots" / COMMIT


def test_weights_in_the_hubs_cache_are_found_where_they_are_whole(hub_cache):
    with pytest.raises(
        AssayError,
        match=f"weights of owner/model are not in the hub's cache.* hf download owner/model --revision {COMMIT}",
    ):
        model_files("encoder", "owner/model", "main")
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7)}, hub_cache / "one.safetensors")
    (hub_cache / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "one.safetensors", "c": "two.safetensors"}}'
    )
    with pytest.raises(AssayError, match="are not in the hub's cache"):
        model_files("encoder", "owner/model", "main")
    save_file(
        {"c": torch.zeros(2, dtype=torch.bfloat16)}, hub_cache / "two.safetensors", {"format": "pt"}
    )

    found = model_files("encoder", "owner/model", "main")
    assert (found.is_local, found.n_parameters) == (True, 24)
    assert found.n_bytes == sum(path.stat().st_size for path in hub_cache.glob("*.safetensors"))


def test_weights_of_a_folder_are_counted_without_reading_them(tiny_encoder, tmp_path):
    from transformers import AutoModel

    found = model_files("encoder", str(tiny_encoder), "main")
    assert found.n_parameters == sum(
        one.numel() for one in AutoModel.from_pretrained(tiny_encoder).parameters()
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssayError, match="holds no config.json"):
        model_files("encoder", str(tmp_path / "empty"), "main")
    shutil.copy(tiny_encoder / "config.json", tmp_path / "empty")
    with pytest.raises(
        AssayError,
        match="encoder: the folder .* holds no weights in safetensors. Give a folder written by save_pretrained.",
    ):
        model_files("encoder", str(tmp_path / "empty"), "main")


def test_the_bundled_models_are_told_and_not_unpacked(store):
    annotator, encoder = (
        model_files("annotator_model", "bundled", "main"),
        model_files("encoder", "bundled", "main"),
    )

    assert (annotator.is_local, encoder.is_local) == (False, True)
    assert f"unpacked to {store / 'cache'}" in annotator.location
    assert 22e6 < encoder.n_parameters < 23e6
    assert not (store / "cache").exists()


def test_what_nvidia_smi_tells_is_read():
    told = "NVIDIA H100 80GB HBM3, 81559, 81004, 550.54.15\nNVIDIA A100-SXM4-40GB MIG 1g.5gb, [N/A], [N/A], 550.54.15\n\n"

    assert parse_gpus(told) == [
        Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81004 * 2**20, "550.54.15"),
        Gpu("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 0, 0, "550.54.15"),
    ]
    assert parse_gpus("No devices were found\n") == []


def test_more_than_there_is_is_a_note():
    assert (
        _beside("fine-tuning 2.0 GB", 2 * 10**9, 10**9, "here")
        == "note: fine-tuning 2.0 GB; 1.0 GB free here"
    )
    assert (
        _beside("the annotator 538 MB", 538 * 10**6, 10**9, "here")
        == "the annotator 538 MB; 1.0 GB free here"
    )
    total, free = memory()
    assert 0 < free <= total
    assert total > np.ones(1).nbytes

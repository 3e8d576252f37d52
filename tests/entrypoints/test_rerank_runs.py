"""Entry points with a cross-encoder: check, a dry run, an experiment."""

import pytest

from entrypoints import annotate, check, main
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_table
from tests.helpers.tiny_models import save_cross_encoder

pytestmark = pytest.mark.xdist_group("rerank")
SETTINGS = {"annotator": "rerank", "ensemble_size": "auto", "template": ""}


@pytest.fixture(scope="module")
def reranker(tmp_path_factory, words):
    """A folder with a reranker that has random weights."""
    folder = tmp_path_factory.mktemp("reranker")
    names = ("books.", "accessories.", "electronics.", "household.")
    save_cross_encoder(["This", "example", "is", *names, *words], folder)
    return str(folder)


@pytest.fixture
def rerank_params(params, reranker):
    """``params`` with a cross-encoder."""
    return lambda name, **changes: params(
        name, **{**SETTINGS, "annotator_model": reranker, **changes}
    )


def test_check_names_the_outputs_and_the_label_texts(rerank_params, capsys):
    check.check(rerank_params("check"))

    printed = capsys.readouterr().err
    assert "one output, a relevance score" in printed
    assert "4, the first one is 'This example is books.'" in printed


def test_check_refuses_an_llm(rerank_params, tiny_llm):
    with pytest.raises(AssayError, match="is a LlamaForCausalLM"):
        check.check(rerank_params("check", annotator_model=str(tiny_llm)))


def test_a_dry_run_shows_the_pairs_and_keeps_the_answers_that_it_timed(rerank_params, capsys):
    annotate.annotate(rerank_params("annotate", dry_run="true"))

    printed = capsys.readouterr().err
    assert " | This example is books." in printed
    assert "tokens with prefix reuse" in printed


def test_an_experiment_runs_with_the_arms_that_one_draw_allows(rerank_params, capsys):
    main.experiment(rerank_params("main", arms="gold,llm,entropy,ensemble"))

    root = latest_root("experiment")
    assert "arms is gold,llm,entropy here: ensemble compares several draws" in (
        capsys.readouterr().err
    )
    assert root.params["prompt_style"] == "pairs"
    assert root.params["shots"] == "0"
    (run, *_) = children(root, "annotation")
    table = read_table(run.run_id, "annotations.parquet")
    assert table["label_mass"].isna().all()
    assert table["label"].notna().all()

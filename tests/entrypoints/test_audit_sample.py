"""The labels of an audit: groups of texts, inclusion probabilities, what was drawn, people."""

import numpy as np
import pandas as pd
import pytest

from entrypoints.wiring.audit_labels import audit_sample, gather, people_result
from project.config.audit import AuditConfig, PoolConfig
from project.config.task import TaskConfig
from project.data.pool import load_pool
from project.data.tables import codes
from project.tracking import read_json
from tests.helpers.audit_runs import ANSWERS, LABELLED, N, catalogue, run

# One worker: the first run embeds texts for all tests.
pytestmark = pytest.mark.xdist_group("audit")


def sample_of(folder, table, **settings):
    """The audit in a table, as the entry point reads it."""
    table.to_csv(folder / "codes.csv", index=False)
    pool = load_pool(
        TaskConfig(task="", data=str(folder / "codes.csv")), PoolConfig(human_column="human")
    )
    sample = audit_sample(pool, AuditConfig(audit_design="random", **settings))
    return sample, pool.columns.iloc[sample.indices]


def test_texts_of_a_document_are_one_group_and_a_text_without_a_document_is_alone(tmp_path):
    table = catalogue()
    table["document"] = [str(row // 10) if row % 5 else "" for row in range(N)]
    sample, columns = sample_of(tmp_path, table, group="document")

    has_document = columns["document"].notna().to_numpy()
    assert len(set(sample.groups[has_document])) == columns["document"].nunique()
    for _, rows in pd.Series(sample.groups).groupby(columns["document"].to_numpy()):
        assert rows.nunique() == 1
    alone = sample.groups[~has_document]
    assert len(set(alone)) == len(alone) > 5
    assert not set(alone) & set(sample.groups[has_document])
    assert sample_of(tmp_path, table)[0].groups is None


def test_inclusion_probabilities_stay_beside_their_texts(tmp_path):
    table = catalogue()
    table["p"] = [str(0.1 + number / 1000) for number in range(N)]
    sample, columns = sample_of(tmp_path, table, inclusion_column="p")
    by_text = dict(zip(table["text"], table["p"].astype(float), strict=True))

    assert sample.inclusion_probability.tolist() == [by_text[text] for text in columns["text"]]
    # Nobody draws a text without a label: its cell may be empty.
    table.loc[table["human"] == "", "p"] = ""
    assert sample_of(tmp_path, table, inclusion_column="p")[0].n == LABELLED


def test_a_random_design_gives_every_text_the_same_probability(tmp_path):
    sample, _ = sample_of(tmp_path, catalogue())

    assert set(sample.inclusion_probability) == {LABELLED / N}


def test_labels_of_texts_that_were_not_drawn_are_no_part_of_the_audit(
    first, store, workspace, no_model, capsys
):
    folder, _, _, before = first
    ids = ids_of_catalogue(first)
    sampling = pd.DataFrame({"example_id": ids, "inclusion_probability": 0.4})
    labelled = catalogue()["human"] != ""
    drawn = np.zeros(N, dtype=bool)
    drawn[np.flatnonzero(labelled)[:100]] = True
    sampling["asked"] = drawn
    sampling.to_parquet(store / "sampling.parquet")
    changes = {**ANSWERS, "audit_design": str(store / "sampling.parquet")}
    _, root = run(folder, workspace, **changes)

    assert before["n_audit"] == LABELLED
    assert read_json(root.run_id, "audit.json")["n_audit"] == 100
    assert (
        f"note: {LABELLED - 100} texts have a human label but were not" in capsys.readouterr().err
    )


def test_people_who_label_a_demonstration_do_not_shift_the_llm_s_labels(store):
    """A text that prompts show is judged, but has no label of the LLM in the pool."""
    table = pd.DataFrame(
        {"text": [f"text {n}" for n in range(100)], "human": ["a", "b"] * 25 + [""] * 50}
    )
    table.to_csv(store / "codes.csv", index=False)
    config = TaskConfig(task="", data=str(store / "codes.csv"))
    known = PoolConfig(human_column="human")
    pool = load_pool(config, known, n_demonstrations=3)
    judged = pool.task.examples.dropna(subset=["gold_label"])
    for name in ("ann", "bob", "cat"):
        file = judged[["example_id"]].assign(label=judged["gold_label"])
        file.to_csv(store / f"{name}.csv", index=False)
    files = ",".join(str(store / f"{name}.csv") for name in ("ann", "bob", "cat"))
    pool, judgements, notes = gather(pool, PoolConfig(), AuditConfig(human=files))
    llm = codes(pool.examples["gold_label"], pool.task.label_set)
    people = people_result(pool, judgements, llm, with_texts=True)

    assert people is not None
    assert notes == []
    assert people["settle"] == []
    assert people["agreement"]["n_common"] == 40  # ten of the 50 are demonstrations
    assert people["agreement"]["alternative_annotator_test"]["advantage_probability"] == 1.0


def ids_of_catalogue(first):
    """The ids of the texts of the first run, in the order of ``catalogue``."""
    pool = load_pool(
        TaskConfig(task="", data=str(first[0] / "codes.csv")), PoolConfig(human_column="human")
    )
    by_text = pool.examples.set_index("text")["example_id"]
    return list(by_text[catalogue()["text"]])

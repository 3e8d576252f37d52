"""The pool of an audit, and the labels that a file has for its texts."""

import pandas as pd

from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.audit_pool import with_rows
from project.annotation.cost import Meter
from project.annotation.engines.recorded import RecordedAnnotator
from project.config.annotation import RecordedConfig, SpendConfig
from project.config.audit import PoolConfig
from project.config.task import TaskConfig
from project.data.pool import load_pool


def test_texts_without_a_recorded_row_are_left_out_of_the_pool_with_a_note(tmp_path):
    table = pd.DataFrame({"text": [f"text {index}" for index in range(100)]})
    table["code"] = ["cat", "dog"] * 50
    table.to_csv(tmp_path / "texts.csv", index=False)
    llm = table.rename(columns={"code": "llm"})[:98]
    llm.to_csv(tmp_path / "llm.csv", index=False)
    config = TaskConfig(task="", data=str(tmp_path / "texts.csv"))
    pool = load_pool(config, PoolConfig(human_column="code"))
    recorded = RecordedConfig(recorded=str(tmp_path / "llm.csv"), recorded_columns="llm")
    annotator = RecordedAnnotator(recorded, pool.task)
    session = AnnotationSession([annotator], annotator.prompts(1), Meter(SpendConfig()))

    kept = with_rows(pool, session)

    assert sorted(kept.examples["text"]) == sorted(llm["text"])
    assert list(kept.columns["text"]) == list(kept.examples["text"])
    assert kept.notes == (
        "2 of 100 texts have no row in the file of recorded labels and are left out of the pool.",
    )

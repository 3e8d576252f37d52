"""The entry points annotate and finetune, each alone."""

import pytest

from entrypoints import annotate, finetune, main
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_table
from tests.helpers.experiments import seed_tables


def test_annotate_alone_logs_every_draw_over_every_split(params):
    annotate.annotate(params("annotate", splits="train,test"))
    root = latest_root("annotation set")

    assert len(children(root, "annotation")) == 4
    assert "labelled 40 train texts of catalogue in 2 draws" in root.tags["mlflow.note.content"]


def test_finetune_alone_trains_on_gold_on_a_file_or_on_the_labels_of_a_run(params, store):
    main.experiment(params(arms="llm"))
    source = children(latest_root(), "seed")[0]
    table = read_table(source.run_id, "labels.parquet")[["example_id", "label"]]
    table.to_csv(store / "labels.csv", index=False)
    predictions = []
    for labels in ("gold", f"runs:/{source.run_id}/labels.parquet", str(store / "labels.csv")):
        finetune.finetune(params("finetune", labels=labels))
        tables = seed_tables(latest_root())
        predictions.append({name.split()[-1]: table for name, table in tables.items()})

    of_gold, of_run, of_file = predictions
    assert of_run == of_file
    assert of_run != of_gold


def test_a_labels_file_without_the_texts_of_the_split_is_refused(params, store):
    (store / "labels.csv").write_text("example_id,label\na,books\n", encoding="utf-8")

    with pytest.raises(AssayError, match="lacks 40 of 40 training examples"):
        finetune.finetune(params("finetune", labels=str(store / "labels.csv")))

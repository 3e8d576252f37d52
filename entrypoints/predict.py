"""Label any number of texts with a classifier of an experiment.

mlflow run . -e predict -P run_id=RUN -P data=corpus.parquet -P output=labels.parquet
mlflow run . -e predict -P run_id=RUN -P data=corpus/ -P output=labels.parquet -P min_precision=95
python -m entrypoints.predict --run_id RUN --seeds all --data corpus.csv --output labels.csv
python -m entrypoints.predict --run_id RUN --register_model reviews
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def predict(params: Mapping[str, str]) -> None:
    """Choose a classifier, calibrate its threshold, and label the texts in blocks."""
    from entrypoints.wiring.predict_run import run_prediction

    run_prediction(params)


if __name__ == "__main__":
    main("predict", predict)

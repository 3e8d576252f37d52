"""Compare a new batch of texts with the old ones; looking every day raises no false alarms.

mlflow run . -e monitor -P run_id=RUN -P data=monday.parquet
mlflow run . -e monitor -P run_id=RUN -P data=tuesday.parquet -P reference=january.parquet
mlflow run . -e monitor -P run_id=RUN -P data=monday.parquet -P human=answers.jsonl
python -m entrypoints.monitor --run_id RUN --data wednesday.csv --spot_check 100
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def monitor(params: Mapping[str, str]) -> None:
    """Predict the batch, compare it with the old texts, and draw its spot check."""
    from entrypoints.wiring.monitor_run import run_monitor

    run_monitor(params)


if __name__ == "__main__":
    main("monitor", monitor)

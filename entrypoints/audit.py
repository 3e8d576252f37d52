"""Judge an LLM's labels by a few hundred human labels: no gold, no card, no training set needed.

mlflow run . -e audit -P data=codes.csv -P human_column=code -P recorded_columns=gpt \
    -P audit_design=random
python -m entrypoints.audit --data codes.csv --human_column code --recorded_columns gpt --by year
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def audit(params: Mapping[str, str]) -> None:
    """Judge the LLM's labels of a pool, and a classifier trained on them, by an audit."""
    from analysis.questions.audit import publish_report
    from entrypoints.wiring.audit_run import run_audit

    run_audit(params, publish=publish_report)


if __name__ == "__main__":
    main("audit", audit)

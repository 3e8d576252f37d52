"""Show how often the audits of the tracking store were right.

mlflow run . -e hits
python -m entrypoints.hits
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.fields import parse
from project.config.upkeep import HitsConfig


def hits(params: Mapping[str, str]) -> None:
    """Print the verdicts and estimates of all audits whose truth is known."""
    from analysis.questions.hits import publish

    publish(parse(HitsConfig, params).workspace)


if __name__ == "__main__":
    main("hits", hits)

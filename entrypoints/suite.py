"""Put several tasks through the same experiment, and sum up over all of them.

mlflow run . -e suite -P tasks=imdb.yaml,ecommerce.yaml,toxic.yaml -P arms=gold,llm
mlflow run . -e suite -P tasks=cards/                       every card of a folder
mlflow run . -e suite -P tasks=suite.yaml -P encoder=linear tasks with parameters of their own
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def suite(params: Mapping[str, str]) -> None:
    """Run the experiment of every task that is not finished yet, then write one page on all."""
    from analysis.questions.suite import publish
    from entrypoints.wiring.suite_run import run_suite

    run_suite(params, publish=publish)


if __name__ == "__main__":
    main("suite", suite)

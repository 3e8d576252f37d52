"""From texts to labels: an LLM proposes a taxonomy and labels the texts by it; people edit it.

mlflow run . -e taxonomy -P data=texts.csv -P use_case="sort complaints by the team that answers"
mlflow run . -e taxonomy -P data=texts.csv -P taxonomy=outputs/taxonomies/RUN/taxonomy.yaml
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def taxonomy(params: Mapping[str, str]) -> None:
    """Propose taxonomies, label the texts by the one that agrees most with the others, report."""
    from analysis.questions.taxonomy import publish
    from entrypoints.wiring.taxonomy_run import run_taxonomy

    run_taxonomy(params, publish=publish)


if __name__ == "__main__":
    main("taxonomy", taxonomy)

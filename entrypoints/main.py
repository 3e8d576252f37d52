"""The experiment: annotate with an LLM, fine-tune on gold, LLM and repaired labels, and report.

mlflow run . --env-manager local                            the embedded task on a laptop
mlflow run . -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P encoder=roberta-base
mlflow run . -P annotator=vllm -P dry_run=true              what the annotation would take
mlflow run . -P replicate=crossed -P arms=gold,llm          spread by draws and spread by seeds
python -m entrypoints.main --max_train 48 --max_test 48 --seeds 2 --ensemble_size 2   a minute
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def experiment(params: Mapping[str, str]) -> None:
    """Annotate one task, train several arms with several seeds each, and write the report."""
    from entrypoints.wiring.experiment import prepare_experiment, run_experiment
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.more_seeds import check_until, train_looks
    from entrypoints.wiring.replicates import replicate_conditions, replicate_counts
    from entrypoints.wiring.reports import publish_experiment

    with prepare_experiment(params) as prepared:
        config = prepared.config
        check_until(config)
        counts = replicate_counts(prepared.arms, config, prepared.n_draws)
        run_experiment(
            "experiment",
            Invocation("main", params),
            prepared,
            design={"replicates": counts},
            conditions=lambda annotations: replicate_conditions(
                prepared.arms, prepared.task, annotations, config
            ),
            publish=publish_experiment,
            train=train_looks(config),
        )


if __name__ == "__main__":
    main("main", experiment)

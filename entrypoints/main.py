"""The experiment: annotate with an LLM, fine-tune on gold and on LLM labels, show the damage.

mlflow run . --env-manager local                                    the embedded task on a laptop
mlflow run . -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P encoder=roberta-base
mlflow run . -P annotator=vllm -P dry_run=true                      what the annotation will take, before it is paid for
mlflow run . -P replicate=crossed -P arms=gold,llm                  how much of the spread is the draw's, how much the seed's
python -m entrypoints.main --max_train 48 --max_test 48 --seeds 2 --ensemble_size 2      a minute, to see it run
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis.report import publish
from entrypoints.wiring.command import main
from entrypoints.wiring.conditions import replicate_counts, replicated
from entrypoints.wiring.experiment import opened, published, study_run
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.seed_runs import Trainer


def experiment(params: Mapping[str, str]) -> None:
    """One task, one annotator, several arms, several seeds; ends with the report."""
    with opened(params) as study:
        config, task = study.config, study.task
        design = {"replicates": replicate_counts(study.compared, config, study.n_draws)}
        with study_run("experiment", task.name, Invocation("main", params), study, design) as (
            tracker,
            drawn,
        ):
            if drawn is None:
                return
            conditions = replicated(study.compared, task, drawn, config)
            with published(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                Trainer(tracker, study.encoder, task, config).train(conditions)


if __name__ == "__main__":
    main("main", experiment)

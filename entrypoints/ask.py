"""Choose the texts that a person should label, and write them for a person or a program.

label.html among the written files is a page on which the person labels and exports the answers.

mlflow run . -e ask                                 ten per cent by the arm learned: first its audit
mlflow run . -e ask -P human=answers_ann.jsonl      then the labels that the audit calls doubtful
mlflow run . -e ask -P design=zones -P zones=RUN    an audit with more texts of the zones of a run
mlflow run . -e ask -P to=mlflow                    people label in the MLflow UI
mlflow run . -P arms=learned -P replace_share=10 -P human=answers_ann.jsonl,answers_2.jsonl   train
python -m entrypoints.ask --arms entropy --replace_share 5 --max_train 100
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.arms import configured_facts
from project.config.ask import AskConfig
from project.config.fields import parse
from project.support.errors import AssayError


def ask(params: Mapping[str, str]) -> None:
    """Write the questions of one label source at one budget; texts with a human label are left out.

    Questions depend on annotations, which are made or reused first.
    """
    from entrypoints.wiring.experiment import experiment_run, prepare_experiment
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.question_context import context_of
    from entrypoints.wiring.question_sheet import load_codebook
    from entrypoints.wiring.questions import choose_questions, publish_questions
    from entrypoints.wiring.review_questions import check_review

    config = parse(AskConfig, params)
    if config.is_audit:
        from entrypoints.wiring.audit_draw import draw_questions

        draw_questions(params)
        return
    check_questions(config)
    codebook = load_codebook(config.codebook)
    with prepare_experiment(params, annotates_test=False, needs_answers=False) as prepared:
        check_review(config, params, prepared.task)
        # Refuses a wrong column before anything is annotated.
        context_of(prepared.task, prepared.config.task, config.context)
        invocation = Invocation("ask", params)
        with experiment_run("questions", "questions", invocation, prepared, design={}) as run:
            tracker, annotations = run  # no annotations after a dry run
            if annotations is not None:
                chosen = choose_questions(prepared, annotations)
                publish_questions(
                    tracker,
                    prepared,
                    annotations,
                    chosen=chosen,
                    config=config,
                    codebook=codebook,
                    params=params,
                )


def check_questions(config: AskConfig) -> None:
    """Raise AssayError for a label source that has no questions for a person."""
    (kind,) = config.arms
    if configured_facts(kind, config.soft_labels).asks_human:
        return
    asks_if_calibrated = configured_facts(kind, "calibrated").asks_human
    also = ", or set soft_labels=calibrated" if asks_if_calibrated else ""
    raise AssayError(
        f"arms must be a source with questions for a person; got {kind!r}. Use learned, entropy, "
        f"margin, ensemble or random{also}."
    )


if __name__ == "__main__":
    main("ask", ask)

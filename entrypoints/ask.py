"""Ask a human: annotate the training split and write the examples that a label source wants labelled, for a person or for Label Studio.

mlflow run . -e ask                                                  ten per cent by the learned source: first its audit
mlflow run . -e ask -P human=answers.csv                             then what the audit teaches to doubt
python -m entrypoints.ask --arms entropy --replace_share 5 --max_train 100
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from entrypoints.wiring.command import main, print_line
from entrypoints.wiring.conditions import SplitAnnotations
from entrypoints.wiring.experiment import PreparedExperiment, experiment_run, prepare_experiment
from entrypoints.wiring.provenance import Invocation
from project.config.arms import configured_facts
from project.config.designs import AskConfig
from project.config.fields import parse
from project.labels.human import label_studio_interface, label_studio_tasks, questions
from project.labels.selection import AUDIT, Selection, select
from project.support.errors import AssayError
from project.support.escape import escape_markdown
from project.support.files import write_atomically
from project.support.parquet import write_table
from project.tracking import Tracker


def ask(params: Mapping[str, str]) -> None:
    """Questions of one source at one budget, less those that the file ``human`` answers."""
    asked = parse(AskConfig, params)
    check_questions(asked)
    with prepare_experiment(params, annotates_test=False, needs_answers=False) as study:
        name = f"{study.task.name} questions"
        with experiment_run("questions", name, Invocation("ask", params), study, design={}) as (
            tracker,
            drawn,
        ):
            if drawn is not None:
                _ask(asked, study, tracker, drawn)


def check_questions(config: AskConfig) -> None:
    """Refuse a label source that asks a human nothing."""
    (kind,) = config.arms
    if configured_facts(kind, config.soft_labels).asks_human:
        return
    calibrated = configured_facts(kind, "calibrated").asks_human
    raise AssayError(
        f"arms must be a source that asks a human; got {kind!r}. Use learned, entropy, margin, ensemble or random"
        + (", or set soft_labels to calibrated." if calibrated else ".")
    )


def _ask(
    asked: AskConfig, study: PreparedExperiment, tracker: Tracker, drawn: SplitAnnotations
) -> None:
    """Choose what to ask about, and write it."""
    train, (arm,) = study.task.split("train"), study.arms
    human = pd.Series(dtype=object) if study.human is None else study.human
    choice = select(
        arm,
        dataclasses.replace(drawn, human=human).label_inputs(
            train, drawn.train, draw=0, task=study.task, config=study.config.label
        ),
    )
    n_chosen = int(choice.selected.sum())
    choice = _next(choice, choice.selected & ~train["example_id"].isin(human.index).to_numpy())
    if not choice.selected.any():
        raise AssayError(
            f"nothing is left to ask: all {n_chosen} texts of {arm.name} are answered. Train with -P human=... now."
        )
    shown = drawn.train[0] if asked.show_llm and drawn.train else None
    _publish(
        tracker,
        study,
        questions(train[choice.selected], shown, asked.ask_seed),
        _sampled(choice, train),
    )


def _next(choice: Selection, unanswered: npt.NDArray[np.bool_]) -> Selection:
    """What to ask about now: those chosen that are ``unanswered``; of a source that learns its audit alone, until that is answered."""
    audited = np.asarray(choice.reasons == AUDIT)
    if not (unanswered & audited).any():
        return choice._replace(selected=unanswered)
    print_line(
        f"ask: these {int((unanswered & audited).sum())} texts are the audit. Have them labelled, and run again with -P human=FILE for the others."
    )
    reasons = np.where(audited, AUDIT, "annotated").astype(object)
    return choice._replace(
        selected=unanswered & audited,
        reasons=reasons,
        inclusion_probability=np.full(len(audited), audited.mean()),
    )


def _sampled(choice: Selection, train: pd.DataFrame) -> pd.DataFrame:
    """Of every training example whether it is asked about now, why, and with which probability it was to be, for unbiased estimates later."""
    return pd.DataFrame(
        {
            "example_id": train["example_id"],
            "asked": choice.selected,
            "reason": choice.reasons,
            "inclusion_probability": choice.inclusion_probability,
        }
    )


def _publish(
    tracker: Tracker, study: PreparedExperiment, asked: pd.DataFrame, sampled: pd.DataFrame
) -> None:
    """Write the questions below the workspace and log them."""
    folder, name = (
        Path(study.config.host.workspace) / "questions" / tracker.run_id,
        study.arms[0].name,
    )
    who = study.session.annotator.name if study.session else ""
    files = {
        "questions.csv": asked.to_csv(index=False).encode("utf-8", "surrogatepass"),
        "label_studio.json": label_studio_tasks(asked, who),
        "label_studio.xml": label_studio_interface(
            study.task.label_set, study.task.title or study.task.name
        ).encode(),
    }
    for file, data in files.items():
        write_atomically(folder / file, data)
    write_table(folder / "sampling.parquet", sampled)
    kept = (
        () if study.config.store.private else files
    )  # sampling.parquet knows the texts by their ids
    tracker.log_files({f"questions/{file}": folder / file for file in (*kept, "sampling.parquet")})
    certain = sampled["inclusion_probability"].isin([0.0, 1.0]).all()
    mind = (
        " They are no random sample: nothing about the other texts can be estimated from them without bias."
        if certain
        else ""
    )
    tracker.describe(
        escape_markdown(
            f"{len(asked)} texts of {study.task.name} for a human to label, by the source {name}.{mind}"
        )
    )
    print_line(
        f"ask: {len(asked)} texts by {name}.{mind}\n\nquestions    {(folder / 'questions.csv').resolve()}\n"
        f"Label Studio {(folder / 'label_studio.json').resolve()}, with the interface label_studio.xml beside it\n"
        f"MLflow       {tracker.open_command()}\nrun          {tracker.run_id}\n\n"
        "Fill in the column label and give the file back with -P human=FILE."
    )


if __name__ == "__main__":
    main("ask", ask)

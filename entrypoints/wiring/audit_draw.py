"""The texts of an audit, drawn with known probabilities and written for people to label."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.questions.zone_aim import Aim, aim_at, check_zones
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession, open_session
from entrypoints.wiring.audit_pool import with_recorded_file, with_rows
from entrypoints.wiring.clusters import opened_cluster
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.question_context import context_of
from entrypoints.wiring.question_sheet import QuestionSheet, load_codebook, publish_sheet
from entrypoints.wiring.review_questions import IN_MLFLOW, answers_to_come, check_review
from entrypoints.wiring.root_facts import root_name
from entrypoints.wiring.setup import check_store, log_setup
from entrypoints.wiring.terminal import print_line
from project.audit.design import Drawn, divide, draw_audit
from project.config.ask import AskConfig
from project.config.audit import PoolConfig
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.fields import parse
from project.config.label_type import MULTI
from project.config.loading import defaults
from project.config.next_command import FILE, command_line
from project.config.task import TaskConfig
from project.data.card import Card, load_card
from project.data.pool import Pool, load_pool
from project.data.tables import codes
from project.labels.human import questions
from project.stats.types import Codes, Mask
from project.support.errors import AssayError
from project.tracking import root_run


def draw_questions(params: Mapping[str, str]) -> None:
    """Draw an audit of the pool and write its questions.

    The LLM's labels are needed only where they are shown, or where strata are made of them.
    """
    asked = parse(AskConfig, params)
    codebook = load_codebook(asked.codebook)
    config = experiment_config(params)
    check_store(config.host.workspace)
    reads_llm = asked.show_llm or asked.stratify == "label" or asked.design == "zones"
    pool = _pool(asked, config, params, reads_llm=reads_llm)
    _check_size(asked, pool)
    if asked.design == "zones":
        check_zones(asked.zones, pool.task.label_set)
    check_review(asked, params, pool.task)
    # Refuses a wrong column before anything is annotated.
    context_of(pool.task, config.task, asked.context)
    config = with_recorded_file(config.resolved(pool.task.defaults), pool)
    with contextlib.ExitStack() as stack:
        session = None
        if reads_llm:
            cluster = stack.enter_context(opened_cluster(config, trains=False))
            session = open_session(pool.task, config, cluster.annotation)
            stack.enter_context(contextlib.closing(session))
            config = session.resolved(config)
            pool = with_rows(pool, session)
            _check_size(asked, pool)
        annotator = session.annotator if session else None
        name = root_name(pool.task.name, config, annotator, "audit questions")
        with root_run("questions", name, params, config.host.workspace) as tracker:
            log_setup(tracker, Invocation("ask", params), pool.task, config, annotator=annotator)
            table = None
            if session:
                (table,) = annotate_split(
                    tracker, session, pool.task, split="train", n_draws=1, config=config
                )
            answers = answers_to_come(asked, tracker.run_id, FILE)
            command = _next_command(params, answers)
            sheet = _sheet(pool, asked, table, session, command)
            publish_sheet(tracker, sheet, asked, config, codebook=codebook)


def _pool(
    asked: AskConfig, config: ExperimentConfig, params: Mapping[str, str], *, reads_llm: bool
) -> Pool:
    """The texts; of a card with several labels a text all labels, unless one of them is named.

    Raises AssayError where all labels are asked about and the LLM's are needed, which are answers
    to a question for each label.
    """
    has_prompt = reads_llm and engine_facts(config.annotate.annotator).has_prompt
    n_demonstrations = config.prompt.n_demonstrations if has_prompt else 0
    texts, known = _task(config.task), parse(PoolConfig, params)
    card = load_card(texts.task) if texts.task else None
    if card is None or card.label_type != MULTI or texts.label:
        return load_pool(texts, known, n_demonstrations=n_demonstrations)
    if reads_llm or asked.to == IN_MLFLOW:
        raise AssayError(
            f"label must name one label of {card.name} with show_llm=true, stratify=label, "
            "design=zones or to=mlflow; without these people are asked about all of them at once. "
            f"Set label to one of {', '.join(card.labels)}."
        )
    pool = load_pool(dataclasses.replace(texts, label=card.labels[0]), known)
    examples = pool.task.examples.assign(gold_label=None)
    task = dataclasses.replace(pool.task, card=card, label_set=card.labels, examples=examples)
    return dataclasses.replace(pool, task=task)


def _check_size(asked: AskConfig, pool: Pool) -> None:
    """Raise AssayError if the pool is smaller than the audit that is asked for."""
    n_pool = len(pool.examples)
    if asked.n > n_pool:
        raise AssayError(f"n must be at most the size of the pool, {n_pool}; got {asked.n}.")


def _task(config: TaskConfig) -> TaskConfig:
    """The pool's file; the default card is that of the embedded task, not of a user's file."""
    default = next(
        field.default for field in dataclasses.fields(TaskConfig) if field.name == "task"
    )
    if config.data and config.task == default:
        return dataclasses.replace(config, task="")
    return config


def _sheet(
    pool: Pool,
    asked: AskConfig,
    table: pd.DataFrame | None,
    session: AnnotationSession | None,
    next_command: str,
) -> QuestionSheet:
    """The questions of a drawn audit.

    Parameters
    ----------
    pool, asked
        The texts, and how many to draw.
    table, session
        The LLM's labels, if they are needed, and the annotator.
    next_command
        The command that takes the answers.
    """
    examples = pool.examples
    strata = _strata(asked, pool, table)
    drawn = draw_audit(
        asked.n, len(examples), seed=asked.ask_seed, strata=strata.codes, spreads=strata.spreads
    )
    given = divide(asked.n, asked.raters, overlap=asked.overlap, seed=asked.ask_seed)
    selected = examples[drawn.selected]
    shown = table if asked.show_llm else None
    is_set = pool.task.card.label_type == MULTI
    people = f" {asked.raters} people, {min(asked.overlap, asked.n)} texts in common."
    return QuestionSheet(
        task=pool.task,
        annotator=session.annotator.name if session else "",
        asked=[
            questions(selected[of_person], shown, asked.ask_seed + number)
            for number, of_person in enumerate(given)
        ],
        sampling=_sampling(examples, drawn, strata, given),
        title=f"{asked.n} of {len(examples)} texts of {pool.task.name} for people to label, drawn "
        f"{strata.how}.{people if asked.raters > 1 else ''}",
        next_step=f"{_in_a_table(pool.task.card) if is_set else 'Then run:'}\n{next_command}",
        several=is_set,
    )


def _in_a_table(card: Card) -> str:
    """How a table holds several labels, before the command that reads it."""
    separator = card.separator.replace("{", "{{").replace("}", "}}")
    return (
        f"There, {separator!r} stands between the labels of a text, and none says that no label "
        "fits. Then run, for each label:"
    )


class _Strata(NamedTuple):
    """Strata of an audit: ``codes`` ``(n_pool,)`` and ``spreads`` as :func:`draw_audit` has them.

    ``how`` says how the texts are drawn.
    """

    how: str
    codes: Codes | None = None
    spreads: Sequence[float] | None = None


def _strata(asked: AskConfig, pool: Pool, table: pd.DataFrame | None) -> _Strata:
    """The strata of an audit: none, the LLM's labels, or the zones of an experiment.

    Prints how often the LLM was wrong within the zones, which decides how many texts they get.
    """
    if asked.design == "zones" and table is not None:
        aim = aim_at(asked.zones, pool.examples["text"].tolist(), table)
        n_within = int(aim.within.sum())
        if n_within in (0, len(aim.within)):
            raise AssayError(
                f"zones must divide the pool; {n_within} of its {len(aim.within)} texts are in the "
                f"confirmed zones of {asked.zones}: {', '.join(aim.names)}. Name another run, or "
                "set design=audit."
            )
        print_line(_aim_sentence(aim))
        # One more wrong and one more right text, so that no stratum has a spread of 0.
        share = (aim.n_wrong + 1) / (aim.n + 2)
        spreads = np.sqrt(share * (1 - share))
        how = f"at random, more of the zones of {asked.zones}"
        return _Strata(how, aim.within.astype(np.int64), spreads.tolist())
    if asked.stratify == "label" and table is not None:
        by_label = codes(table["label"], pool.task.label_set)
        return _Strata("at random, stratified by the LLM's label", by_label)
    return _Strata("at random")


def _aim_sentence(aim: Aim) -> str:
    """The zones, how many texts of the pool they have, and how often the LLM was wrong there."""
    outside, within = 100 * aim.n_wrong / np.maximum(aim.n, 1)
    untold = f" Not told in these texts: {', '.join(aim.untold)}." if aim.untold else ""
    return (
        f"zones: {', '.join(aim.names)}; {int(aim.within.sum())} of {len(aim.within)} texts. Where "
        f"they were confirmed, {within:.0f} % of the labels were wrong there, elsewhere "
        f"{outside:.0f} %.{untold}"
    )


def _next_command(params: Mapping[str, str], answers: str) -> str:
    """The command that audits with the answers; ``{sampling}`` stands for the design's path."""
    of_ask = defaults("ask")
    of_audit = defaults("audit")
    given = {
        name: value
        for name, value in params.items()
        if name in of_audit and value != of_ask.get(name, value)
    }
    if not params.get("data"):
        given["task"] = params["task"]
    # Without an annotator, an audit reads labels that exist; a configuration file may name both.
    if "annotator" not in given and not params.get("config"):
        given.setdefault("recorded_columns", "COLUMN")
    if params.get("task", "").endswith((".yaml", ".yml")) and not params.get("label"):
        given |= {"label": "LABEL"} if load_card(params["task"]).label_type == MULTI else {}
    given["human"] = answers
    line = command_line("audit", given).replace("{", "{{").replace("}", "}}")
    return f"{line} -P audit_design={{sampling}}"


def _sampling(examples: pd.DataFrame, drawn: Drawn, strata: _Strata, given: Mask) -> pd.DataFrame:
    """A row for every text of the pool: whether it is asked about, and with which probability.

    Texts with the same ``stratum`` had the same probability and were drawn by themselves.
    ``given`` ``(n_raters, n)``: which person is asked about which of the drawn texts.
    """
    asked_by = np.full(len(examples), "", dtype=object)
    asked_by[drawn.selected] = [
        ",".join(str(number + 1) for number in np.flatnonzero(of_text)) for of_text in given.T
    ]
    return pd.DataFrame(
        {
            "example_id": examples["example_id"],
            "asked": drawn.selected,
            "reason": np.where(drawn.selected, f"audit, drawn {strata.how}", "not drawn"),
            "inclusion_probability": drawn.inclusion_probability,
            "stratum": np.zeros(len(examples), dtype=np.int64)
            if strata.codes is None
            else np.unique(strata.codes, return_inverse=True)[1],
            "asked_by": asked_by,
        }
    )

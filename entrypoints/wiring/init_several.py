"""What a file supports whose texts may have several labels: each label is a question of its own.

As in :mod:`entrypoints.wiring.init_support`, the answers come from the loaders of the commands, for
the first label that can be judged; the texts and the splits of the others are the same.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.render.classes import MIN_EXAMPLES as MIN_OF_A_CLASS
from entrypoints.wiring.experiment_size import count_experiment
from entrypoints.wiring.init_costs import audit_cost, experiment_cost, labelling
from entrypoints.wiring.init_files import InitFiles, shown_path
from entrypoints.wiring.init_rows import (
    BLOCKED,
    NO_VERDICT,
    NOT_NEEDED,
    READY,
    Context,
    Support,
    context_of,
    in_order,
    parameters,
)
from entrypoints.wiring.init_support import (
    ENOUGH_TO_ASK,
    audit_needs,
    labels_needed,
    pool_of,
    sizes_of,
    too_few_test_texts,
    with_labels,
)
from project.audit.verdict import MIN_OF_CLASS, MIN_POOL, NEW_AUDIT, Needs
from project.config.audit import RANDOM
from project.config.experiment import experiment_config
from project.config.fields import parse
from project.config.init import InitConfig
from project.config.results import MIN_TEST
from project.config.task import TaskConfig
from project.data.inspection.proposal import Proposal
from project.data.one_label import ANSWERS
from project.data.task import Task, load_task
from project.support.errors import AssayError

_MODEL = "NAME"
_SHOWN = 6  # labels in a sentence


def supported_several(
    proposal: Proposal, files: InitFiles, config: InitConfig, max_length: int
) -> list[Support]:
    """What the file supports, the most useful first."""
    context = context_of(proposal, files, config, max_length)
    answers = proposal.answers
    labels = proposal.labels.labels
    known = pd.DataFrame(columns=list(labels)) if answers is None else answers[proposal.has_text]
    # One answer for all texts leaves nothing to judge.
    judged = [label for label in labels if known[label].nunique() > 1]
    first = (judged or list(labels))[0]
    try:
        n_pool = len(pool_of({**parameters("audit", context), "label": first}).examples)
    except AssayError as error:
        audit = Support("audit", "Judge the LLM's labels", BLOCKED, str(error))
        ask = Support("ask", "Have texts labelled", BLOCKED, str(error))
    else:
        needs = {label: _needs(known[label]) for label in labels}
        audit = _audit(context, needs)
        ask = _ask(context, known, needs, n_pool)
    return in_order(proposal, audit=audit, ask=ask, training=_suite(context, judged, known))


def _needs(answers: pd.Series) -> Needs | None:
    """What an audit of one label lacks, were its texts a random sample; None for nothing."""
    gold = answers.fillna(-1).to_numpy(dtype=np.int64)
    n_yes, n_no = int((gold == 1).sum()), int((gold == 0).sum())
    n = n_yes + n_no
    shares = np.array([n_no, n_yes]) / n if n else np.full(2, 0.5)
    return audit_needs(gold, ANSWERS, shares)


def _audit(context: Context, needs: Mapping[str, Needs | None]) -> Support:
    """Which labels an audit can judge."""
    title = "Judge the LLM's labels, one label at a time"
    proposal = context.proposal
    if not proposal.n_labelled:
        reason = (
            f"needs human labels of random texts, {NEW_AUDIT} for a start; you have none. Label "
            "them first (ask)."
        )
        return Support("audit", title, BLOCKED, reason)
    ready = [label for label, lacks in needs.items() if lacks is None]
    lacking = {label: lacks for label, lacks in needs.items() if lacks is not None}
    by = (
        f"the bundled LLM, or your own ({context.files.run.name})"
        if context.asks_llm
        else f"the labels in {proposal.roles.recorded[0]}"
    )
    condition = "" if proposal.is_complete else ", if the labelled ones are a random sample"
    reason = f"{by}, each label by itself (label=NAME){condition}: {_some(ready)}."
    if not ready:
        reason = f"{by}, each label by itself (label=NAME): it runs, but cannot decide yet."
    for label, lacks in lacking.items():
        more = f". Label {lacks.more_audited:,} more, at random" if lacks.more_audited else ""
        reason += f" Not yet {label}: {lacks.reason}{more}."
    design = {} if proposal.is_complete else {"audit_design": RANDOM}
    chosen = {"label": (ready or list(needs))[0], **design}
    cost = audit_cost(context.texts, context.config, asks_llm=context.asks_llm)
    state = READY if ready else NO_VERDICT
    return Support("audit", title, state, reason, context.command(**chosen), cost)


def _ask(
    context: Context, known: pd.DataFrame, needs: Mapping[str, Needs | None], n_pool: int
) -> Support:
    """The questions for people, who see each text once and choose all labels that fit."""
    title = "Have texts labelled, all labels at once"
    if context.proposal.is_complete:
        return Support("ask", title, NOT_NEEDED, "every text has human labels.")
    n = NEW_AUDIT
    shares = known.mean().dropna()
    rarest = min([1.0, *shares[shares > 0], *(1 - shares[shares < 1])])
    more = [lacks.more_audited for lacks in needs.values() if lacks and lacks.more_audited]
    if context.proposal.n_labelled and len(more) == len(needs):
        n = min(max(more), ENOUGH_TO_ASK)
    elif math.ceil(MIN_OF_CLASS / rarest) > n:
        n = min(math.ceil(MIN_OF_CLASS / rarest), ENOUGH_TO_ASK)
    n = min(n, n_pool)
    reason = f"{n:,} random texts of {n_pool:,}, on a page to label in the browser."
    if n_pool < MIN_POOL:
        reason += f" A verdict needs {MIN_POOL} texts in the file."
    command = context.command(design="audit", n=str(n))
    cost = labelling(context.texts, n, context.config)
    return Support("ask", title, READY, reason, command, cost)


def _suite(context: Context, judged: Sequence[str], known: pd.DataFrame) -> Support:
    """Whether an experiment of every label can decide."""
    title = "Train classifiers on gold and on the LLM's labels for every label, and compare"
    proposal = context.proposal
    if not proposal.roles.label:
        return Support("suite", title, BLOCKED, labels_needed())
    if not judged:
        reason = "all labelled texts have the same labels; a classifier needs texts that differ."
        return Support("suite", title, BLOCKED, reason)
    more = {} if context.asks_llm else {"recorded": shown_path(context.files.data)}
    try:
        params = {**parameters("main", context), **more, "label": judged[0]}
        task = load_task(parse(TaskConfig, params))
        with contextlib.redirect_stderr(io.StringIO()):  # notes that the experiment itself prints
            counted = count_experiment(experiment_config(params))
    except AssayError as error:
        reason = with_labels(str(error), proposal.n_labelled)
        return Support("suite", title, BLOCKED, reason)
    cost = experiment_cost(context.texts, counted, context.config, asks_llm=context.asks_llm)
    state, reason = _verdicts(task, proposal, judged, known)
    return Support(
        "suite",
        title,
        state,
        reason,
        context.command(**more),
        f"for each label, {cost}",
        _in_one_reply(context) if context.asks_llm else None,
    )


def _verdicts(
    task: Task, proposal: Proposal, judged: Sequence[str], known: pd.DataFrame
) -> tuple[str, str]:
    """Whether the splits are enough for a verdict on some label, and on which they are not."""
    sizes = sizes_of(task)
    test = task.split("test")["text"].str.strip()
    if len(test) < MIN_TEST:
        return NO_VERDICT, too_few_test_texts(sizes, proposal.n_labelled)
    texts = proposal.source.table.loc[known.index, proposal.roles.text].astype(str).str.strip()
    of_test = known[texts.isin(set(test)).to_numpy()]
    fewest = {label: _of_rarer_answer(of_test[label]) for label in judged}
    rare = [f"{label} ({n})" for label, n in fewest.items() if n < MIN_OF_A_CLASS]
    reason = f"{len(judged)} labels, each a task over the same texts: {sizes}."
    if rare:
        reason += (
            f" No verdict on labels that fewer than {MIN_OF_A_CLASS} test texts have, or lack: "
            f"{_some(rare)}. Label more of them."
        )
    return (READY if len(rare) < len(judged) else NO_VERDICT), reason


def _of_rarer_answer(answers: pd.Series) -> int:
    return int(min((answers == 1).sum(), (answers == 0).sum()))


def _in_one_reply(context: Context) -> Support:
    """All labels of a text from an LLM in one reply, which the bundled LLM cannot give."""
    title = (
        "With an LLM behind a server (annotator_url), all labels of a text take one request; the "
        "command prints the suite that judges them"
    )
    command = context.command(splits="train,test", annotator="openai", annotator_model=_MODEL)
    return Support("annotate", title, READY, "", command)


def _some(words: Sequence[str]) -> str:
    """The first of the words, and how many there are more."""
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more

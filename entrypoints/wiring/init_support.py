"""What a file supports: the audit, questions for people, the experiment; and what is missing.

Each answer comes from the loaders that the commands use, on the files that ``init`` has written,
and from the limits below which they give no verdict.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np

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
from project.audit.sample import AuditSample
from project.audit.verdict import MIN_OF_CLASS, MIN_POOL, NEW_AUDIT, Needs, refusal
from project.config.audit import RANDOM, AuditConfig, AuditTaskConfig, PoolConfig
from project.config.experiment import experiment_config
from project.config.fields import parse
from project.config.init import InitConfig
from project.config.results import MIN_TEST
from project.config.task import TaskConfig
from project.data.card import CardSizes
from project.data.inspection.proposal import Proposal
from project.data.pool import Pool, load_pool
from project.data.tables import codes
from project.data.task import Task, load_task
from project.stats.types import Codes, Floats
from project.support.errors import AssayError

ENOUGH_TO_ASK = 500
"""Largest audit that is proposed to find enough of a rare class; then strata are better."""


def supported(
    proposal: Proposal, files: InitFiles, config: InitConfig, max_length: int
) -> list[Support]:
    """What the file supports, the most useful first."""
    context = context_of(proposal, files, config, max_length)
    try:
        pool = pool_of(parameters("audit", context))
    except AssayError as error:
        audit = Support("audit", "Judge the LLM's labels", BLOCKED, str(error))
        ask = Support("ask", "Have texts labelled", BLOCKED, str(error))
    else:
        needs = audit_needs(_gold(pool), pool.task.label_set, _shares(pool, proposal))
        audit = _audit(context, pool, needs)
        ask = _ask(context, pool, needs, audit)
    main = _experiment(context)
    return in_order(proposal, audit=audit, ask=ask, training=main)


def pool_of(params: Mapping[str, str]) -> Pool:
    """The pool of an audit with these parameters. Raises AssayError where it cannot be loaded."""
    own_columns = [("group", parse(AuditConfig, params).group)]
    return load_pool(parse(AuditTaskConfig, params), parse(PoolConfig, params), own_columns)


def _gold(pool: Pool) -> Codes:
    return codes(pool.examples["gold_label"], pool.task.label_set)


def audit_needs(gold: Codes, labels: Sequence[str], shares: Floats) -> Needs | None:
    """What an audit of the labels lacks, were they a random sample; None for nothing.

    Parameters
    ----------
    gold
        The class of each text of the pool, -1 where it is not known ``(n_pool,)``.
    labels
        The classes.
    shares
        Their shares in the pool ``(n_classes,)``.
    """
    indices = np.flatnonzero(gold >= 0)
    n_pool = len(gold)
    sample = AuditSample(
        indices=indices,
        gold=gold[indices],
        inclusion_probability=np.full(len(indices), max(1, len(indices)) / n_pool),
        n_pool=n_pool,
        n_classes=len(labels),
    )
    return refusal(sample, shares, labels)


def _shares(pool: Pool, proposal: Proposal) -> Floats:
    """Shares of the classes ``(n_classes,)``: of the human labels, else of an LLM's; else equal."""
    labels = pool.task.label_set
    counts = np.array([proposal.labels.counts.get(label, 0) for label in labels], dtype=np.float64)
    if not counts.sum() and proposal.roles.recorded:
        known = proposal.facts[proposal.roles.recorded[0]].counts
        counts = np.array([known.get(label, 0) for label in labels], dtype=np.float64)
    if not counts.sum():
        return np.full(len(labels), 1 / len(labels))
    return np.asarray(counts / counts.sum())


def _audit(context: Context, pool: Pool, needs: Needs | None) -> Support:
    """Whether an audit can decide, and how many labels it lacks."""
    title = "Judge the LLM's labels"
    n_labelled = int(pool.examples["gold_label"].notna().sum())
    by = (
        f"the bundled LLM, or your own ({context.files.run.name})"
        if context.asks_llm
        else f"the labels in {context.proposal.roles.recorded[0]}"
    )
    if not n_labelled:
        return Support(
            "audit",
            title,
            BLOCKED,
            f"needs human labels of random texts, {NEW_AUDIT} for a start; you have none. Label "
            "them first (ask).",
        )
    is_complete = context.proposal.is_complete
    more = {} if is_complete else {"audit_design": RANDOM}
    if needs is None:
        condition = (
            "every text has one"
            if is_complete
            else "if they are a random sample; if not, draw new ones (ask)"
        )
        few = "" if n_labelled >= NEW_AUDIT else f" {NEW_AUDIT} decide more often."
        reason = f"{by}, by {n_labelled:,} human labels: {condition}.{few}"
        state = READY
    else:
        state = NO_VERDICT
        reason = f"it runs, but cannot decide yet: {needs.reason}."
        if needs.more_audited:
            reason += f" Label {needs.more_audited:,} more, at random (ask)."
        if needs.join_classes:
            reason += f" Or join the classes {', '.join(needs.join_classes)}."
        if needs.more_pool:
            reason += f" Add {needs.more_pool:,} texts."
    cost = audit_cost(context.texts, context.config, asks_llm=context.asks_llm)
    return Support("audit", title, state, reason, context.command(**more), cost)


def _ask(context: Context, pool: Pool, needs: Needs | None, audit: Support) -> Support:
    """The questions for people: how many, and whether rare classes are enriched."""
    title = "Have texts labelled"
    n_pool = len(pool.examples)
    if context.proposal.is_complete:
        return Support("ask", title, NOT_NEEDED, "every text has a human label.")
    n = NEW_AUDIT
    strata: dict[str, str] = {}
    shares = _shares(pool, context.proposal)
    n_of_rarest = math.ceil(MIN_OF_CLASS / max(float(shares.min()), 1 / n_pool))
    if audit.state == NO_VERDICT and needs and needs.more_audited:
        n = needs.more_audited
    elif n_of_rarest > n:
        n = min(n_of_rarest, ENOUGH_TO_ASK)
    if n_of_rarest > ENOUGH_TO_ASK and not context.asks_llm:
        n, strata = NEW_AUDIT, {"stratify": "label"}
    n = min(n, n_pool)
    how = ", more of the LLM's rare classes" if strata else ""
    reason = f"{n:,} random texts of {n_pool:,}{how}, on a page to label in the browser."
    if n_pool < MIN_POOL:
        reason += f" A verdict needs {MIN_POOL} texts in the file."
    return Support(
        "ask",
        title,
        READY,
        reason,
        context.command(design="audit", n=str(n), **strata),
        labelling(context.texts, n, context.config),
    )


def _experiment(context: Context) -> Support:
    """Whether an experiment with gold labels can decide."""
    title = "Train classifiers on gold and on the LLM's labels, and compare"
    n_labelled = context.proposal.n_labelled
    if not context.proposal.roles.label:
        return Support(
            "main",
            title,
            BLOCKED,
            labels_needed(),
        )
    more = {} if context.asks_llm else {"recorded": shown_path(context.files.data)}
    try:
        params = {**parameters("main", context), **more}
        task = load_task(parse(TaskConfig, params))
        with contextlib.redirect_stderr(io.StringIO()):  # notes that the experiment itself prints
            counted = count_experiment(experiment_config(params))
    except AssayError as error:
        return Support("main", title, BLOCKED, with_labels(str(error), n_labelled))
    cost = experiment_cost(context.texts, counted, context.config, asks_llm=context.asks_llm)
    state, reason = _verdict_of(task, n_labelled, context.proposal.labels.counts)
    return Support("main", title, state, reason, context.command(**more), cost)


def labels_needed() -> str:
    """What an experiment needs where the file has no human labels."""
    usual = CardSizes().model_dump()
    return (
        f"needs {2 * MIN_TEST} texts with human labels for training, validation and test, better "
        f"{math.ceil(MIN_TEST * sum(usual.values()) / usual['test'])}; you have none. An audit "
        "needs fewer."
    )


def sizes_of(task: Task) -> str:
    """The sizes of the splits of a task."""
    return ", ".join(
        f"{n:,} {name}" for name in ("train", "validation", "test") if (n := len(task.split(name)))
    )


def with_labels(error: str, n_labelled: int) -> str:
    """The loader's error, and how many labels would help where there are too few."""
    if n_labelled >= 2 * MIN_TEST:
        return error
    return f"{error} Label {2 * MIN_TEST - n_labelled:,} more texts for a verdict."


def too_few_test_texts(sizes: str, n_labelled: int) -> str:
    """What an experiment lacks whose test split is too small."""
    more = 2 * MIN_TEST - n_labelled
    help_text = f" Label {more:,} more texts, or audit." if more > 0 else ""
    return f"it runs ({sizes}), but {MIN_TEST} test texts are the least for a verdict.{help_text}"


def _verdict_of(task: Task, n_labelled: int, counts: Mapping[str, int]) -> tuple[str, str]:
    """Whether the splits of a task are enough for a verdict, and what they lack."""
    sizes = sizes_of(task)
    test = task.split("test")["gold_label"].value_counts()
    n_test = int(test.sum())
    if n_test < MIN_TEST:
        return NO_VERDICT, too_few_test_texts(sizes, n_labelled)
    rare = [name for name in task.label_set if test.get(name, 0) < MIN_OF_A_CLASS]
    if not rare:
        return READY, f"texts with gold labels: {sizes}."
    name = min(rare, key=lambda label: test.get(label, 0))
    needed = math.ceil(MIN_OF_A_CLASS * n_labelled / n_test)
    more_of_class = max(1, needed - counts.get(name, 0))
    return NO_VERDICT, (
        f"it runs ({sizes}), but {len(rare)} classes have fewer than {MIN_OF_A_CLASS} test texts; "
        f"{name} has {test.get(name, 0)}. Label about {more_of_class:,} more of it, or join "
        "classes."
    ).replace("but 1 classes have", "but 1 class has")

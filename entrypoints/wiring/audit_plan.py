"""The plan of an audit: how many texts people should label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entrypoints.wiring.audit_labels import audit_sample
from entrypoints.wiring.clusters import HERE, OpenCluster
from entrypoints.wiring.terminal import Progress
from project.audit import learner, plan
from project.audit.borrowed_curve import estimate_loss, learn_curves, n_trainings
from project.audit.loss import LOSS_LEVEL, Loss
from project.audit.verdict import refusal
from project.config.audit import AuditConfig
from project.config.experiment import ExperimentConfig
from project.data.pool import Pool
from project.stats.types import Codes
from project.training.embeddings import embed
from project.training.linear import LinearClassifier, principal_components


def linear_classifier(pool: Pool, workspace: Path, cluster: OpenCluster = HERE) -> LinearClassifier:
    """The cheap classifier on the pool, whose embeddings are computed or read from disk."""
    texts = list(pool.examples["text"])
    with Progress("embed", len(texts), "texts") as progress:
        vectors = embed(texts, workspace, progress=progress, cluster=cluster.embedding)
    return LinearClassifier(principal_components(vectors), len(pool.task.label_set))


def planned(
    pool: Pool,
    asked: AuditConfig,
    config: ExperimentConfig,
    llm: Codes,
    classifier: LinearClassifier,
) -> dict[str, Any]:
    """The plan as values that JSON has.

    Parameters
    ----------
    pool
        The texts, with human labels of a pilot where there are some.
    asked, config
        The parameters of the entry point.
    llm
        The LLM's labels of the pool ``(n_pool,)``, -1 for none.
    classifier
        The cheap classifier on the pool.
    """
    n_classes = len(pool.task.label_set)
    pilot = audit_sample(pool, asked)
    shares = pilot.class_counts() / max(1, pilot.n)
    from_pilot = refusal(pilot, shares, pool.task.label_set) is None
    right = llm[pilot.indices] == pilot.gold
    accuracy = float(right.mean()) if from_pilot else asked.assumed_accuracy / 100
    gold = plan.simulated_gold(llm, accuracy, n_classes, asked.audit_seed)
    total = learner.POOL_FOLDS + (n_trainings() if from_pilot else plan.n_steps(len(llm)))
    with Progress("plan", total, "trainings") as progress:
        predicted = learner.cross_fitted(classifier, llm, asked.audit_seed, progress=progress)
        if from_pilot:
            curves = learn_curves(
                pilot, llm, predicted, learner=classifier, seed=asked.audit_seed, progress=progress
            )
            spread = _spread(pilot.n, estimate_loss(pilot, llm, predicted, curves))
        else:
            spread = plan.simulated_spread(
                llm,
                predicted,
                gold,
                n_classes=n_classes,
                learner=classifier,
                seed=asked.audit_seed,
                progress=progress,
            )
    found = plan.plan(llm, gold, spread, config.verdict.tolerance / 100, n_classes)
    price = config.spend.price_label
    return {
        "schema": 1,
        "kind": "plan",
        "n_pool": len(llm),
        "n_audit": pilot.n,
        "label_set": list(pool.task.label_set),
        "classifier_name": classifier.name,
        "tolerance": config.verdict.tolerance / 100,
        "loss_level": LOSS_LEVEL,
        "accuracy": accuracy,
        "from_pilot": from_pilot,
        "loss_of_pilot": spread.estimate,
        "enough": found.enough,
        "enough_of_rarest": found.enough_of_rarest,
        "rows": [row._asdict() | {"price": price * row.size} for row in found.rows],
    }


def _spread(n: int, loss: Loss) -> plan.Spread:
    """How far an audit's estimate spreads, as a pilot of ``n`` texts tells."""
    standard_error = loss.standard_error["macro_f1"]
    spread = plan.spread_of_audit(n, standard_error, loss.classifier["macro_f1"])
    return spread._replace(estimate=loss.loss["macro_f1"].estimate)

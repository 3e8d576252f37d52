"""Simulated audits of an encoder: what one audit of a few trainings says beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.audit_cells import MAX_POOL, MIN_TEST, Cell, Truth, loss_estimates, scored
from benchmarks.audit_data import LabelSet
from entrypoints.wiring.audit_encoder import EncoderTrainings
from project.audit import fine_tuned
from project.audit.fine_tuned import Training
from project.audit.sample import AuditSample
from project.audit.verdict import CANNOT_TELL, MIN_OF_CLASS, verdict
from project.config.finetune import FinetuneConfig
from project.config.recipe import with_recipe
from project.stats.types import Codes, Floats
from project.training.encoder import Encoder

_POOL_SHARE = 0.7
_RESAMPLES = 300


def encoder_audits(
    labelled: LabelSet,
    sizes: Sequence[int],
    tolerances: Sequence[float],
    seed: int,
    *,
    config: FinetuneConfig,
    workspace: Path,
    max_pool: int = MAX_POOL,
) -> list[Cell]:
    """One split into pool and test texts, and one audit of each size, by a fine-tuned encoder.

    Parameters
    ----------
    labelled
        The data.
    sizes
        Sizes of the audits; those over half of the pool are left out.
    tolerances
        Tolerated losses of macro-F1, in [0, 1].
    seed
        Seed of the split and of the audits; the same for all LLMs of a data set, so that
        trainings on human labels serve all of them.
    config
        Encoder, recipe and number of seeds.
    workspace
        Where trainings are kept.
    max_pool
        Most texts of a pool.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(labelled.gold))
    pool = order[: min(max_pool, int(_POOL_SHARE * len(order)))]
    test = order[len(pool) : len(pool) + 1000]
    if len(test) < MIN_TEST:
        return []
    both = np.concatenate([pool, test])
    encoder = Encoder.find(config)
    config = with_recipe(config, n_parameters=encoder.n_parameters, n_classes=labelled.n_classes)
    trainings = EncoderTrainings(
        encoder,
        config,
        pd.DataFrame(
            {
                "example_id": both.astype(str),
                "text": [labelled.texts[index] for index in both],
            }
        ),
        [str(code) for code in range(labelled.n_classes)],
        workspace,
    )
    on_test = np.arange(len(pool), len(both))
    everything = np.arange(len(pool))
    gold = labelled.gold[pool]
    by_gold = trainings.run(
        [
            Training("human labels", everything, gold, on_test, number)
            for number in range(config.seeds)
        ]
    )
    cells = []
    for size in sizes:
        if size <= len(pool) // 2:
            indices = np.sort(random.permutation(len(pool))[:size])
            sample = AuditSample(
                indices=indices,
                gold=gold[indices],
                inclusion_probability=np.full(size, size / len(pool)),
                n_pool=len(pool),
                n_classes=labelled.n_classes,
            )
            cells.append(
                _cell(labelled, sample, pool, test, trainings, by_gold, config, tolerances, seed)
            )
    return cells


def _cell(
    labelled: LabelSet,
    sample: AuditSample,
    pool: Codes,
    test: Codes,
    trainings: EncoderTrainings,
    by_gold: Sequence[Codes],
    config: FinetuneConfig,
    tolerances: Sequence[float],
    seed: int,
) -> Cell:
    """What one audit estimates, beside the truth."""
    on_test = np.arange(len(pool), len(pool) + len(test))
    by_llm: list[Codes] = []

    def train_all(makes: Sequence[Training]) -> list[Codes]:
        # The first ones train on the LLM's labels of the whole pool: they predict the test, too.
        longer = [
            make._replace(test=np.concatenate([make.test, on_test]))
            if number < config.seeds
            else make
            for number, make in enumerate(makes)
        ]
        found = trainings.run(longer)
        by_llm.extend(codes[sample.n :] for codes in found[: config.seeds])
        return [codes[: len(make.test)] for codes, make in zip(found, makes, strict=True)]

    llm = labelled.llm[pool]
    rarest = int(sample.class_counts().min())
    predicted = fine_tuned.predictions(
        sample,
        llm,
        train_all=train_all,
        n_seeds=config.seeds,
        seed=seed,
        documents=labelled.documents[pool],
    )
    truth = Truth(
        _mean_scores(labelled.gold[test], by_llm, labelled.n_classes),
        _mean_scores(labelled.gold[test], by_gold, labelled.n_classes),
        labelled.gold[pool],
    )
    difference = truth.gold_trained - truth.classifier
    loss = fine_tuned.estimate_loss(sample, llm, predicted)
    verdicts = dict.fromkeys(tolerances, CANNOT_TELL)
    if rarest >= MIN_OF_CLASS:
        verdicts = {limit: verdict(sample, loss, limit).word for limit in tolerances}
    return Cell(
        data=labelled.data,
        llm_name=labelled.llm_name,
        size=sample.n,
        estimates=loss_estimates(loss, truth, difference),
        verdicts=verdicts,
        true_loss=float(difference[0, 1]),
        true_loss_error=float(difference[1:, 1].std()),
        rarest=rarest,
    )


def _mean_scores(gold: Codes, predicted: Sequence[Codes], n_classes: int) -> Floats:
    """Mean accuracy and macro-F1 of trainings under every resample, ``(1 + resamples, 2)``."""
    n = len(gold)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    weights = np.concatenate([np.ones((1, n)), drawn]) / n
    parts = [scored(gold, row, n_classes, weights) for row in predicted]
    return np.asarray(np.mean(parts, axis=0))

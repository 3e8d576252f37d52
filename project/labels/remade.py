"""The LLM's labels made anew, or with what is known of their errors: by an audit, or all draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.config.arms import Arm
from project.data.tables import class_columns, codes
from project.labels.audited import check_audit
from project.labels.audited_posterior import FLOOR, audited_codes, given_codes, posterior_of
from project.labels.error_model import classifier_error_probability, estimated_noise
from project.labels.inputs import LabelInputs
from project.stats.base_rates import recut
from project.stats.conformal import certified, min_audit
from project.stats.dawid_skene import dawid_skene
from project.stats.transition import smoothed_transition
from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError

_NOT_AUDITED = "no label is audited"
_MIN_SHARE = 1e-9  # of a class, below which it is divided by this
_DIGITS = 4  # of an estimate: the last digits of another machine would be another training
_MOST_NOISE = 0.5


class Remade(NamedTuple):
    """Labels in place of the LLM's: ``(n,)``, null where there is none.

    ``probabilities`` is ``(n, n_classes)``; ``reason`` stands at the labels that no human gave;
    ``note`` says what became of the labels. ``likelihood`` ``(n, n_classes)`` is in proportion to
    P(label | class), where the classifier learns from it; ``noise`` is the share of labels that its
    mini-batches leave out.
    """

    labels: npt.NDArray[np.object_]
    probabilities: Floats
    reason: str
    note: str
    likelihood: Floats | None = None
    noise: float = 0.0


def remade(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The labels of an arm with ``facts.remade``; ``answered``: the audited texts ``(n,)``."""
    check_audit(arm, len(inputs.examples), config=inputs.config)
    return _MAKERS[arm.facts.remade](arm, inputs, answered)


def _named(found: Codes, label_set: tuple[str, ...]) -> npt.NDArray[np.object_]:
    """Labels of codes ``(n,)``; null for -1."""
    return np.asarray(np.array([*label_set, None], dtype=object)[found])


def _posterior(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """P(gold | LLM label, text); the label is the most probable class."""
    del arm
    found = posterior_of(inputs, answered)
    if found is None:
        given = given_codes(inputs)
        values = np.full((len(given), len(inputs.label_set)), np.nan)
        values[given >= 0] = np.eye(len(inputs.label_set))[given[given >= 0]]
        return Remade(_named(given, inputs.label_set), values, "annotated", _NOT_AUDITED)
    best = np.where(found.has_label, np.nan_to_num(found.values, nan=-1.0).argmax(axis=1), -1)
    note = f"its probabilities follow from {found.by}, as {found.n_audited} audited labels have it"
    named = _named(best, inputs.label_set)
    return Remade(named, found.values, f"posterior by {found.by}", note)


def _evidence(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The LLM's labels, each with what it and its text say for every class.

    This is P(gold | LLM label, text) / P(gold), scaled to at most 1 for each text, in the place of
    P(LLM label | gold) of ``forward``. It is no likelihood: divided by P(gold | text) it would be
    one, P(LLM label | gold, text), and the loss would have its minimum at P(gold | text). So the
    text counts twice, here and for the classifier, which makes classifiers surer and gives rare
    classes more. From small audits this scores better in macro-F1, accuracy and log loss than the
    likelihood, whose divisor must be estimated, too (EXPERIMENTS.md).
    """
    del arm
    probabilities = np.exp(class_columns(inputs.draws[0], inputs.label_set))
    named = _named(given_codes(inputs), inputs.label_set)
    found = posterior_of(inputs, answered)
    if found is None:
        return Remade(named, probabilities, "annotated", _NOT_AUDITED)
    shares = found.values[found.has_label].mean(axis=0)
    ratios = found.values / np.maximum(shares, _MIN_SHARE)
    ratios = np.round(ratios / ratios.max(axis=1, keepdims=True), _DIGITS)
    note = (
        f"its loss takes {found.by} as evidence for each class, as {found.n_audited} audited "
        "labels have it"
    )
    _, gold = audited_codes(inputs, answered)
    n_classes = len(inputs.label_set)
    if n_absent := n_classes - len(np.unique(gold)):
        note += f"; for {n_absent} of {n_classes} classes, not among them, it has hardly any"
    reason = f"annotated, with {found.by} as evidence"
    return Remade(named, probabilities, reason, note, likelihood=ratios)


def _forward(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The LLM's labels, each with P(this label | class) by the audited table of confusions."""
    del arm
    given = given_codes(inputs)
    n_classes = len(inputs.label_set)
    probabilities = np.exp(class_columns(inputs.draws[0], inputs.label_set))
    named = _named(given, inputs.label_set)
    audited, gold = audited_codes(inputs, answered)
    if not len(audited):
        return Remade(named, probabilities, "annotated", _NOT_AUDITED)
    likelihood = np.full((len(given), n_classes), np.nan)
    has_label = given >= 0
    confused = smoothed_transition(gold, given[audited], n_classes)
    likelihood[has_label] = confused[:, given[has_label]].T
    right = 100 * (gold == given[audited]).mean()
    note = f"its loss knows the confusions of {len(audited)} audited labels, {right:.0f} % right"
    if n_absent := n_classes - len(np.unique(gold)):
        note += f"; for {n_absent} of {n_classes} classes, not among them, it takes that share"
    return Remade(named, probabilities, "annotated, with P(label given class)", note, likelihood)


def _certified(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The labels that pass conformal selection, by a score that uses no audited label."""
    given = given_codes(inputs)
    error = inputs.config.certified_error
    audited, gold = audited_codes(inputs, answered)
    needed = min_audit(error)
    if len(audited) < needed:
        raise AssayError(
            f"the arm {arm.name} needs {needed} audited labels to certify an error of {error:g}; "
            f"got {len(audited)} with an answer. Have more labelled, or raise certified_error."
        )
    has_label = given >= 0
    doubt = classifier_error_probability(
        given, inputs.embeddings, len(inputs.label_set), inputs.config.tie_seed
    )
    logs = class_columns(inputs.draws[0], inputs.label_set)
    own = np.nan_to_num(logs[np.arange(len(given)), given], nan=0.0, neginf=FLOOR)
    score = np.log(np.maximum(1 - doubt[has_label], 1e-9)) + np.maximum(own[has_label], FLOOR)
    wrong = np.zeros(len(given), dtype=bool)
    wrong[audited] = given[audited] != gold
    in_audit = np.isin(np.arange(len(given)), audited)
    kept = np.zeros(len(given), dtype=bool)
    kept[has_label] = certified(score, in_audit[has_label], wrong[has_label], error)
    note = (
        f"{int(kept.sum())} of {int((has_label & ~in_audit).sum())} LLM labels are certified, of "
        f"which at most {100 * error:g} % are wrong, on average over audits"
    )
    labels = _named(np.where(kept, given, -1), inputs.label_set)
    return Remade(labels, np.exp(logs), f"certified at {100 * error:g} %", note)


def _coteach(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The LLM's labels as they are, and the share of them that training leaves out."""
    del arm, answered
    given = given_codes(inputs)
    probabilities = np.exp(class_columns(inputs.draws[0], inputs.label_set))
    percent = inputs.config.coteach_noise
    if percent is None:
        noise = estimated_noise(
            given, inputs.embeddings, len(inputs.label_set), inputs.config.tie_seed
        )
        noise = round(min(noise, _MOST_NOISE), _DIGITS)
        by = "as confident learning estimates their errors; set coteach_noise for another share"
    else:
        noise = percent / 100
        by = "as coteach_noise says"
    note = f"its networks leave out {100 * noise:.3g} % of the labels, {by}"
    named = _named(given, inputs.label_set)
    return Remade(named, probabilities, "annotated", note, noise=noise)


def _jury(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The most probable class by the model of Dawid and Skene, with its probabilities."""
    del answered
    votes = np.stack([codes(t["label"], inputs.label_set) for t in inputs.draws[: arm.draws]])
    values = dawid_skene(votes, len(inputs.label_set)).posterior
    best = np.where(np.isnan(values[:, 0]), -1, np.nan_to_num(values).argmax(axis=1))
    return Remade(_named(best, inputs.label_set), values, f"jury of {arm.draws}", "")


def _threshold(arm: Arm, inputs: LabelInputs, answered: Mask) -> Remade:
    """The LLM's probabilities cut anew, so that the classes have their audited shares."""
    given = given_codes(inputs)
    logs = class_columns(inputs.draws[0], inputs.label_set)
    has_label = (given >= 0) & ~np.isnan(logs).all(axis=1)
    if not has_label.any():
        raise AssayError(
            f"the arm {arm.name} needs class probabilities, which these labels come without. "
            f"Leave {arm.kind} out of arms."
        )
    audited, gold = audited_codes(inputs, answered)
    if not len(audited):
        named = _named(given, inputs.label_set)
        return Remade(named, np.exp(logs), "annotated", _NOT_AUDITED)
    transition = smoothed_transition(given[audited], gold, len(inputs.label_set))
    shares = transition[given[has_label]].mean(axis=0)
    best = given.copy()
    best[has_label] = recut(logs[has_label], shares)
    note = f"{int((best != given).sum())} of {len(given)} labels change to meet the audited shares"
    return Remade(_named(best, inputs.label_set), np.exp(logs), "cut by audited shares", note)


_MAKERS: dict[str, Callable[[Arm, LabelInputs, Mask], Remade]] = {
    "posterior": _posterior,
    "forward": _forward,
    "evidence": _evidence,
    "certified": _certified,
    "coteach": _coteach,
    "jury": _jury,
    "threshold": _threshold,
}

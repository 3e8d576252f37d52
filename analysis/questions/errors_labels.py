"""Errors of the LLM's training labels: where they go, and tests of what they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.render.section import Table
from project.stats.noise import (
    SignificanceTest,
    Transition,
    error_by_class,
    error_by_value,
    error_direction,
    holm,
    noise_transition,
)
from project.stats.scores import confusion
from project.stats.types import Codes, Floats

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

SIGNIFICANCE = 0.05
NO_ANSWER = "(no answer)"
_TEST_NOTE = (
    "p: how often chance alone makes errors that look at least as structured, by permuting the "
    "errors over the examples (for the wrong label: by drawing it uniformly from the other "
    "classes). p, adjusted: Holm's, for all rows of the table together."
)


class LabelErrors(NamedTuple):
    """The LLM's labels of the training examples with a gold label, under the first draw.

    Attributes
    ----------
    gold, given
        Class codes ``(n,)`` of the gold label and of the LLM's, -1 for a missing answer.
    n_words
        Words of every text, ``(n,)``.
    entropy
        Entropy of every answer in bits, ``(n,)``, nan if unknown.
    label_set
        The classes, in the order of the codes.
    """

    gold: Codes
    given: Codes
    n_words: Floats
    entropy: Floats
    label_set: Sequence[str]

    @property
    def given_names(self) -> list[str]:
        """The classes, and a name for missing answers if there are any."""
        missing = [NO_ANSWER] if (self.given < 0).any() else []
        return [*self.label_set, *missing]

    def confusion(self) -> Codes:
        """Counts of the answered examples ``(n_classes, n_classes)``, rows gold."""
        answered = self.given >= 0
        return confusion(self.gold[answered], self.given[answered], len(self.label_set))

    def transition(self) -> Transition:
        """Shares of the given labels for each gold class; columns are :attr:`given_names`."""
        counts = self.confusion()
        missing = self.gold[self.given < 0]
        if len(missing):
            column = np.bincount(missing, minlength=len(self.label_set))
            counts = np.concatenate([counts, column[:, None]], axis=1)
        return noise_transition(counts)


class ErrorTest(NamedTuple):
    """A test of whether errors depend on ``subject``.

    ``statistic`` names its statistic; ``adjusted`` is the p-value after Holm's correction.
    """

    subject: str
    statistic: str
    chance: SignificanceTest
    adjusted: float


def read_label_errors(experiment: Experiment) -> LabelErrors | None:
    """The LLM's training labels beside the gold ones; None if one of the two is missing."""
    from analysis.store.uncertainties import entropy_bits
    from project.data.tables import codes, is_asked
    from project.support.privacy import word_counts

    if not experiment.annotations["train"]:
        return None
    examples = experiment.split("train")
    first_draw = experiment.annotations["train"][0]
    known = examples["gold_label"].notna().to_numpy()
    if not known.any() or first_draw["label"].isna().all():
        return None
    known = known & is_asked(first_draw)
    annotations = first_draw[known]
    label_set = experiment.label_set
    return LabelErrors(
        codes(examples.loc[known, "gold_label"], label_set),
        codes(annotations["label"], label_set),
        # A private store holds word counts in place of the texts.
        word_counts(examples[known]).to_numpy(dtype=np.float64),
        entropy_bits(annotations, label_set),
        label_set=label_set,
    )


def error_tests(errors: LabelErrors) -> list[ErrorTest]:
    """Tests of whether errors depend on class, direction, length or entropy."""
    wrong = errors.given != errors.gold
    n_classes = len(errors.label_set)
    tests = [
        ("the gold class", "chi-squared", error_by_class(errors.gold, wrong, n_classes)),
        ("which wrong label", "chi-squared", error_direction(errors.confusion())),
        ("the text's length in words", "AUROC", error_by_value(errors.n_words, wrong)),
        ("the LLM's entropy", "AUROC", error_by_value(errors.entropy, wrong)),
    ]
    # Four tests of one question: without a correction one of them would often look significant.
    adjusted = holm(np.array([chance.p_value for *_, chance in tests]))
    return [ErrorTest(*test, float(p)) for test, p in zip(tests, adjusted, strict=True)]


def test_table(tests: Sequence[ErrorTest]) -> Table:
    """The tests, one a row."""
    import pandas as pd

    rows = []
    records = []
    for test in tests:
        numbers = (*test.chance, test.adjusted)
        cells = ["-" if np.isnan(number) else f"{number:.3g}" for number in numbers]
        rows.append([test.subject, test.statistic, *cells])
        records.append(
            {
                "errors_depend_on": test.subject,
                "statistic": test.statistic,
                "value": test.chance.statistic,
                "p": test.chance.p_value,
                "p_adjusted": test.adjusted,
            }
        )
    return Table(
        "error_tests",
        "What the errors depend on",
        ["errors depend on", "statistic", "value", "p", "p, adjusted"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_TEST_NOTE],
        folded=True,
    )


def dependence_sentence(errors: LabelErrors, tests: Sequence[ErrorTest]) -> str:
    """The share of wrong labels, and what the errors depend on."""
    wrong = 100 * float((errors.given != errors.gold).mean())
    subjects = [test.subject for test in tests if test.adjusted < SIGNIFICANCE]
    share = f"The LLM's labels of the {len(errors.gold)} training texts are wrong in {wrong:.1f} %"
    if not subjects:
        return f"{share}; no test tells the errors from random ones."
    return f"{share}, and the errors are not random: they depend on {', '.join(subjects)}."

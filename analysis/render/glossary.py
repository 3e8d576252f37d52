"""The words of a report in everyday terms, for its last page."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "gold label": "A label that people gave and that counts as right.",
    "LLM label": "A label that the large language model gave.",
    "classifier": "The small model that is trained on labels and then labels all other texts.",
    "macro-F1": (
        "The score of a classifier, from 0 to 100: the mean over the classes of F1, which is high "
        "if a class is found (recall) and seldom given wrongly (precision). Rare classes count as "
        "much as frequent ones."
    ),
    "loss": (
        "Points of the score that are lost by training on these labels instead of gold labels. "
        "Positive: something is lost. Negative: something is gained."
    ),
    "tolerance": "The largest loss that counts as safe. It is yours to set.",
    "alpha": (
        "Krippendorff's alpha, the agreement of several trainings beyond chance: 1 if all label "
        "every text alike, 0 if they agree no more often than chance. Where nearly all texts are "
        "of one class, chance alone agrees often: then alpha can be near 0 although most texts "
        "are labelled alike."
    ),
    "unchanged": "Share of the texts that every training labels alike.",
    "seed": (
        "One training. Several trainings on the same labels differ by chance, such as the order of "
        "the texts; each has another seed."
    ),
    "95 % limits": (
        "In square brackets: a range that holds the true value in 95 of 100 such experiments. "
        "A claim that needs more than the data can tell is not made."
    ),
    "± sd": (
        "The standard deviation of the seeds: how far single trainings lie apart. It is no range "
        "for the true value."
    ),
    "test texts": "Texts with gold labels that no training has seen. All scores are theirs.",
    "arm": "One source of training labels, such as gold, llm or entropy_25, with its trainings.",
}

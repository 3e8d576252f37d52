"""The entry point ``taxonomy``: what the labels are for, and how an LLM proposes them."""

from __future__ import annotations

from project.config.annotation import AnnotateConfig
from project.config.audit import AuditTaskConfig
from project.config.fields import ConfigSection, parameter, section
from project.config.prompt import PromptConfig
from project.support.errors import AssayError

_MAX_USE_CASE = 1000  # characters


@section
class TaxonomyTaskConfig(AuditTaskConfig):
    """The texts: a file is enough."""

    task: str = parameter(default="", help="not used here; a task card is what comes out")
    data: str = parameter(
        default="", help="file with the texts: .csv, .jsonl or .parquet", everyday=True
    )
    text_column: str = parameter(
        default="", help="column with the text; empty: text", everyday=True
    )
    label_column: str = parameter(default="", help="not used here; texts need no labels")
    split_column: str = parameter(default="", help="not used here; a taxonomy has no splits")
    max_train: int | None = parameter(
        default=None, help="most texts to label, drawn at random; auto: all", ge=2
    )

    def __post_init__(self) -> None:
        """Refuse a card."""
        if self.task:
            raise AssayError(
                f"task must be empty: the labels are proposed for the texts of data; got "
                f"{self.task!r}. Leave it out."
            )


@section
class TaxonomyAnnotateConfig(AnnotateConfig):
    """The LLM, which writes the labels and then labels the texts by them."""

    temperature: float = parameter(
        default=0.6,
        help="temperature at which summaries and labels are written; labelling itself takes the "
        "most probable label",
        gt=0,
        le=100,
    )


@section
class TaxonomyPromptConfig(PromptConfig):
    """The prompt that labels texts: without demonstrations, since no text has a gold label."""

    n_demonstrations: int = parameter(
        default=0, help="not used here; no text has a gold label that a prompt could show", le=0
    )
    ensemble_size: int | None = parameter(
        default=1, help="draws of the annotator for each taxonomy", ge=1, le=1
    )


@section
class TaxonomyConfig(ConfigSection):
    """What the labels are for, how many there may be, and how sure one can be of them."""

    use_case: str = parameter(
        default="",
        help="what the labels are for, in a sentence or two, such as: sort complaints of customers "
        "by the team that must answer them",
        everyday=True,
    )
    taxonomy: str = parameter(
        default="",
        help="taxonomy.yaml that you edited, in the folder where this entry point wrote it: only "
        "texts that the edit concerns are labelled again; empty: a new taxonomy",
        everyday=True,
    )
    max_labels: int = parameter(
        default=10,
        help="K: most labels of a taxonomy, beside the one for other texts",
        ge=2,
        le=100,
        everyday=True,
    )
    taxonomies: int = parameter(
        default=3,
        help="S: taxonomies to make from other samples, orders and seeds; how far they sort the "
        "same texts alike is their stability, and the one that agrees most is used",
        ge=1,
        le=20,
        everyday=True,
    )
    taxonomy_texts: int = parameter(
        default=200, help="texts from which each taxonomy is made, drawn at random", ge=2
    )
    batch_texts: int = parameter(
        default=50, help="texts in a mini-batch: those that one request shows", ge=2, le=10_000
    )
    summary_words: int = parameter(
        default=20,
        help="words of a summary, with which longer texts are shown; 0: no summaries",
        ge=0,
        le=500,
    )
    stability_texts: int = parameter(
        default=200, help="texts that every taxonomy labels, drawn at random", ge=10
    )
    other_label: str = parameter(
        default="Other", help="name of the label for texts that fit no other"
    )
    taxonomy_seed: int = parameter(
        default=0, help="seed of samples, orders and replies", ge=0, le=1_000_000
    )

    def __post_init__(self) -> None:
        """Refuse a use case or a label that no prompt could show."""
        use_case = self.use_case.strip()
        if len(use_case) > _MAX_USE_CASE:
            raise AssayError(
                f"use_case must have at most {_MAX_USE_CASE} characters; got {len(use_case)}. "
                "Shorten it."
            )
        name = self.other_label
        if not name.strip() or len(name) > 60 or not name.isprintable():
            raise AssayError(
                "other_label must be a name of 1 to 60 characters on one line; got "
                f"{name[:100]!r}. Set other_label=Other, for example."
            )

    def check_purpose(self) -> None:
        """Raise AssayError where new labels are to be proposed for nothing."""
        if not self.taxonomy and not self.use_case.strip():
            raise AssayError(
                "use_case must say what the labels are for; it is empty. Set use_case='sort "
                "complaints by the team that must answer them', for example."
            )


TAXONOMY = (TaxonomyTaskConfig, TaxonomyConfig, TaxonomyPromptConfig, TaxonomyAnnotateConfig)
"""The sections that only the entry point ``taxonomy`` has."""

"""The audit: where the human labels are, how their texts were drawn, and what is asked of them."""

from __future__ import annotations

from project.config.annotation import AnnotateConfig
from project.config.fields import ConfigSection, parameter, section
from project.config.finetune import LINEAR, FinetuneConfig
from project.config.lists import split_list
from project.config.prompt import PromptConfig
from project.config.task import TaskConfig
from project.support.errors import AssayError

RANDOM = "random"
UNKNOWN = "unknown"


def _check_design(value: object) -> None:
    """Refuse what is neither a design nor a file of inclusion probabilities."""
    text = str(value)
    if text not in (RANDOM, UNKNOWN) and not text.endswith((".parquet", ".csv")):
        raise AssayError(
            f"audit_design must be random, unknown or the path of a sampling.parquet; got {text!r}."
        )


@section
class AuditTaskConfig(TaskConfig):
    """The pool: a file is enough, a task card is not needed."""

    task: str = parameter(
        default="",
        help="task card with the label set and the description for the prompt: a name or the path "
        "of a card.yaml; empty: none, the file named by data is enough",
        everyday=True,
    )
    data: str = parameter(
        default="", help="file with the texts: .csv, .jsonl or .parquet", everyday=True
    )
    text_column: str = parameter(
        default="", help="column with the text; empty: the card's, else text", everyday=True
    )
    label_column: str = parameter(
        default="", help="not used here; human_column names the column with human labels"
    )
    split_column: str = parameter(default="", help="not used here; an audit has no splits")
    max_train: int | None = parameter(
        default=None, help="most texts of the pool, drawn at random; auto: all", ge=1
    )


@section
class AuditAnnotateConfig(AnnotateConfig):
    """The annotator; by default its labels stand in a file already."""

    annotator: str = parameter(
        default="recorded",
        help="what labels the texts: recorded (labels that exist, in recorded_columns), or an "
        "engine as in the entry point annotate",
        everyday=True,
    )


@section
class AuditPromptConfig(PromptConfig):
    """The prompt: without demonstrations by default, so that no human label leaves the audit."""

    n_demonstrations: int = parameter(
        default=0,
        help="demonstrations in the prompt, 0 for none; texts with a human label are set aside for "
        "them and leave the pool",
        ge=0,
        le=64,
    )
    ensemble_size: int | None = parameter(
        default=1, help="draws of the annotator; an audit reads the first one", ge=1
    )


@section
class AuditFinetuneConfig(FinetuneConfig):
    """The classifier of which the verdict speaks: by default the cheap one."""

    encoder: str = parameter(
        default=LINEAR,
        help="classifier of which the verdict speaks: linear (logistic regression on sentence "
        "embeddings, seconds), or an encoder that is fine-tuned: bundled, a local folder or a hub "
        "id",
        everyday=True,
    )
    seeds: int = parameter(
        default=5,
        help="with an encoder: trainings on the LLM's labels; five more train on fewer labels",
        ge=1,
        le=1000,
    )


@section
class PoolConfig(ConfigSection):
    """The classes of a pool, and where human labels of its texts stand already."""

    human_column: str = parameter(
        default="",
        help="column of data with human labels; its cell is empty for a text without one. "
        "Empty: none",
        everyday=True,
    )
    labels: str = parameter(
        default="",
        help="all classes, comma-separated; empty: the card's, else the human labels that occur",
        everyday=True,
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names in ``labels``."""
        return split_list(self.labels)


@section
class AuditConfig(ConfigSection):
    """The human labels of the audit, and what is computed from them."""

    human: str = parameter(
        default="",
        help="files with human labels (.csv, .jsonl, .parquet with example_id or the text, label "
        "and, for several people, rater; or exports of Label Studio, Prodigy, doccano or Argilla), "
        "comma-separated; or mlflow:RUN for a review queue in MLflow; empty: none",
    )
    audit_design: str = parameter(
        default="unknown",
        help="how the texts with a human label were drawn: random (every text of the pool with the "
        "same probability), the sampling.parquet that the entry point ask wrote, or unknown (no "
        "interval is promised then)",
        check=_check_design,
        everyday=True,
    )
    inclusion_column: str = parameter(
        default="",
        help="column of data with each text's probability to be drawn for the audit; empty: the "
        "same for all",
    )
    at_least: float | None = parameter(
        default=None,
        help="smallest macro-F1 that is good enough, x 100, for the LLM (validation of Pangakis "
        "and Wolken) and for the classifier; auto: none is asked for",
        ge=0,
        le=100,
        everyday=True,
    )
    by: str = parameter(
        default="",
        help="columns of data by which class shares and errors are told apart, comma-separated; "
        "empty: none",
        everyday=True,
    )
    adjudicator: str = parameter(
        default="",
        help="whose label wins where people differ: a person or a file of human, or one more file "
        "with the settled labels; empty: the majority",
    )
    group: str = parameter(
        default="", help="column of data with the document to which a text belongs; empty: none"
    )
    simulate: int | None = parameter(
        default=None,
        help="where every text has a human label: keep those of so many random texts, judge by "
        "them, and show beside each estimate what is true; auto: keep all",
        ge=1,
    )
    plan: bool = parameter(
        default=False,
        help="say how many texts to audit, from the LLM's labels alone, and stop; what people have "
        "labelled already serves as a pilot",
    )
    assumed_accuracy: float = parameter(
        default=85.0,
        help="with plan=true and without a pilot: per cent of the LLM's labels that are right",
        gt=0,
        le=100,
    )
    n_next: int = parameter(
        default=50, help="number of texts to name that a person should label next", ge=0
    )
    audit_seed: int = parameter(default=0, help="seed of folds and resamples", ge=0)

    @property
    def human_files(self) -> tuple[str, ...]:
        """The files of ``human``."""
        return split_list(self.human)

    @property
    def by_columns(self) -> tuple[str, ...]:
        """The columns in ``by``."""
        return split_list(self.by)

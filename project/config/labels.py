"""Where the training labels come from, and in what the replicates of an arm differ."""

from __future__ import annotations

from project.config.arms import arm_kinds
from project.config.fields import ConfigSection, parameter, section
from project.config.lists import split_list

PAPER_ARMS = ("gold", "llm", "entropy", "ensemble")
PAPER_DRAWS = 5  # the largest ensemble of Lu and Smith (2025), section 4


@section
class LabelConfig(ConfigSection):
    """Where the training labels come from."""

    arms: tuple[str, ...] = parameter(
        default=PAPER_ARMS,
        help="label sources to compare, comma-separated; docs/human-budget.md explains each",
        choices=arm_kinds,
        everyday=True,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(5.0, 25.0),
        help="per cent of the LLM's labels replaced by human ones (alpha in the paper), "
        "comma-separated",
        ge=0,
        le=100,
        everyday=True,
        aliases=("alpha",),
    )
    ensemble_share: float | None = parameter(
        default=None,
        help="most per cent of human labels in the arm ensemble, texts on which the draws differ "
        "most first; auto: every text on which they differ, as in the paper",
        ge=0,
        le=100,
    )
    consistency_below: float | None = parameter(
        default=None,
        help="consistency score in [0, 1] below which the arms consistency and drop_consistency "
        "act; auto: they take replace_share per cent, the least consistent first",
        gt=0,
        le=1,
    )
    audit_share: float = parameter(
        default=20.0,
        help="per cent of the human labels that the arm learned draws at random, to learn from",
        ge=1,
        le=100,
    )
    certified_error: float = parameter(
        default=0.05,
        help="share of wrong labels among the LLM's that the arm certified keeps, at most, on "
        "average over audits",
        ge=0.001,
        le=0.5,
    )
    coteach_noise: float | None = parameter(
        default=None,
        help="per cent of wrong labels that the arm coteach assumes, which is what its networks "
        "leave out of the mini-batches; auto: estimated by confident learning",
        ge=0,
        le=90,
    )
    soft_labels: str = parameter(
        default="draw",
        help="distribution that the arm soft learns from: draw (one draw), calibrated (one draw, "
        "with a temperature fitted on replace_share per cent of human labels) or mean (over "
        "the draws)",
        choices=("draw", "calibrated", "mean"),
    )
    flip_rate: tuple[float, ...] = parameter(
        default=(10.0, 20.0, 40.0),
        help="per cent of the gold labels that the arm flip changes to another class at random, "
        "comma-separated",
        ge=0,
        le=100,
    )
    zones: str = parameter(
        default="",
        help="experiment whose confirmed zones (python -m analysis.questions.zones) the arm zones "
        "replaces first, and at which ask aims an audit with design=zones; empty: none",
    )
    human: str = parameter(
        default="",
        help="files with human labels (.csv, .jsonl, .parquet with example_id or the text, and "
        "label, or exports of Label Studio, Prodigy, doccano or Argilla), comma-separated, as the "
        "entry point ask requests them, or mlflow:RUN for its review queue in MLflow; empty: the "
        "gold labels are the human's",
    )
    tie_seed: int = parameter(
        default=0, help="seed of random choices and of ties in a ranking", ge=0
    )

    @property
    def human_files(self) -> tuple[str, ...]:
        """The files of ``human``."""
        return split_list(self.human)


@section
class ReplicateConfig(ConfigSection):
    """In what the replicates of an arm differ; the paper leaves it open."""

    replicate: str = parameter(
        default="training",
        help="what replicates differ in: training (one label file, seeds differ), pipeline "
        "(replicate r has the labels of draw r too), or crossed (arm llm: every draw with "
        "every seed, which splits the variance into the two)",
        choices=("training", "pipeline", "crossed"),
    )

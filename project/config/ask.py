"""Which texts a person is to label, and on which page."""

from __future__ import annotations

from project.config.arms import arm_kinds
from project.config.fields import parameter, section
from project.config.labels import LabelConfig
from project.config.lists import split_list
from project.support.errors import AssayError


@section
class AskConfig(LabelConfig):
    """Which examples a person is to label."""

    arms: tuple[str, ...] = parameter(
        default=("learned",),
        help="one label source, which chooses the examples: a ranking such as learned, entropy or "
        "margin, or ensemble, random, human_only",
        choices=arm_kinds,
        everyday=True,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(10.0,),
        help="per cent of the training texts that people label in all, those in the file human "
        "included",
        ge=0,
        le=100,
        everyday=True,
        aliases=("alpha",),
    )
    design: str = parameter(
        default="arm",
        help="arm: the texts that a label source chooses; audit: n texts of the whole file, drawn "
        "at random, for the entry point audit; zones: the same, with more texts of the confirmed "
        "zones of the run zones",
        choices=("arm", "audit", "zones"),
        everyday=True,
    )
    n: int = parameter(
        default=250,
        help="number of texts of an audit; 250 as in the validation of Pangakis and Wolken",
        ge=1,
        everyday=True,
    )
    stratify: str = parameter(
        default="none",
        help="strata of an audit: none, or label (the LLM's label, rare classes enriched)",
        choices=("none", "label"),
    )
    raters: int = parameter(
        default=1,
        help="people who label an audit; each gets files of their own, with overlap texts in "
        "common and an equal part of the others",
        ge=1,
        le=100,
    )
    overlap: int = parameter(
        default=50,
        help="texts of an audit that every person labels, where raters is above 1",
        ge=0,
    )
    show_llm: bool = parameter(
        default=False,
        help="show the LLM's label beside the text, in every file of questions; it influences the "
        "answers",
    )
    blind: bool = parameter(
        default=True,
        help="with show_llm=true, label.html shows the LLM's label of a text only after the "
        "person has answered, and exports whether the answer was changed then",
    )
    codebook: str = parameter(
        default="",
        help="text or Markdown file with rules for the person; label.html shows it below the "
        "task's description; empty: the description alone",
    )
    context_columns: str = parameter(
        default="",
        help="columns of the data to show beside each text in questions.csv and Label Studio, "
        "comma-separated, such as a title or a date",
    )
    to: str = parameter(
        default="files",
        help="files: label on the page, in a table or in Label Studio; mlflow: also in a review "
        "queue of the MLflow UI, whose answers human=mlflow:RUN takes back",
        choices=("files", "mlflow"),
        everyday=True,
    )
    reviewers: str = parameter(
        default="",
        help="users of the tracking server to whom the review queue is assigned, comma-separated; "
        "with raters above 1 each of them gets a queue; empty: everybody",
    )
    ask_seed: int = parameter(default=0, help="seed of the order of the questions", ge=0)

    @property
    def is_audit(self) -> bool:
        """Whether the texts are drawn for the entry point audit."""
        return self.design != "arm"

    @property
    def context(self) -> tuple[str, ...]:
        """The columns to show beside each text."""
        return split_list(self.context_columns)

    @property
    def people(self) -> tuple[str, ...]:
        """The users to whom review queues are assigned."""
        return split_list(self.reviewers)

    def __post_init__(self) -> None:
        """Refuse several sources or shares, and what review queues cannot do."""
        for name, values in (("arms", self.arms), ("replace_share", self.replace_share)):
            if len(values) != 1:
                raise AssayError(
                    f"{name} must be one value here; got {len(values)}. Ask for one source at a "
                    "time."
                )
        if self.raters > 1 and not self.is_audit:
            raise AssayError(
                f"raters must be 1 with design=arm; got {self.raters}. Set design=audit, or give "
                "every person the same file."
            )
        self._check_zones()
        if self.people and self.to != "mlflow":
            raise AssayError(
                f"reviewers needs to=mlflow; got {self.reviewers!r} with to=files. Set to=mlflow, "
                "or leave reviewers out."
            )
        if self.people and self.raters > 1 and len(self.people) != self.raters:
            raise AssayError(
                f"reviewers must name raters={self.raters} people; got {len(self.people)}: "
                f"{self.reviewers}."
            )
        if len({name.lower() for name in self.people}) < len(self.people):
            raise AssayError(
                f"reviewers must be different people, whatever the case; got {self.reviewers}."
            )
        if self.show_llm and self.to == "mlflow":
            raise AssayError(
                "to=mlflow needs show_llm=false: MLflow would show the LLM's label before the "
                "person has answered. Leave show_llm out, or label on the page."
            )

    def _check_zones(self) -> None:
        """Refuse zones without a use for them, and a use without zones."""
        if self.design == "zones" and not self.zones:
            raise AssayError(
                "design=zones needs zones=RUN, an experiment with confirmed zones (python -m "
                "analysis.questions.zones). Set zones, or design=audit."
            )
        if self.design == "zones" and self.stratify != "none":
            raise AssayError(
                f"stratify must be none with design=zones, whose strata are the zones; got "
                f"{self.stratify}. Leave stratify out, or set design=audit."
            )
        if self.design == "zones" and self.n < 2:
            raise AssayError("n must be at least 2 with design=zones; got 1. Raise it.")
        if self.design == "audit" and self.zones:
            raise AssayError(
                f"zones must be left out with design=audit; got {self.zones!r}. Set design=zones, "
                "or leave it out."
            )

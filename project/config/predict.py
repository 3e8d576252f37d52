"""The entry point ``predict``: which classifier labels which texts."""

from __future__ import annotations

from project.config.cluster import NO_CLUSTER, check_cluster
from project.config.fields import AUTO, ConfigSection, parameter, section
from project.config.results import check_workspace
from project.support.errors import AssayError

HUB = "hub:"
"""Prefix of ``data`` that names a data set of the Hugging Face hub."""


@section
class PredictConfig(ConfigSection):
    """Which classifier labels which texts."""

    run_id: str = parameter(
        default="",
        help="root run of the experiment, of finetune or of a budget, whose classifiers were "
        "logged (log_model=best or all); empty: the newest finished experiment",
        everyday=True,
    )
    arm: str = parameter(
        default=AUTO,
        help="arm of the classifier; auto: the one that the verdict recommends, else the one with "
        "the best mean macro-F1 on validation",
        everyday=True,
    )
    seeds: str = parameter(
        default="one",
        help="one: the logged seed with the best macro-F1 on validation; all: the mean of the "
        "probabilities of all seeds, with their agreement (needs log_model=all)",
        choices=("one", "all"),
        everyday=True,
    )
    data: str = parameter(
        default="",
        help="texts to label: a file (.csv, .tsv, .jsonl, .parquet, also with .gz), a folder of "
        "such files, or hub:OWNER/NAME; empty: nothing is labelled",
        everyday=True,
    )
    text_column: str = parameter(
        default="", help="column with the text; empty: the classifier's own", everyday=True
    )
    prefix: str = parameter(
        default="", help="text before the name of every column that the output gets"
    )
    output: str = parameter(
        default="",
        help="file to write: .parquet, .csv or .jsonl; it must not exist",
        everyday=True,
    )
    min_precision: float | None = parameter(
        default=None,
        help="per cent of the given labels that must be right, promised with 95 per cent "
        "confidence on the experiment's test texts; uncertain texts get abstained=true. auto: "
        "nothing is promised",
        gt=0,
        le=99.9,
        everyday=True,
    )
    threshold: float = parameter(
        default=0.0,
        help="a text whose label has a smaller probability gets abstained=true; not with "
        "min_precision, which picks it",
        ge=0,
        le=1,
    )
    register_model: str = parameter(
        default="", help="name under which the classifier is registered; empty: not registered"
    )
    human: str = parameter(
        default="",
        help="files with human labels of a random sample of data, comma-separated, as in the entry "
        "point audit: class shares of data are then corrected for the classifier's errors",
    )
    audit_design: str = parameter(
        default="",
        help="how the texts in human were drawn: random (every text of data with the same "
        "probability), or the sampling.parquet that the entry point ask wrote",
    )
    by: str = parameter(
        default="",
        help="column of data by whose values corrected class shares are told apart; empty: none",
        aliases=("group",),
    )
    id_column: str = parameter(
        default="",
        help="column of data with the ids that human and audit_design use; empty: ids made from "
        "the texts, as the entry point ask makes them",
    )
    hub_config: str = parameter(default="", help="configuration of a hub data set; empty: its own")
    hub_split: str = parameter(default="", help="split of a hub data set; empty: all, in order")
    hub_revision: str = parameter(default="main", help="revision of a hub data set")
    precision: str = parameter(
        default=AUTO,
        help="arithmetic; auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a "
        "CPU. fp32 gives the probabilities that MLflow gives",
        choices=(AUTO, "fp32", "bf16", "fp16"),
    )
    batch_size: int = parameter(
        default=64, help="texts that go through the model together", ge=1, le=65_536
    )
    block_size: int = parameter(
        default=4096,
        help="texts in one block; a block is on disk when it is done, and not computed again",
        ge=1,
        le=1_000_000,
    )
    cluster: str = parameter(
        default=NO_CLUSTER,
        help="where the texts are labelled: none (here), local (Ray on this machine), auto (the "
        "Ray cluster of RAY_ADDRESS, or the one that this machine belongs to), HOST:PORT or "
        "ray://HOST:10001; it changes no result",
        check=check_cluster,
    )
    dry_run: bool = parameter(
        default=False, help="choose the classifier, check the data, and label nothing"
    )
    workspace: str = parameter(
        default="outputs",
        help="folder of what waits for the tracking store",
        check=check_workspace,
        everyday=True,
    )
    private: bool = parameter(default=False, help="make output and workspace readable to you alone")

    def __post_init__(self) -> None:
        """Refuse values that do not fit together."""
        if self.threshold and self.min_precision is not None:
            raise AssayError(
                "threshold must be 0 with min_precision, which picks the threshold itself; got "
                f"{self.threshold:g}. Leave one of them out."
            )
        if self.register_model and self.seeds == "all":
            raise AssayError(
                "register_model needs seeds=one: several seeds are not one model. Register the "
                "best one in a call of its own, without data."
            )
        if self.human and not (
            self.audit_design == "random" or self.audit_design.endswith((".parquet", ".csv"))
        ):
            raise AssayError(
                "audit_design must be random or the path of a sampling.parquet with human: without "
                "the design of the sample, shares cannot be corrected; got "
                f"{self.audit_design!r}."
            )
        if (self.by or self.audit_design) and not self.human:
            name = "by" if self.by else "audit_design"
            raise AssayError(
                f"{name} needs human: only human labels of a random sample correct class shares. "
                f"Name their files in human, or leave {name} out."
            )
        if self.output and not self.output.lower().endswith((".parquet", ".csv", ".jsonl")):
            raise AssayError(
                f"output must end in .parquet, .csv or .jsonl; got {self.output!r}. Name another "
                "file."
            )

    def check_complete(self) -> None:
        """Refuse a call that names nothing to do, or no file for what it does."""
        if self.data and not self.output and not self.dry_run:
            raise AssayError(
                "output must name the file to write; got ''. Set output=labels.parquet."
            )
        if not self.data and not (self.register_model or self.dry_run):
            raise AssayError(
                "data must name the texts to label: a file, a folder or hub:OWNER/NAME; got ''."
            )

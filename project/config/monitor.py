"""The entry point ``monitor``: a new batch of texts beside the old ones."""

from __future__ import annotations

from project.config.cluster import NO_CLUSTER, check_cluster
from project.config.fields import AUTO, ConfigSection, parameter, section
from project.config.lists import split_list
from project.config.predict import PredictConfig
from project.config.results import check_workspace
from project.support.errors import AssayError


@section
class MonitorConfig(ConfigSection):
    """Which new texts are compared with which old ones, by which classifier."""

    run_id: str = parameter(
        default="",
        help="root run of the experiment, of finetune or of a budget, whose classifiers were "
        "logged (log_model=best or all); empty: the newest finished experiment",
        everyday=True,
    )
    arm: str = parameter(
        default=AUTO,
        help="arm of the classifier; auto: as in the entry point predict",
        everyday=True,
    )
    seeds: str = parameter(
        default=AUTO,
        help="classifiers: one, or all seeds, whose agreement is compared too; auto: all if all "
        "are logged, else one",
        choices=(AUTO, "one", "all"),
    )
    data: str = parameter(
        default="",
        help="the new batch: a file (.csv, .tsv, .jsonl, .parquet, also with .gz), a folder of "
        "such files, or hub:OWNER/NAME",
        everyday=True,
    )
    reference: str = parameter(
        default="",
        help="the old texts, such as an earlier batch, in a form like data; empty: the test texts "
        "of the experiment. Another reference begins another monitor",
        everyday=True,
    )
    text_column: str = parameter(
        default="",
        help="column with the text, in data and reference; empty: the classifier's own",
        everyday=True,
    )
    spot_check: int = parameter(
        default=50,
        help="texts of the batch to draw at random for a person to label; 0: none",
        ge=0,
        le=100_000,
        everyday=True,
    )
    human: str = parameter(
        default="",
        help="files with the labels of a batch's spot check, comma-separated: then data names "
        "that batch, and the classifier's accuracy in it is estimated",
        everyday=True,
    )
    codebook: str = parameter(
        default="",
        help="text or Markdown file with rules for the person who labels the spot check",
    )
    sample_size: int = parameter(
        default=1000,
        help="most texts of each side that the tests read; they are drawn at random, and those of "
        "a batch are embedded and logged. Another value begins another monitor",
        ge=20,
        le=5000,
    )
    hub_config: str = parameter(default="", help="configuration of a hub data set; empty: its own")
    hub_split: str = parameter(default="", help="split of a hub data set; empty: all, in order")
    hub_revision: str = parameter(default="main", help="revision of a hub data set")
    precision: str = parameter(
        default=AUTO,
        help="arithmetic; auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a "
        "CPU. Another one begins another monitor",
        choices=(AUTO, "fp32", "bf16", "fp16"),
    )
    batch_size: int = parameter(
        default=64, help="texts that go through the model together", ge=1, le=65_536
    )
    cluster: str = parameter(
        default=NO_CLUSTER,
        help="where the texts are predicted and embedded: none (here), local (Ray on this "
        "machine), auto (the Ray cluster of RAY_ADDRESS, or the one that this machine belongs to), "
        "HOST:PORT or ray://HOST:10001; it changes no result",
        check=check_cluster,
    )
    workspace: str = parameter(
        default="outputs",
        help="folder of spot checks, of embeddings and of what waits for the tracking store",
        check=check_workspace,
        everyday=True,
    )
    private: bool = parameter(
        default=False,
        help="log neither texts nor embeddings, and make the workspace readable to you alone",
    )

    @property
    def human_files(self) -> tuple[str, ...]:
        """The files of ``human``."""
        return split_list(self.human)

    def check_complete(self) -> None:
        """Refuse a call without a batch."""
        if not self.data:
            raise AssayError(
                "data must name the new batch: a file, a folder or hub:OWNER/NAME; got ''."
            )

    def texts(self, data: str) -> PredictConfig:
        """The classifier and the texts in ``data``, as the entry point ``predict`` names them."""
        return PredictConfig(
            run_id=self.run_id,
            arm=self.arm,
            seeds="one",
            data=data,
            text_column=self.text_column,
            precision=self.precision,
            batch_size=self.batch_size,
            cluster=self.cluster,
            hub_config=self.hub_config,
            hub_split=self.hub_split,
            hub_revision=self.hub_revision,
            private=self.private,
        )

"""What single entry points ask beside the stages: what is varied, and over which values. See :mod:`project.config.experiment`."""

from __future__ import annotations

from project.config.arms import arm_kinds, competing_kinds
from project.config.fields import ConfigSection, parameter, section
from project.config.labels import LabelConfig
from project.support.errors import AssayError


@section
class SplitsConfig(ConfigSection):
    """Which splits the entry point ``annotate`` annotates."""

    splits: tuple[str, ...] = parameter(
        default=("train",),
        help="splits to annotate, comma-separated: train, validation, test",
        choices=("train", "validation", "test"),
    )


@section
class LabelsConfig(ConfigSection):
    """Which labels the entry point ``finetune`` trains on."""

    labels: str = parameter(
        default="gold",
        help="gold, or a .csv or .parquet file (or runs:/RUN/labels.parquet) with example_id and label for every training example",
    )


@section
class CurveConfig(ConfigSection):
    """The training sizes of a learning curve."""

    sizes: tuple[int, ...] | None = parameter(
        default=None,
        help="training sizes, comma-separated, as 250,1000 in Pangakis and Wolken; auto: curve_points sizes, evenly spaced in their logarithm",
        ge=1,
    )
    min_size: int = parameter(
        default=50,
        help="smallest size where sizes is auto; the largest is the training split's",
        ge=1,
    )
    curve_points: int = parameter(
        default=6, help="how many sizes where sizes is auto", ge=2, le=100
    )
    curve_seed: int = parameter(
        default=0, help="seed of the order in which the training examples come in", ge=0
    )


@section
class GridConfig(ConfigSection):
    """The grid of Pangakis and Wolken (2024): learning rate, batch size, epochs. Their values are not in the paper; these are BERT's usual ones."""

    grid_learning_rate: tuple[float, ...] = parameter(
        default=(1e-5, 2e-5, 5e-5),
        help="learning rates to try in place of learning_rate, comma-separated",
        gt=0,
    )
    grid_train_batch_size: tuple[int, ...] = parameter(
        default=(8, 16, 32),
        help="batch sizes to try in place of train_batch_size, comma-separated",
        ge=1,
    )
    grid_epochs: tuple[int, ...] = parameter(
        default=(2, 3, 4), help="numbers of passes to try in place of epochs, comma-separated", ge=1
    )
    grid_seeds: int = parameter(
        default=1,
        help="seeds of every configuration in the search; the chosen one is trained with all seeds",
        ge=1,
        le=1000,
    )


@section
class GridLabelConfig(LabelConfig):
    """Where the training labels come from."""

    arms: tuple[str, ...] = parameter(
        default=("gold", "llm"),
        help="label sources to search for, comma-separated, as in the entry point main",
        choices=arm_kinds,
    )


@section
class BudgetConfig(LabelConfig):
    """Which label sources are compared, at which budgets."""

    arms: tuple[str, ...] = parameter(
        default=(
            "random",
            "entropy",
            "margin",
            "learned",
            "human_only",
            "llm_then_human",
            "oracle",
        ),
        help="label sources to compare, comma-separated, as in the entry point main; gold and llm are always there",
        choices=competing_kinds,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        help="budgets: per cent of the labels that a human gives, comma-separated",
        ge=0,
        le=100,
    )
    reach: float = parameter(
        default=95.0,
        help="per cent of gold's macro-F1 whose cheapest source is to be named",
        gt=0,
        le=100,
    )


@section
class SweepConfig(LabelConfig):
    """What a study of Optuna searches over, how, and for how long. A list of one value is fixed."""

    arms: tuple[str, ...] = parameter(
        default=("random", "entropy", "ensemble", "learned"),
        help="label sources to search over, comma-separated, as in the entry point main",
        choices=competing_kinds,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(5.0, 10.0, 25.0, 50.0),
        help="per cent of the labels that a human gives: the values of the grid; tpe and gp try anything from the least to the "
        "greatest (whole numbers where these two are)",
        ge=0,
        le=100,
    )
    sweep_ensemble_size: tuple[int, ...] = parameter(
        default=(2, 3, 5),
        help="numbers of draws (K) to try in place of ensemble_size",
        ge=1,
        le=1000,
    )
    sweep_n_demonstrations: tuple[int, ...] | None = parameter(
        default=None,
        help="numbers of demonstrations to try in place of n_demonstrations; auto: that one alone",
        ge=0,
        le=64,
    )
    sweep_calibration: tuple[str, ...] | None = parameter(
        default=None,
        help="calibrations to try in place of calibration; auto: that one alone",
        choices=("none", "contextual", "batch"),
    )
    objective: str = parameter(
        default="pareto",
        help="pareto: validation macro-F1 up, human share and LLM calls down, all that no other trial beats; single: validation macro-F1 x 100, "
        "less the cost where price_point says what a point is worth",
        choices=("pareto", "single"),
    )
    price_point: float | None = parameter(
        default=None,
        help="what one point of macro-F1 (x 100) is worth, in the unit of the prices; auto: cost is no matter",
        gt=0,
    )
    sampler: str = parameter(
        default="tpe",
        help="how the next trial is found: tpe, gp (a Gaussian process), or grid (all combinations)",
        choices=("tpe", "gp", "grid"),
    )
    trials: int | None = parameter(
        default=None,
        help="trials of the study, all its workers' together; auto: 20, or the whole grid",
        ge=1,
    )
    sweep_seeds: int = parameter(
        default=2,
        help="seeds of every trial; the chosen ones are trained with all seeds and tested",
        ge=1,
        le=1000,
    )
    prune: bool = parameter(
        default=False,
        help="give a trial up after its first seed where that is below the median of the trials so far; needs objective=single",
    )
    sweep_name: str = parameter(
        default="",
        help="name of the study, which whoever gives it joins or goes on with; empty: made of what is searched",
    )
    sweep_storage: str = parameter(
        default="",
        help="where the study is kept: a journal file, which machines may share, or a database's address without password; empty: below the "
        "workspace. The environment variable ASSAY_SWEEP_STORAGE comes first, and may hold a password",
    )
    sweep_seed: int = parameter(default=0, help="seed of the search", ge=0)

    def __post_init__(self) -> None:
        """What only one objective can use."""
        for name, given in (("prune", self.prune), ("price_point", self.price_point is not None)):
            if given and self.objective == "pareto":
                raise AssayError(
                    f"{name} needs objective=single; got objective=pareto. Leave {name} away, or give -P objective=single."
                )


@section
class AskConfig(LabelConfig):
    """Which examples a human is to be asked about."""

    arms: tuple[str, ...] = parameter(
        default=("learned",),
        help="label source whose questions are wanted, one: a ranking such as learned, entropy or margin, ensemble, random, human_only",
        choices=arm_kinds,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(10.0,),
        help="per cent of the training texts that a human is to label in all, those in the file human among them",
        ge=0,
        le=100,
    )
    show_llm: bool = parameter(
        default=False, help="show the LLM's label beside the text; it sways whoever sees it"
    )
    ask_seed: int = parameter(
        default=0, help="seed of the order in which the texts are asked", ge=0
    )

    def __post_init__(self) -> None:
        """One source and one share at a time."""
        for name, value in (("arms", self.arms), ("replace_share", self.replace_share)):
            if len(value) != 1:
                raise AssayError(
                    f"{name} must be one value here; got {len(value)}. Ask for one source at a time."
                )


@section
class ReportConfig(ConfigSection):
    """Which experiment the entry point ``report`` shows."""

    run_id: str = parameter(
        default="",
        help="root run of an experiment, a budget, a curve, a grid or a sweep; empty: the newest finished experiment",
    )
    workspace: str = parameter(default="outputs", help="folder to write the report below")
    tolerance: float | None = parameter(
        default=None,
        help="largest loss of macro-F1 against gold labels that the verdict calls safe, in points; auto: what the experiment was run with",
        ge=0,
        le=100,
    )
    least_alpha: float | None = parameter(
        default=None,
        help="least agreement of the seeds that the verdict calls safe: Krippendorff's alpha; auto: what the experiment was run with",
        ge=-1,
        le=1,
    )


@section
class RelogConfig(ConfigSection):
    """Where what a tracking store did not take is kept."""

    workspace: str = parameter(default="outputs", help="folder that the experiments kept it below")


@section
class ReapConfig(ConfigSection):
    """Which runs the entry point ``reap`` ends."""

    run_id: str = parameter(default="", help="one root run; empty: all whose process is gone")
    whose: str = parameter(default="mine", help="mine, or anybody's", choices=("mine", "anybody"))
    dry_run: bool = parameter(default=False, help="say which, and end none")


@section
class RerunConfig(ConfigSection):
    """Which run the entry point ``rerun`` runs again."""

    run_id: str = parameter(
        default="", help="root run that is to be run again with the same parameters, as a new one"
    )
    workspace: str = parameter(
        default="outputs",
        help="folder for what is computed; that of the run holds everything already",
    )
    reuse: str | None = parameter(
        default=None,
        help="finished annotations and seeds that are taken from the store: none, mine or team; auto: as the run was asked to",
        choices=("none", "mine", "team"),
    )
    trust: bool = parameter(
        default=False,
        help="the run may send my key to the server that it names, run its remote_code, and write into its sweep_storage",
    )

"""What single entry points ask beside the stages: what is varied, and over which values. See :mod:`project.config.experiment`."""

from __future__ import annotations

from dataclasses import dataclass

from project.config.arms import ARM_KINDS, RIVALS
from project.config.experiment import LabelConfig
from project.config.fields import ConfigSection, parameter
from project.support.errors import AssayError


@dataclass(frozen=True)
class SplitsConfig(ConfigSection):
    """Which splits the entry point ``annotate`` annotates."""

    splits: tuple[str, ...] = parameter(
        ("train",),
        "splits to annotate, comma-separated: train, validation, test",
        choices=("train", "validation", "test"),
    )


@dataclass(frozen=True)
class LabelsConfig(ConfigSection):
    """Which labels the entry point ``finetune`` trains on."""

    labels: str = parameter(
        "gold",
        "gold, or a .csv or .parquet file (or runs:/RUN/labels.parquet) with example_id and label for every training example",
    )


@dataclass(frozen=True)
class CurveConfig(ConfigSection):
    """The training sizes of a learning curve."""

    sizes: tuple[int, ...] | None = parameter(
        None,
        "training sizes, comma-separated, as 250,1000 in Pangakis and Wolken; auto: curve_points sizes, evenly spaced in their logarithm",
        at_least=1,
    )
    min_size: int = parameter(
        50, "smallest size where sizes is auto; the largest is the training split's", at_least=1
    )
    curve_points: int = parameter(6, "how many sizes where sizes is auto", at_least=2, at_most=100)
    curve_seed: int = parameter(
        0, "seed of the order in which the training examples come in", at_least=0
    )


@dataclass(frozen=True)
class GridConfig(ConfigSection):
    """The grid of Pangakis and Wolken (2024): learning rate, batch size, epochs. Their values are not in the paper; these are BERT's usual ones."""

    grid_learning_rate: tuple[float, ...] = parameter(
        (1e-5, 2e-5, 5e-5),
        "learning rates to try in place of learning_rate, comma-separated",
        above=0,
    )
    grid_train_batch_size: tuple[int, ...] = parameter(
        (8, 16, 32), "batch sizes to try in place of train_batch_size, comma-separated", at_least=1
    )
    grid_epochs: tuple[int, ...] = parameter(
        (2, 3, 4), "numbers of passes to try in place of epochs, comma-separated", at_least=1
    )
    grid_seeds: int = parameter(
        1,
        "seeds of every configuration in the search; the chosen one is trained with all seeds",
        at_least=1,
        at_most=1000,
    )


@dataclass(frozen=True)
class GridLabelConfig(LabelConfig):
    """Where the training labels come from."""

    arms: tuple[str, ...] = parameter(
        ("gold", "llm"),
        "label sources to search for, comma-separated, as in the entry point main",
        choices=ARM_KINDS,
    )


@dataclass(frozen=True)
class BudgetConfig(LabelConfig):
    """Which label sources are compared, at which budgets."""

    arms: tuple[str, ...] = parameter(
        ("random", "entropy", "margin", "learned", "human_only", "llm_then_human", "oracle"),
        "label sources to compare, comma-separated, as in the entry point main; gold and llm are always there",
        choices=RIVALS,
    )
    replace_share: tuple[float, ...] = parameter(
        (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        "budgets: per cent of the labels that a human gives, comma-separated",
        at_least=0,
        at_most=100,
    )
    reach: float = parameter(
        95.0,
        "per cent of gold's macro-F1 whose cheapest source is to be named",
        above=0,
        at_most=100,
    )


@dataclass(frozen=True)
class SweepConfig(LabelConfig):
    """What a study of Optuna searches over, how, and for how long. A list of one value is fixed."""

    arms: tuple[str, ...] = parameter(
        ("random", "entropy", "ensemble", "learned"),
        "label sources to search over, comma-separated, as in the entry point main",
        choices=RIVALS,
    )
    replace_share: tuple[float, ...] = parameter(
        (5.0, 10.0, 25.0, 50.0),
        "per cent of the labels that a human gives: the values of the grid; tpe and gp try anything from the least to the "
        "greatest (whole numbers where these two are)",
        at_least=0,
        at_most=100,
    )
    sweep_ensemble_size: tuple[int, ...] = parameter(
        (2, 3, 5), "numbers of draws (K) to try in place of ensemble_size", at_least=1, at_most=1000
    )
    sweep_n_demonstrations: tuple[int, ...] | None = parameter(
        None,
        "numbers of demonstrations to try in place of n_demonstrations; auto: that one alone",
        at_least=0,
        at_most=64,
    )
    sweep_calibration: tuple[str, ...] | None = parameter(
        None,
        "calibrations to try in place of calibration; auto: that one alone",
        choices=("none", "contextual", "batch"),
    )
    objective: str = parameter(
        "pareto",
        "pareto: validation macro-F1 up, human share and LLM calls down, all that no other trial beats; single: validation macro-F1 x 100, "
        "less the cost where price_point says what a point is worth",
        choices=("pareto", "single"),
    )
    price_point: float | None = parameter(
        None,
        "what one point of macro-F1 (x 100) is worth, in the unit of the prices; auto: cost is no matter",
        above=0,
    )
    sampler: str = parameter(
        "tpe",
        "how the next trial is found: tpe, gp (a Gaussian process), or grid (all combinations)",
        choices=("tpe", "gp", "grid"),
    )
    trials: int | None = parameter(
        None,
        "trials of the study, all its workers' together; auto: 20, or the whole grid",
        at_least=1,
    )
    sweep_seeds: int = parameter(
        2,
        "seeds of every trial; the chosen ones are trained with all seeds and tested",
        at_least=1,
        at_most=1000,
    )
    prune: bool = parameter(
        False,
        "give a trial up after its first seed where that is below the median of the trials so far; needs objective=single",
    )
    sweep_name: str = parameter(
        "",
        "name of the study, which whoever gives it joins or goes on with; empty: made of what is searched",
    )
    sweep_storage: str = parameter(
        "",
        "where the study is kept: a journal file, which machines may share, or a database's address without password; empty: below the "
        "workspace. The environment variable ASSAY_SWEEP_STORAGE comes first, and may hold a password",
    )
    sweep_seed: int = parameter(0, "seed of the search", at_least=0)

    def __post_init__(self) -> None:
        """What only one objective can use."""
        super().__post_init__()
        for name, given in (("prune", self.prune), ("price_point", self.price_point is not None)):
            if given and self.objective == "pareto":
                raise AssayError(
                    f"{name} needs objective=single; got objective=pareto. Leave {name} away, or give -P objective=single."
                )


@dataclass(frozen=True)
class AskConfig(LabelConfig):
    """Which examples a human is to be asked about."""

    arms: tuple[str, ...] = parameter(
        ("learned",),
        "label source whose questions are wanted, one: a ranking such as learned, entropy or margin, ensemble, random, human_only",
        choices=ARM_KINDS,
    )
    replace_share: tuple[float, ...] = parameter(
        (10.0,),
        "per cent of the training texts that a human is to label in all, those in the file human among them",
        at_least=0,
        at_most=100,
    )
    show_llm: bool = parameter(
        False, "show the LLM's label beside the text; it sways whoever sees it"
    )
    ask_seed: int = parameter(0, "seed of the order in which the texts are asked", at_least=0)

    def __post_init__(self) -> None:
        """One source and one share at a time."""
        super().__post_init__()
        for name, value in (("arms", self.arms), ("replace_share", self.replace_share)):
            if len(value) != 1:
                raise AssayError(
                    f"{name} must be one value here; got {len(value)}. Ask for one source at a time."
                )


@dataclass(frozen=True)
class ReportConfig(ConfigSection):
    """Which experiment the entry point ``report`` shows."""

    run_id: str = parameter(
        "",
        "root run of an experiment, a budget, a curve, a grid or a sweep; empty: the newest finished experiment",
    )
    workspace: str = parameter("outputs", "folder to write the report below")
    tolerance: float | None = parameter(
        None,
        "largest loss of macro-F1 against gold labels that the verdict calls safe, in points; auto: what the experiment was run with",
        at_least=0,
        at_most=100,
    )
    least_alpha: float | None = parameter(
        None,
        "least agreement of the seeds that the verdict calls safe: Krippendorff's alpha; auto: what the experiment was run with",
        at_least=-1,
        at_most=1,
    )


@dataclass(frozen=True)
class RelogConfig(ConfigSection):
    """Where what a tracking store did not take is kept."""

    workspace: str = parameter("outputs", "folder that the experiments kept it below")


@dataclass(frozen=True)
class ReapConfig(ConfigSection):
    """Which runs the entry point ``reap`` ends."""

    run_id: str = parameter("", "one root run; empty: all whose process is gone")
    whose: str = parameter("mine", "mine, or anybody's", choices=("mine", "anybody"))
    dry_run: bool = parameter(False, "say which, and end none")


@dataclass(frozen=True)
class RerunConfig(ConfigSection):
    """Which run the entry point ``rerun`` runs again."""

    run_id: str = parameter(
        "", "root run that is to be run again with the same parameters, as a new one"
    )
    workspace: str = parameter(
        "outputs", "folder for what is computed; that of the run holds everything already"
    )
    reuse: str | None = parameter(
        None,
        "finished annotations and seeds that are taken from the store: none, mine or team; auto: as the run was asked to",
        choices=("none", "mine", "team"),
    )
    trust: bool = parameter(
        False,
        "the run may send my key to the server that it names, run its remote_code, and write into its sweep_storage",
    )

"""Sections that only one entry point has: what it varies, and how."""

from __future__ import annotations

from project.config.annotation import CALIBRATIONS
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
        everyday=True,
    )


@section
class LabelsConfig(ConfigSection):
    """Which labels the entry point ``finetune`` trains on."""

    labels: str = parameter(
        default="gold",
        help="gold, or a .csv or .parquet file (or runs:/RUN/labels.parquet) with example_id and "
        "label for every training example",
        everyday=True,
    )


@section
class CurveConfig(ConfigSection):
    """The training sizes of a learning curve."""

    sizes: tuple[int, ...] | None = parameter(
        default=None,
        help="training sizes, comma-separated, such as 250,1000 in Pangakis and Wolken; auto: "
        "curve_points sizes, evenly spaced on a logarithmic scale",
        ge=1,
        everyday=True,
    )
    min_size: int = parameter(
        default=50,
        help="smallest size where sizes is auto; the largest is the training split's",
        ge=1,
    )
    curve_points: int = parameter(
        default=6, help="number of sizes where sizes is auto", ge=2, le=100
    )
    curve_seed: int = parameter(
        default=0, help="seed of the order in which training examples are added", ge=0
    )


@section
class GridConfig(ConfigSection):
    """The grid of Pangakis and Wolken (2024): learning rate, batch size, epochs.

    The paper does not print its values; these are the usual ones for BERT.
    """

    grid_learning_rate: tuple[float, ...] = parameter(
        default=(1e-5, 2e-5, 5e-5),
        help="learning rates to try in place of learning_rate, comma-separated",
        gt=0,
        everyday=True,
    )
    grid_train_batch_size: tuple[int, ...] = parameter(
        default=(8, 16, 32),
        help="batch sizes to try in place of train_batch_size, comma-separated",
        ge=1,
        le=65_536,
        everyday=True,
    )
    grid_epochs: tuple[int, ...] = parameter(
        default=(2, 3, 4),
        help="numbers of epochs to try in place of epochs, comma-separated",
        ge=1,
        le=10_000,
        everyday=True,
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
        everyday=True,
    )


@section
class BudgetConfig(LabelConfig):
    """Which label sources are compared, at which human budgets."""

    arms: tuple[str, ...] = parameter(
        default=(
            "random",
            "entropy",
            "learned",
            "evidence",
            "human_only",
            "llm_then_human",
            "oracle",
        ),
        help="label sources to compare, comma-separated; gold and llm are always included",
        choices=competing_kinds,
        everyday=True,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        help="budgets: per cent of human labels, comma-separated",
        ge=0,
        le=100,
        everyday=True,
        aliases=("alpha",),
    )
    reach: float = parameter(
        default=95.0,
        help="per cent of gold's macro-F1; the report names the cheapest source shown to reach it",
        gt=0,
        le=100,
    )


@section
class SweepConfig(LabelConfig):
    """What a study of Optuna searches, how, and for how long.

    A parameter whose list has one value keeps that value.
    """

    arms: tuple[str, ...] = parameter(
        default=("random", "entropy", "ensemble", "learned"),
        help="label sources to search over, comma-separated, as in the entry point main",
        choices=competing_kinds,
        everyday=True,
    )
    replace_share: tuple[float, ...] = parameter(
        default=(5.0, 10.0, 25.0, 50.0),
        help="per cent of human labels: the values of the grid; tpe and gp try anything between "
        "the smallest and the largest (whole numbers where these two are)",
        ge=0,
        le=100,
        everyday=True,
        aliases=("alpha",),
    )
    sweep_ensemble_size: tuple[int, ...] = parameter(
        default=(2, 3, 5),
        help="numbers of draws (K) to try in place of ensemble_size",
        ge=1,
        le=1000,
        everyday=True,
    )
    sweep_n_demonstrations: tuple[int, ...] | None = parameter(
        default=None,
        help="numbers of demonstrations to try in place of n_demonstrations; auto: only that one",
        ge=0,
        le=64,
    )
    sweep_calibration: tuple[str, ...] | None = parameter(
        default=None,
        help="calibrations to try in place of calibration; auto: only that one",
        choices=CALIBRATIONS,
    )
    objective: str = parameter(
        default="pareto",
        help="pareto: validation macro-F1 up, human share and LLM calls down, all trials that no "
        "other trial beats; single: validation macro-F1 x 100, less the cost where price_point "
        "gives a price for a point",
        choices=("pareto", "single"),
        everyday=True,
    )
    price_point: float | None = parameter(
        default=None,
        help="what one point of macro-F1 (x 100) is worth, in the unit of the prices; auto: the "
        "cost does not count",
        gt=0,
    )
    sampler: str = parameter(
        default="tpe",
        help="how the next trial is chosen: tpe, gp (a Gaussian process) or grid (all "
        "combinations)",
        choices=("tpe", "gp", "grid"),
    )
    trials: int | None = parameter(
        default=None,
        help="trials of the study over all its workers; auto: 20, or the whole grid",
        ge=1,
        everyday=True,
    )
    sweep_seeds: int = parameter(
        default=2,
        help="seeds of every trial; the chosen ones are trained with all seeds and tested",
        ge=1,
        le=1000,
    )
    sweep_at_once: int | None = parameter(
        default=None,
        help="trials that are open, and train their seeds, at the same time; auto: 1, on a cluster "
        "as many as fill it, with tpe and gp at most a quarter of all. These two learn from trials "
        "that have ended, so that another number tries other settings",
        ge=1,
        le=1000,
    )
    prune: bool = parameter(
        default=False,
        help="stop a trial after its first seed where that is below the median of the trials so "
        "far; needs objective=single",
    )
    sweep_name: str = parameter(
        default="",
        help="name of the study; a run with the same name joins it or continues it; empty: made "
        "from what is searched",
    )
    sweep_storage: str = parameter(
        default="",
        help="where the study is kept: a journal file, which machines may share, or the address "
        "of a database without password; empty: in the workspace. The environment variable "
        "ASSAY_SWEEP_STORAGE comes first and may hold a password",
    )
    sweep_seed: int = parameter(default=0, help="seed of the search", ge=0)

    def __post_init__(self) -> None:
        """Refuse parameters that need a single objective where there are several."""
        needs_single = {"prune": self.prune, "price_point": self.price_point is not None}
        for name, is_set in needs_single.items():
            if is_set and self.objective == "pareto":
                raise AssayError(
                    f"{name} needs objective=single; got objective=pareto. Leave {name} out, or "
                    "set objective=single."
                )

"""Runs that Assay logged before its rooms were rebuilt are read today, and show the same numbers.

``tests/fixtures/store_of_e282f68.tar.xz`` is a tracking store that commit e282f68 wrote on
2026-11-27, in a clean clone, one CPU core, with the bundled models, the package versions of its
``requirements.txt``, and the user name ``somebody``:

    small="--max_train 96 --max_validation 48 --max_test 120 --ensemble_size 3 --epochs 4
           --train_batch_size 8 --learning_rate 1e-4 --workers 1"
    money="--price_label 0.05 --price_input 0.15 --price_output 0.6 --price_hour 0.5"

    experiment  python -m entrypoints.main $small $money --seeds 3 --replace_share 25 --flip_rate 20
                --arms gold,llm,entropy,ensemble,majority,learned,soft,flip
    crossed     python -m entrypoints.main $small --seeds 2 --ensemble_size 2 --arms gold,llm
                --replicate crossed
    curve       python -m entrypoints.curve $small --seeds 2 --arms gold,llm --sizes 24,48,96
    budget      python -m entrypoints.budget $small $money --seeds 3 --arms random,entropy
                --replace_share 25,50
    grid        python -m entrypoints.grid $small --seeds 2 --arms gold,llm --grid_epochs 2
                --grid_learning_rate 5e-5,1e-4 --grid_train_batch_size 8,16
    sweep       python -m entrypoints.sweep $small $money --seeds 2 --sweep_seeds 1 --trials 4
                --sampler grid --arms random,ensemble --replace_share 25,50
                --sweep_ensemble_size 2,3

Then were taken out: deleted runs; all artifacts that no report reads; host, folder and branch in
the tags; and what the reports had written to the root runs (metrics, description, verdict), so
that the report of today must write it anew. What is left was read by

    python -m entrypoints.report --run_id ID --workspace FOLDER

at the same commit, for the budget with ``--tolerance 20 --least_alpha 0.7``. Its CSV and Markdown
files are in the archive as ``reports/NAME/``, the metrics and the verdict that it put on the root
run in ``roots.json``. They are what is expected here, and nobody can make them again with another
version: where this test fails, the code is wrong, or a number has been changed on purpose, which
is then to be said in the changelog.

What is compared: row by row every number in every cell of every table, whether CSV or Markdown;
what stands in the columns ``NAMES``, and True and False; the root run's metrics; the verdict, and
the numbers in its reason. Titles of columns and other words may change: a column is found by its
title, else by its place. Columns, tables at the end and files may be added. Sentences are not
compared, nor figures. Nor are limits that were changed on purpose: ``CHANGED_LIMITS``.
"""

import csv
import itertools
import json
import math
import re
import sys

import pytest

from tests.helpers import forked
from tests.helpers.old_store import OldStore

ROOTS = ("experiment", "crossed", "curve", "budget", "grid", "sweep")
NAMES = {"arm", "raters", "class", "gold", "given", "source", "example_id"}  # columns of names
SHIFTS = ("accuracy", "macro_f1", "precision", "recall")
SHIFT_TITLES = ("difference", "accuracy", "macro-F1", "macro precision", "macro recall")
CURVE_READINGS = (
    "limit",
    "rate",
    "plateau",
    "last_doubling",
    "last",
    "minus_gold",
    "minus_gold_limit",
)
CHANGED_LIMITS = {
    # They hold for all rows at once since sentences that pick the best row rest on them.
    *(("budget.csv", f"over_random_{end}") for end in ("low", "high")),
    *(("detectors.csv", end) for end in ("low", "high")),
    *((file, "against random") for file in ("budget.md", "report.md")),
    *((file, "AUROC") for file in ("calibration.md", "report.md")),
    # They allow for an example that was not seen and, of alpha, for the spread of the seeds.
    *(
        ("verdict.csv", f"{name}_{end}")
        for name in ("loss", "krippendorff_alpha")
        for end in ("low", "high")
    ),
    *(
        (file, name)
        for file in ("verdict.md", "report.md")
        for name in ("loss of macro-F1", "alpha_K")
    ),
    # So do those of all differences between arms.
    *(("budget.csv", f"closed_{end}") for end in ("low", "high")),
    *((file, "closed") for file in ("budget.md", "report.md")),
    *(("tail.csv", end) for end in ("low", "high")),
    *(("shift.csv", f"{name}_{end}") for name in SHIFTS for end in ("low", "high")),
    *((file, name) for file in ("errors.md", "report.md") for name in SHIFT_TITLES),
    # They have the tails of Student's t, since few seeds tell little of their own spread.
    *(("plateau.csv", f"{name}_{end}") for name in CURVE_READINGS for end in ("low", "high")),
    *(
        (file, name)
        for file in ("curve.md", "report.md")
        for name in (
            "limit",
            "flat from n",
            "last doubling",
            "minus gold, largest n",
            "minus gold, limit",
        )
    ),
}
"""File and column; of a cell with an estimate and limits the estimate is compared."""
RENAMED = {
    "human labels": "human",
    "loss of macro-F1": "loss",
    "against random": "over random",
}
"""Titles of columns that are shorter or plainer now."""
NOW_LOST = {
    ("agreement.csv", "alpha_difference"): "alpha_lost",
    ("agreement.csv", "alpha_difference_low"): "alpha_lost_high",
    ("agreement.csv", "alpha_difference_high"): "alpha_lost_low",
    ("agreement.md", "alpha_K minus gold"): "lost against gold",
    ("tail.csv", "difference"): "lost",
    ("plateau.csv", "minus_gold"): "loss",
    ("plateau.csv", "minus_gold_limit"): "loss_limit",
    **{
        (file, f"minus gold, {where}"): f"loss, {where}"
        for file in ("curve.md", "report.md")
        for where in ("largest n", "limit")
    },
    **{("shift.csv", name): f"{name}_lost" for name in SHIFTS},
    **{("errors.md", name): name for name in SHIFT_TITLES[1:]},
    ("errors.md", "difference"): "lost",
}
"""File and column of a difference to gold, and of its opposite, the loss, that stands there now."""
LEFT_TO_THE_CSV = {
    *(("agreement.md", name) for name in ("churn", "Fleiss' kappa", "Cohen's kappa")),
    ("spent.md", "cost"),  # shown where prices are known
}
CHANGED_VERDICTS = {"safe with 24 human labels": "cannot tell"}
"""Three seeds of several remedies leave wider limits that hold for all of them."""
CHANGED_TAGS = {"assay.verdict_reason"}
NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


class Reports(OldStore):
    """The store, with the reports that were expected of its root runs."""

    def report(self, name):
        """Make the report of one root run; returns the folder of its files."""
        root, workspace = self.roots[name], self.folder / "work"
        command = [sys.executable, "-m", "entrypoints.report", "--run_id", root["run_id"]]
        command += ["--workspace", str(workspace)]
        self._set_limits(root)
        done = forked.run(command, cwd=self.folder, env=self.environment())
        assert done.returncode == 0, done.stderr
        return workspace

    def _set_limits(self, root):
        """Give a run the limits by which it was judged then, as its own.

        Then they were options of the report, which today leaves the run's verdict alone.
        """
        (path,) = self.folder.glob(f"artifacts/*/{root['run_id']}/artifacts/config.json")
        config = json.loads(path.read_text(encoding="utf-8"))
        options = root["options"]
        limits = zip(options[::2], map(float, options[1::2]), strict=True)
        config["config"].get("verdict", {}).update({name[2:]: value for name, value in limits})
        path.write_text(json.dumps(config), encoding="utf-8")

    def changes(self, name, made):
        """What the report of a root run in the folder ``made`` says otherwise than it did then."""
        found = {path.name: path for path in made.rglob("*") if path.is_file()}
        for then in sorted((self.folder / "reports" / name).iterdir()):
            if then.name not in found:
                yield f"{then.name} is missing"
            else:
                yield from changed_tables(then, found[then.name])
        yield from self._changes_of_the_run(self.roots[name])

    def _changes_of_the_run(self, then):
        asked = "select key, step, value from metrics where run_uuid = ?"
        metrics = {(key, step): value for key, step, value in self.sql(asked, then["run_id"])}
        for key, step, value in then["metrics"]:
            now = metrics.get((key, step), math.nan)
            if not same(value, now):
                yield f"metric {key}, step {step}: {value}, now {now}"
        tags = dict(self.sql("select key, value from tags where run_uuid = ?", then["run_id"]))
        for key, value in then["tags"].items():
            now = tags.get(key, "")
            if key == "assay.verdict":
                is_same = CHANGED_VERDICTS.get(value, value) == now
            else:  # the reason has limits that were changed
                is_same = bool(now) if key in CHANGED_TAGS else same_numbers(value, now)
            if not is_same:
                yield f"tag {key}: {value}, now {now}"


def same(then, now):
    """Whether two numbers are one: six digits, but for a unit in the last, since CPUs differ."""
    unit = 10.0 ** (math.floor(math.log10(abs(then))) - 5) if then else 0.0
    return abs(then - now) <= max(1.01 * unit, 1e-9)


def numbers(text):
    return [float(one.replace("\N{MINUS SIGN}", "-")) for one in NUMBER.findall(text)]


def same_numbers(then, now):
    """Whether two texts hold the same numbers, as many and in the same order, among any words."""
    before, after = numbers(then), numbers(now)
    return len(before) == len(after) and all(map(same, before, after))


def same_cell(title, then, now):
    name = title in NAMES and not NUMBER.fullmatch(then)  # an arm may be a column's title as well
    return then == now if name or then in ("True", "False") else same_numbers(then, now)


def tables(path):
    """The tables of a CSV or a Markdown file, each with its head as the first row."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [list(csv.reader(file))]
    lines = path.read_text(encoding="utf-8").splitlines()
    runs = itertools.groupby(lines, key=lambda line: line.startswith("|"))
    found = [[markdown_cells(line) for line in run] for is_table, run in runs if is_table]
    return [[rows[0], *rows[2:]] for rows in found]  # the second row is a rule


def markdown_cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def changed_tables(then, now):
    before, after = tables(then), tables(now)
    if len(after) < len(before):
        yield f"{then.name}: {len(before)} tables, now {len(after)}"
    for (head, *rows), (new_head, *new_rows) in zip(before, after, strict=False):
        if len(rows) != len(new_rows):
            yield f"{then.name}: {len(rows)} rows, now {len(new_rows)}"
        for row, new_row in zip(rows, new_rows, strict=False):
            for place, (title, cell) in enumerate(zip(head, row, strict=True)):
                if (then.name, title) in LEFT_TO_THE_CSV and title not in new_head:
                    continue
                names = (NOW_LOST.get((then.name, title), title), RENAMED.get(title))
                now_called = next((name for name in names if name in new_head), None)
                new_place = new_head.index(now_called) if now_called else place
                new_cell = new_row[new_place] if new_place < len(new_row) else "(no such column)"
                if (then.name, title) in NOW_LOST:
                    lost, gained = numbers(estimate(new_cell)), numbers(estimate(cell))
                    is_same = [-number for number in lost] == pytest.approx(gained, abs=1e-5)
                elif (then.name, title) in CHANGED_LIMITS:
                    same_estimate = same_numbers(estimate(cell), estimate(new_cell))
                    is_same = then.suffix == ".csv" or same_estimate
                else:
                    is_same = same_cell(title, cell, new_cell)
                if not is_same:
                    yield f"{then.name}, row {row[0]}, {title}: {cell}, now {new_cell}"


def estimate(cell):
    """A cell without the limits in brackets."""
    return cell.partition("[")[0]


@pytest.fixture
def old_store(tmp_path):
    return Reports(tmp_path)


@pytest.mark.parametrize("name", ROOTS)
def test_the_report_of_a_run_that_an_older_version_logged_shows_the_numbers_it_showed_then(
    old_store, name
):
    assert not old_store.roots.keys() ^ set(ROOTS)
    changes = list(old_store.changes(name, old_store.report(name)))

    assert changes == []


def test_a_number_that_was_changed_in_an_old_store_is_noticed(old_store):
    tried = "select run_uuid from params where key = ? and value = ?"
    below = "select run_uuid from tags where key = 'assay.root' and value = ?"
    of = (old_store.roots["grid"]["run_id"], "arm", "gold", "configuration", "1")
    for table in ("metrics", "latest_metrics"):
        old_store.sql(
            f"update {table} set value = value + 0.001 "  # noqa: S608
            "where key = 'best_validation_macro_f1' "
            f"and run_uuid in ({below} intersect {tried} intersect {tried})",
            *of,
        )
    changes = list(old_store.changes("grid", old_store.report("grid")))

    assert changes == [
        "report.md, row gold, validation macro-F1: 35.0, now 35.1",
        "search.csv, row gold, validation_macro_f1: 0.350254, now 0.351254",
    ]

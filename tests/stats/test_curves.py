"""The power law of a learning curve: its fit, its plateau, and intervals over the seeds."""

import numpy as np
import pytest

from project.stats.curves import curve_gap, fit_curve
from project.stats.power_law import RATES, PowerLaw, fit_power_law, plateau_size, power_law_value

SIZES = np.array([50, 126, 315, 792, 1991, 5000])
LAW = PowerLaw(*map(np.array, (0.9, 1.2, 0.35, 0.0)))


def scores_by_seed(law, n_seeds, sd=0.01, seed=0, sizes=SIZES):
    random = np.random.default_rng(seed)
    return [mean + random.normal(0, sd, n_seeds) for mean in power_law_value(law, sizes)]


def sum_of_squares(law, values, weights=1.0):
    return float((weights * (values - power_law_value(law, SIZES)) ** 2).sum())


@pytest.mark.parametrize(
    ("limit", "gain", "rate"),
    [(0.9, 1.2, 0.35), (0.75, 9.0, 1.0), (1.0, 0.9, 0.1), (0.6, 2000.0, 2.5)],
)
def test_a_law_is_recovered_from_its_values(limit, gain, rate):
    found = fit_power_law(SIZES, limit - gain * SIZES**-rate)

    assert (float(found.limit), float(found.gain), float(found.rate)) == pytest.approx(
        (limit, gain, rate), rel=1e-5
    )
    assert float(found.residual) == pytest.approx(0, abs=1e-8)


def test_no_law_near_the_fit_has_a_smaller_sum_of_squares():
    values = np.array([values.mean() for values in scores_by_seed(LAW, 3, sd=0.05)])
    weights = np.array([1, 5, 5, 2, 1, 1])
    found = fit_power_law(SIZES, values, weights)

    least = sum_of_squares(found, values, weights)
    assert float(found.residual) == pytest.approx(np.sqrt(least / weights.sum()))
    assert (
        abs(float(found.rate) - float(fit_power_law(SIZES, values).rate)) > 0.05
    )  # the weights count
    for limit, gain, rate in np.random.default_rng(1).normal(1, 0.01, (300, 3)):
        other = PowerLaw(
            np.minimum(found.limit * limit, 1), found.gain * gain, found.rate * rate, found.residual
        )
        assert sum_of_squares(other, values, weights) >= least


def test_many_curves_at_once_have_the_fits_of_each_curve():
    values = (
        np.stack(
            [
                [values.mean() for values in scores_by_seed(LAW, 2, sd=0.08, seed=seed)]
                for seed in range(12)
            ]
        )
        .clip(0, 1)
        .reshape(3, 4, -1)
    )
    found = fit_power_law(SIZES, values)

    assert found.limit.shape == found.residual.shape == (3, 4)
    for index in np.ndindex(3, 4):
        assert [float(field[index]) for field in found] == pytest.approx(
            [float(field) for field in fit_power_law(SIZES, values[index])], rel=1e-9, nan_ok=True
        )


def test_a_limit_above_one_becomes_one_with_the_best_gain_for_it():
    values = 1.1 - 1.5 * SIZES**-0.2
    found = fit_power_law(SIZES, values)
    power = SIZES ** -float(found.rate)

    assert float(found.limit) == 1
    assert float(found.gain) == pytest.approx((power * (1 - values)).sum() / (power**2).sum())
    assert RATES[0] < found.rate < RATES[1]
    assert float(found.residual) > 1e-4


@pytest.mark.parametrize(
    "values", [np.full(6, 0.7), np.full(6, 1.0), np.zeros(6), 0.5 + 2 * SIZES**-0.5]
)
def test_a_curve_that_does_not_rise_is_constant_with_its_plateau_at_zero(values):
    found = fit_power_law(SIZES, values)

    assert float(found.gain) == 0
    assert float(found.limit) == pytest.approx(values.mean())
    assert np.isnan(found.rate)
    assert plateau_size(found, 0.01) == 0
    assert power_law_value(found, SIZES) == pytest.approx(np.full(6, values.mean()))


def test_beyond_the_plateau_every_doubling_gains_less_than_the_threshold():
    found = float(plateau_size(LAW, 0.01))
    sizes = np.arange(1, 60_000)
    gains = power_law_value(LAW, 2 * sizes) - power_law_value(LAW, sizes)

    assert np.ceil(found) == sizes[gains < 0.01][0]
    assert float(power_law_value(LAW, 2 * found) - power_law_value(LAW, found)) == pytest.approx(
        0.01
    )
    # gain (1 - 2 ** -rate) / threshold = 1.2 x 0.5 / 0.01 = 60 at rate 1, by hand
    assert float(plateau_size(LAW._replace(rate=np.array(1.0)), 0.01)) == pytest.approx(60)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fit_power_law([10, 20, 20], [0.1, 0.2, 0.3]),
            "a power law needs at least 3 different sizes; got 2. Measure more sizes.",
        ),
        (
            lambda: fit_power_law([10, 20, 40], [0.1, 0.2]),
            "values must have one column, and weights one number, for each of 3 sizes; got "
            r"\(2,\) and \(3,\).",
        ),
        (
            lambda: fit_power_law([0, 20, 40], [0.1, 0.2, 0.3]),
            "sizes and weights must be above 0 and finite.",
        ),
        (
            lambda: fit_power_law([10, 20, 40], [0.1, 0.2, 0.3], [1, 1, 0]),
            "sizes and weights must be above 0 and finite.",
        ),
        (
            lambda: fit_power_law([10, 20, 40], [10.0, 20.0, 30.0]),
            r"values must be scores in \[0, 1\]; some are outside, or missing.",
        ),
        (
            lambda: fit_power_law([10, 20, 40], [0.1, 0.2, np.nan]),
            r"values must be scores in \[0, 1\]; some are outside, or missing.",
        ),
        (
            lambda: plateau_size(LAW, 0.0),
            "threshold must be above 0, else no power law ever flattens; got 0.0.",
        ),
    ],
)
def test_points_that_cannot_be_fitted_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


def test_the_estimates_equal_those_of_the_fit_through_all_scores():
    scores = [*scores_by_seed(LAW, 3)[:4], *scores_by_seed(LAW, 5, seed=1)[4:]]
    found = fit_curve(SIZES, scores, 0.01, replicates=50)
    repeated_sizes = np.repeat(SIZES, [len(values) for values in scores])
    all_scores = fit_power_law(repeated_sizes, np.concatenate(scores))

    assert np.array(found.law[:3]) == pytest.approx(np.array(all_scores[:3]), rel=1e-5)
    assert (found.limit.estimate, found.rate.estimate) == (
        float(found.law.limit),
        float(found.law.rate),
    )
    assert found.plateau.estimate == float(plateau_size(found.law, 0.01))
    assert (found.smallest, found.largest, found.last.estimate) == (
        50,
        5000,
        float(power_law_value(found.law, 5000)),
    )
    assert found.last_doubling.estimate == pytest.approx(
        float(power_law_value(found.law, 5000) - power_law_value(found.law, 2500))
    )
    for interval in found[4:]:
        assert interval.low < interval.estimate < interval.high


def test_the_seed_fixes_the_intervals():
    scores = scores_by_seed(LAW, 3)
    first, again, other = (
        fit_curve(SIZES, scores, 0.01, replicates=100, seed=seed) for seed in (0, 0, 1)
    )

    assert first[4:] == again[4:]
    assert first.limit.estimate == other.limit.estimate
    assert first.limit.low != other.limit.low


def test_a_size_with_one_seed_leaves_no_interval():
    scores = scores_by_seed(LAW, 3)
    found = fit_curve(SIZES, [*scores[:5], scores[5][:1]], 0.01)

    assert found.limit.estimate == pytest.approx(0.9, abs=0.05)
    for interval in found[4:]:
        assert not np.isnan(interval.estimate)
        assert np.isnan(interval[1:]).all()
    assert np.isnan(curve_gap(found, found).at_size[1:]).all()


def test_equal_scores_give_an_interval_of_width_zero_and_an_undefined_rate():
    found = fit_curve(SIZES, [np.full(3, 0.7)] * 6, 0.01, replicates=20)

    assert tuple(found.limit) == pytest.approx((0.7, 0.7, 0.7))
    assert tuple(found.plateau) == (0, 0, 0)
    assert np.isnan(found.rate).all()


@pytest.mark.parametrize("n_seeds", [3, 10])
def test_95_of_100_intervals_cover_the_truth_or_more_with_few_seeds(n_seeds):
    truth = [
        float(LAW.limit),
        float(LAW.rate),
        float(plateau_size(LAW, 0.01)),
        float(power_law_value(LAW, 5000) - power_law_value(LAW, 2500)),
        float(power_law_value(LAW, 5000)),
    ]
    n_covered = np.zeros(len(truth))
    for seed in range(100):
        found = fit_curve(
            SIZES, scores_by_seed(LAW, n_seeds, seed=seed), 0.01, replicates=200, seed=seed
        )
        n_covered += [
            interval.low <= value <= interval.high
            for interval, value in zip(found[4:], truth, strict=True)
        ]

    assert (n_covered >= 92).all()
    if n_seeds == 10:
        assert n_covered.mean() < 99


@pytest.mark.parametrize(("n_seeds", "quantile"), [(5, 2.776), (10, 2.262)])
def test_a_mean_has_the_interval_of_students_t_over_its_seeds(n_seeds, quantile):
    # The law passes through three points; only the last size varies. Quantiles are of k - 1.
    spread = np.linspace(-0.02, 0.02, n_seeds)
    scores = [np.full(n_seeds, 0.3), np.full(n_seeds, 0.5), 0.6 + spread]
    last = fit_curve([10, 100, 1000], scores, 0.01, replicates=4000).last
    half = quantile * spread.std(ddof=1) / np.sqrt(n_seeds)

    assert (last.low, last.high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.1 * half)


def test_the_gap_is_the_difference_of_the_fits_at_the_largest_common_size_and_at_the_limits():
    lower = LAW._replace(limit=np.array(0.85))
    gold, llm = (
        fit_curve(SIZES, scores_by_seed(LAW, 5), 0.01),
        fit_curve(SIZES[:5], scores_by_seed(lower, 5, seed=1, sizes=SIZES[:5]), 0.01),
    )
    found = curve_gap(llm, gold)

    assert found.size == 1991
    assert found.at_size.estimate == pytest.approx(
        float(power_law_value(llm.law, 1991) - power_law_value(gold.law, 1991))
    )
    assert found.limit.estimate == pytest.approx(float(llm.law.limit - gold.law.limit))
    assert found.at_size.low < -0.05 < found.at_size.high < 0
    assert curve_gap(gold, llm).at_size == pytest.approx(
        (-found.at_size.estimate, -found.at_size.high, -found.at_size.low)
    )
    with pytest.raises(ValueError, match="two curves must have equally many replicates"):
        curve_gap(gold, fit_curve(SIZES, scores_by_seed(LAW, 5), 0.01, replicates=10))


def test_curves_of_the_same_seeds_are_paired_and_others_are_not():
    scores = scores_by_seed(LAW, 5, sd=0.02)
    gold, worse = (
        fit_curve(SIZES, [values - 0.1 for values in scores], 0.01),
        fit_curve(SIZES, [values - 0.15 for values in scores], 0.01),
    )
    apart = fit_curve(SIZES, [values - 0.15 for values in scores], 0.01, seed=1)

    for found in curve_gap(worse, gold)[1:]:
        assert found == pytest.approx((-0.05, -0.05, -0.05), abs=1e-4)
    low, high = curve_gap(apart, gold).at_size[1:]
    assert high - low > 0.01

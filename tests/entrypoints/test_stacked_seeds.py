"""Experiments whose seeds are trained at once on stacked weights."""

from entrypoints import main
from project.tracking import children, latest_root


def digests(params, **changes):
    """The identities of the trainings of a new experiment."""
    main.experiment(params(arms="gold", **changes))
    return {run.tags["assay.digest"]: run.params["batching"] for run in seeds()}


def seeds():
    return children(latest_root(), "seed")


def test_seeds_are_trained_at_once_found_again_and_not_mixed_with_others(params, store):
    first = digests(params, batching="stacked")
    again = digests(params, batching="stacked")
    more = digests(params, batching="stacked", seeds="3")
    alone = digests(params, batching="padded")

    assert [*first.values()] == ["stacked"] * 2
    assert again == first
    # The random numbers of a seed depend on the seeds beside it.
    assert len({*first, *more, *alone}) == 7

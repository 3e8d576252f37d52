"""The errors that a user's input or an unfinished piece of work can raise."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


class AssayError(ValueError):
    """Input that cannot be used. The message is one line: name, rule, value, way out.

    ``others`` are further errors of the same input, so that all can be corrected at once.
    """

    others: Sequence[AssayError] = ()


def together(errors: Sequence[AssayError]) -> AssayError:
    """The first of several errors, with all others in its ``others``."""
    first, *rest = [one for error in errors for one in (error, *error.others)]
    first.others = tuple(rest)
    for one in rest:
        one.others = ()
    return first


class Refusals:
    """The errors of independent checks, raised together."""

    def __init__(self) -> None:
        """Nothing is refused yet."""
        self._errors: list[AssayError] = []

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Keep an error of the checks inside for :meth:`finish`; what follows it is left out."""
        try:
            yield
        except AssayError as error:
            self._errors.append(error)

    def finish(self) -> None:
        """Raise all errors so far, if there are any, as :func:`together` does."""
        if self._errors:
            raise together(self._errors)


class WrongSettings(AssayError):
    """Parameters that do not fit what is used with them.

    ``parameters``: those to set instead, each with its value.
    """

    def __init__(self, message: str, parameters: Mapping[str, str]) -> None:
        """``message`` names the parameters too."""
        super().__init__(message)
        self.parameters = dict(parameters)


class UnusableRun(AssayError):
    """A run of the tracking store, or an artifact of it, that is missing, unfinished or broken.

    A store that does not answer raises another error, since its runs may be in order.
    """


class Incomplete(AssayError):
    """Work that could not be finished, for example because a worker died. Finished parts are kept.

    ``partial`` holds the finished parts of a failed request, so that a caller can store them.
    """

    partial: Any = None


class Stopped(Incomplete):
    """Work that ended at a limit which the user had set. Finished parts are kept."""


def unknown_value(name: str, value: str, known: Iterable[str], way_out: str = "") -> AssayError:
    """An error for a value that is not among the known ones; it suggests the most similar one.

    Parameters
    ----------
    name
        What has the value: a parameter, a key or a column.
    value
        The value that is not known.
    known
        All values that are.
    way_out
        A sentence for the end of the message.
    """
    choices = sorted(known)
    end = f" {way_out}" if way_out else ""
    return AssayError(
        f"{name} must be one of {', '.join(choices)}; got {value!r}."
        f"{did_you_mean(value, choices)}{end}"
    )


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the known value that is most similar; empty if none is."""
    similar = difflib.get_close_matches(value, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean {similar[0]!r}?" if similar else ""

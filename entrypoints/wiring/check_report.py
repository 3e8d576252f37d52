"""How the entry point check prints its sections and collects errors."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TypeVar

from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError, Incomplete

Result = TypeVar("Result")
Rows = Generator[tuple[str, str], None, Result]
"""Yields title and text of every row; may return a result that later sections need."""


class CheckReport:
    """Prints sections, and keeps their errors until the end."""

    def __init__(self) -> None:
        """No section is printed yet."""
        self._errors: list[AssayError] = []

    def section(self, title: str, rows: Rows[Result]) -> Result | None:
        """Print the rows of a section; what they return, or None after an error."""
        print_line(title)
        n_errors = len(self._errors)
        with self.catch():
            while True:
                try:
                    name, text = next(rows)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                print_line(f"  {name:<12} {text}")
        if len(self._errors) > n_errors:
            print_line(f"  {'':<12} failed: see the end")
        return None

    @contextlib.contextmanager
    def catch(self) -> Iterator[None]:
        """Keep an error of the work in the context for the end."""
        try:
            yield
        except AssayError as error:
            self._errors.append(error)
        except OSError as error:
            text = f"{error.strerror}: {error.filename}. Correct this and run again."
            self._errors.append(Incomplete(text))

    def finish(self) -> None:
        """Print all errors but the first, which is raised; or that everything is in order."""
        for error in self._errors[1:]:
            print_line(f"error: {error}")
        if self._errors:
            raise self._errors[0]
        print_line("Everything is in order.")

"""The texts that a person should label next, as files to label."""

from __future__ import annotations

from pathlib import Path

from entrypoints.wiring.terminal import print_line
from project.data.pool import Pool
from project.data.spreadsheet import csv_for_spreadsheets, with_choices
from project.labels.human import questions
from project.labels.label_page import label_page
from project.support.files import write_atomically
from project.support.privacy import owner_only


def write_next(
    pool: Pool, example_ids: list[str], folder: Path, *, private: bool
) -> dict[str, Path]:
    """Write the page and the table of the texts to label next, and print where they are.

    Parameters
    ----------
    pool
        The texts.
    example_ids
        Ids of the texts to label, the most doubtful first.
    folder
        Where to write.
    private
        Whether only the owner of this account may read the files.

    Returns
    -------
    dict of str to Path
        The files by their names; empty without texts.
    """
    if not example_ids:
        return {}
    chosen = pool.examples.set_index("example_id").loc[example_ids].reset_index()
    asked = questions(chosen, None, 0)
    page = label_page(
        asked,
        pool.task.label_set,
        title=pool.task.title or pool.task.name,
        description=pool.task.description,
    )
    table = with_choices(asked, pool.task.label_set)
    contents = {"label.html": page, "questions.csv": csv_for_spreadsheets(table)}
    files = {name: folder / name for name in contents}
    with owner_only(private, folder):
        for name, data in contents.items():
            write_atomically(files[name], data)
    print_line(
        f"audit: the next {len(example_ids)} texts to label are in {files['label.html'].resolve()}"
        " (a page) and questions.csv beside it."
    )
    return files

"""A small task card; the fixture ``pets`` writes its file."""

CARD = """\
name: pets
source: {file: pets.csv}
columns: {text: text, label: label}
description: You sort letters about pets.
labels: [cat, dog]
split: {demonstration: 4, train: 20, validation: 6, test: 10}
"""


def with_value(row, column, value):
    """A change of one cell of a table."""

    def change(table):
        table.loc[row, column] = value
        return table

    return change

"""A small task card, whose file the fixture ``pets`` writes beside it."""

CARD = """\
name: pets
source: {file: pets.csv}
columns: {text: text, label: label}
description: You sort letters about pets.
labels: [cat, dog]
split: {demonstration: 4, train: 20, validation: 6, test: 10}
"""


def with_value(row, column, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change

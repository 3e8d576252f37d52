import matplotlib as mpl

mpl.rcParams["text.parse_math"] = (
    False  # a label or an arm with dollar signs in its name is no formula
)

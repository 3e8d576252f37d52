"""Assay's stages, one room (folder) each, in the order in which data flow.

========== ================================================= ===================================
room       holds                                             may import
========== ================================================= ===================================
support    errors, files, secrets, this machine, models      nothing of the project
stats      pure functions of arrays                          nothing of the project
config     parameters; tables of arms, engines and metrics   support
cluster    Ray: the connection, its nodes, tasks             config, support
data       task cards, tasks, splits, the tables of stages      config, stats, support
annotation prompts, engines, answers on disk, costs          data, config, stats, support
labels     label sources: annotations -> training labels     data, config, stats, support
audit      human labels of a sample -> what they tell        data, config, stats, support
training   labels + encoder + seed -> predictions            data, config, stats, support, cluster
taxonomy   texts -> labels that an LLM proposes              data, config, stats, support
search     studies of Optuna                                 labels, config, stats, support
tracking   the tracking store; the only room with mlflow     support
========== ================================================= ===================================

Outside this package, ``analysis`` reads results back from the store (it may import tracking, data,
config, stats and support), and ``entrypoints`` connects all rooms. Stages do not import one
another: where they must meet, an entry point introduces them. ``tests/test_house.py`` derives these
rules from the path of every file.
"""

"""Settings of MLflow for all of Assay; imported before anything else that imports mlflow."""

import logging
import os

# Progress bars of single files, and the address of each run that ends (which costs a request to
# the server), are of no use to a user of Assay.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES

# Tries of a request to a server that does not answer, unless the variable is set. Three take twelve
# seconds; MLflow's default of seven takes four minutes.
MLFLOW_HTTP_REQUEST_MAX_RETRIES.default = 3

# Alembic would print a line for each of the many steps that make a new database.
for _name in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(_name).setLevel(logging.WARNING)

"""Every experiment loads its encoder before it opens an annotator, which costs money."""

import importlib
import shutil

import pytest
from mlflow.tracking import MlflowClient

from entrypoints import check
from project.support.errors import AssayError


@pytest.fixture
def damaged(tiny_encoder, tmp_path):
    """A folder of an encoder whose weights are cut off."""
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_encoder, folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return str(folder)


@pytest.mark.parametrize("name", ["main", "curve", "grid", "budget", "sweep", "finetune", "audit"])
def test_a_damaged_encoder_is_refused_before_the_annotator_is_opened(
    name, params, damaged, monkeypatch
):
    opened = []
    for module in ("annotation_session", "audit_run"):
        monkeypatch.setattr(
            f"entrypoints.wiring.{module}.open_session", lambda *_, **__: opened.append(1)
        )
    changes = {"task": "catalogue", "human_column": "label", "simulate": "100", "max_train": "300"}
    changes = changes if name == "audit" else {}
    entry = importlib.import_module(f"entrypoints.{name}")
    run = entry.experiment if name == "main" else getattr(entry, name)

    with pytest.raises(AssayError, match="encoder damaged could not be loaded"):
        run(params(name, encoder=damaged, annotator="transformers", **changes))

    assert opened == []
    assert MlflowClient().search_runs(["1"]) == []


def test_check_loads_the_encoder(params, damaged, capsys):
    check.check(params("check"))
    assert "it loads and reads a text in" in capsys.readouterr().err

    with pytest.raises(AssayError, match="weights .*damaged/model.safetensors cannot be read"):
        check.check(params("check", encoder=damaged))

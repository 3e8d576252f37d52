"""Size and location of a model's weights, without reading or fetching them."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import NamedTuple

from project.support.errors import AssayError
from project.support.models import (
    ANNOTATOR_NAME,
    ANNOTATOR_PACKAGE,
    BUNDLED,
    ModelSource,
    dequantised_folder,
    encoder_source,
    model_folder,
    named_source,
    package_version,
)

_ANNOTATOR_PARAMETERS = 134_515_008
_FLOAT32 = 4  # bytes
_HUB_SECONDS = 10  # to wait for an answer of the hub


class ModelFiles(NamedTuple):
    """The weights of a model.

    ``location`` is a phrase for people. ``is_local`` is false for weights that must still be
    fetched or unpacked. ``n_bytes`` and ``n_parameters`` are 0 where they are unknown.
    """

    name: str
    location: str
    is_local: bool
    n_bytes: int
    n_parameters: int


def model_files(parameter: str, name: str, revision: str) -> ModelFiles:
    """The weights of the model that a parameter names; nothing is fetched or unpacked.

    Parameters
    ----------
    parameter
        ``annotator_model`` or ``encoder``.
    name
        Its value: ``bundled``, a folder or a hub id.
    revision
        Branch, tag or commit on the hub.

    Raises
    ------
    AssayError
        If the model cannot be found or has no weights in safetensors.
    """
    if name != BUNDLED:
        folder = model_folder(parameter, name)
        if not folder:
            return _hub_files(parameter, named_source(parameter, name, revision))
        if not any(folder.glob("*.safetensors")):
            raise AssayError(
                f"{parameter}: the folder {name} holds no weights in safetensors. Give a folder "
                "written by save_pretrained."
            )
        return _folder_files(folder.name, f"the folder {folder}", folder)
    if parameter == "encoder":
        source = encoder_source(name, revision)
        return _folder_files(source.name, "its package", Path(source.location))
    folder = dequantised_folder(package_version(ANNOTATOR_PACKAGE))
    if folder.is_dir():
        return _folder_files(ANNOTATOR_NAME, str(folder), folder)
    return ModelFiles(
        name=ANNOTATOR_NAME,
        location=f"its package, unpacked to {folder} on first use",
        is_local=False,
        n_bytes=_FLOAT32 * _ANNOTATOR_PARAMETERS,
        n_parameters=_ANNOTATOR_PARAMETERS,
    )


def _folder_files(name: str, location: str, folder: Path) -> ModelFiles:
    """The weights in a folder; only the headers of its files are read."""
    paths = sorted(folder.glob("*.safetensors"))
    n_parameters = sum(map(_n_parameters, paths))
    return ModelFiles(
        name=name,
        location=location,
        is_local=bool(paths),
        n_bytes=sum(path.stat().st_size for path in paths),
        n_parameters=n_parameters,
    )


def _n_parameters(path: Path) -> int:
    """The number of values in a file of weights; AssayError for a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as tensors:
            return sum(
                math.prod(tensors.get_slice(key).get_shape())
                for key in tensors.keys()  # noqa: SIM118  # not a mapping
            )
    except (SafetensorError, OSError) as error:
        raise AssayError(
            f"the weights {path} cannot be read ({error}). The file is damaged or incomplete: "
            "fetch or save it again, or name another model."
        ) from error


def _hub_files(parameter: str, source: ModelSource) -> ModelFiles:
    """The weights of a hub id: in the hub's cache if complete there, else on the hub."""
    import huggingface_hub.constants

    cached = _cached_files(source)
    if cached:
        return cached
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise AssayError(
            f"{parameter}: the weights of {source.name} are not in the hub's cache, and "
            "HF_HUB_OFFLINE=1 forbids to fetch them. Unset it, or fetch them where the hub can "
            f"be reached: hf download {source.location} --revision {source.revision}"
        )
    try:
        info = huggingface_hub.HfApi().model_info(
            source.location, revision=source.revision, files_metadata=True, timeout=_HUB_SECONDS
        )
    except Exception as error:  # the hub's client raises a dozen unrelated types when unreachable
        raise AssayError(
            f"{parameter}: the size of {source.name} could not be read from the hub "
            f"({type(error).__name__}). Run again."
        ) from error
    files = [file for file in info.siblings or () if file.rfilename.endswith(".safetensors")]
    n_parameters = info.safetensors.total if info.safetensors else 0
    return ModelFiles(
        name=source.name,
        location="the hub, not fetched yet",
        is_local=False,
        n_bytes=sum(file.size or 0 for file in files),
        n_parameters=n_parameters,
    )


def _cached_files(source: ModelSource) -> ModelFiles | None:
    """The weights in the hub's cache, None unless all of them are there."""
    import huggingface_hub

    # The cache may lack the model or hold damaged files. Then the hub's own list of files counts.
    with contextlib.suppress(Exception):
        snapshot = huggingface_hub.snapshot_download(
            source.location, revision=source.revision, local_files_only=True
        )
        folder = Path(snapshot)
        if _is_complete(folder):
            files = _folder_files(source.name, "the hub's cache", folder)
            return files if files.is_local else None
    return None


def _is_complete(folder: Path) -> bool:
    """Whether a folder holds every file that the index of split weights lists, if it has one."""
    for index in folder.glob("*.safetensors.index.json"):
        file_of_weight = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not all((folder / name).is_file() for name in file_of_weight.values()):
            return False
    return True

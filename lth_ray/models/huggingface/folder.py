"""A folder of Hugging Face's form: its place, its config.json, its tensors. Nothing in it is run or unpickled."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.config.model import HUGGING_FACE
from lth_ray.config.places import places

WEIGHTS = "model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
SAVED = "give a folder as transformers' save_pretrained(PATH) writes it"
# of config.json, what says nothing of the network
NOTES = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def found_folder(path: str, data_root: str | None, field: str) -> Path:
    """Return an absolute path; "hf:" before it is passed over.

    A relative one is looked up in the data root, then in the working directory. Raise ConfigError, naming the field,
    where there is no such folder: none is fetched.
    """
    tried = places(path.removeprefix(HUGGING_FACE), data_root)
    for place in tried:
        if place.is_dir():
            return place
    raise ConfigError(
        f"{field} = {path!r}: there is no folder {' or '.join(map(str, tried))}, and no network is asked for it; "
        "give the path of a folder with config.json, as save_pretrained(PATH) writes it, which every machine can read"
    )


def read_config(folder: Path, field: str) -> dict[str, Any]:
    """Return what is in config.json. Raise ConfigError, naming the field, where that says no kind of network."""
    path = folder / "config.json"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{field}: {path} cannot be read ({error}); {SAVED}") from error
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise ConfigError(f"{field}: {path} names no model_type; {SAVED}")
    return found


def architecture(config: Mapping[str, Any]) -> str:
    """Return a digest of what a config.json says of a network, and not of who wrote it."""
    said = {name: value for name, value in config.items() if name not in NOTES}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_tensors(folder: Path, where: str) -> dict[str, Tensor]:
    """Return all tensors of a folder's safetensors files, by the names that they have there.

    Raise ConfigError where it has none (of pickles nothing is read), or one cannot be read.
    """
    found: dict[str, Tensor] = {}
    for file in _files(folder, where):
        try:
            found |= load_file(file)
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{where}: {file.name} is no readable safetensors file ({error}); {SAVED}") from error
    return found


def _files(folder: Path, where: str) -> list[Path]:
    whole, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        try:
            return [folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{where}: {index.name} does not say which files there are ({error}); {SAVED}") from error
    others = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if others:
        raise ConfigError(
            f"{where} holds pickles ({', '.join(others)}) and no {WEIGHTS}, and code from a file is not run; where you "
            "trust it, load it by transformers.AutoModel.from_pretrained(PATH), and write it by save_pretrained(NEW)"
        )
    raise ConfigError(f"{where} holds no {WEIGHTS}; {SAVED}")

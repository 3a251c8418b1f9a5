"""Files and folders of pretrained weights, found and identified when a study is planned."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lth_ray.config import ConfigError, Folder, Model, Study, TaskConfig, WeightsFile, weights_file
from lth_ray.config.places import places
from lth_ray.models import read_weights
from lth_ray.models.huggingface.folder import architecture, found_folder, read_config
from lth_ray.store import content

FIELD, NAME, TOKENIZER = "model.weights", "model.name", "data.tokenizer"


def identified(study: Study, data_root: str | None = None) -> Study:
    """Return `study` with an absolute path and the content of every file of weights and Hugging Face folder that it
    names, tokenizers' absolute paths among them.

    Those of its arms and sweeps count too. A recorded study has them, and its files are not read again.
    Raises ConfigError for a file that is none.
    """
    known: dict[str, WeightsFile] = {}
    folders: dict[str, Folder] = {}

    def of(file: WeightsFile) -> WeightsFile:
        if file.content is not None:
            return file
        if file.path not in known:
            known[file.path] = _identified(file, data_root)
        return known[file.path]

    def place(path: str, field: str) -> str:
        return path if os.path.isabs(path) else str(found_folder(path, data_root, field))

    def named(name: Any) -> Any:
        """Return a model's name: of a folder with what is in it."""
        if not isinstance(name, Folder) or name.architecture is not None:
            return name
        if name.path not in folders:
            folders[name.path] = _identified_folder(name, data_root)
        return folders[name.path]

    def model(value: Model) -> Model:
        name = named(value.name)
        found = value if name is value.name else replace(value, name=name)
        return found if found.weights is None else replace(found, weights=of(weights_file(found.weights)))

    def field(path: str, value: Any) -> Any:
        if path == FIELD and value is not None:
            return of(_declared(value))
        if path == NAME:
            return named(Model(value).name)
        if path == TOKENIZER and isinstance(value, str):
            return place(value, f"{type(study.data).__name__}.tokenizer")
        if isinstance(value, TaskConfig):
            return value.located(place)
        return model(value) if isinstance(value, Model) else value

    def fields(values: Mapping[str, Any]) -> dict[str, Any]:
        return {path: field(path, value) for path, value in values.items()}

    read: dict[str, Any] = {
        "model": model(study.model),
        "data": study.data.located(place),
        "arms": {name: fields(values) for name, values in study.arms.items()},
        "sweep": {path: tuple(field(path, value) for value in values) for path, values in study.sweep.items()},
    }
    changed = {name: value for name, value in read.items() if value != getattr(study, name)}
    return replace(study, **changed) if changed else study


def files_of(study: Study) -> Iterator[WeightsFile]:
    """Yield the files of weights that an identified study names, those of its arms and sweeps too."""
    varied = [value for fields in study.arms.values() for value in fields.values()]
    for value in (study.model, *varied, *(value for values in study.sweep.values() for value in values)):
        file = value.file if isinstance(value, Model) else Model(value).file if isinstance(value, Folder) else value
        if isinstance(file, WeightsFile):
            yield file


def _identified_folder(folder: Folder, data_root: str | None) -> Folder:
    field = f"Model.name = '{folder}'"
    place = found_folder(folder.path, data_root, "Model.name")
    said = architecture(read_config(place, field))
    return replace(folder, path=str(place), architecture=said, weights=content(read_weights(place)))


def _declared(value: Any) -> WeightsFile:
    try:
        return weights_file(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{FIELD} = {value!r}: {error}") from None


def _identified(file: WeightsFile, data_root: str | None) -> WeightsFile:
    place = _found(file.path, data_root)
    return replace(file, path=str(place), content=content(read_weights(place)))


def _found(path: str, data_root: str | None) -> Path:
    """Return the absolute path of a file or folder. Raise ConfigError where there is none."""
    tried = places(path, data_root)
    for place in tried:
        if place.exists():
            return place
    raise ConfigError(
        f"Model.weights = {path!r}: there is no file {' or '.join(map(str, tried))}; give the path of a safetensors, "
        ".pt or .pth file, which every machine that trains can read"
    )

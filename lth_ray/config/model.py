"""The network of a study, and the file of its pretrained weights."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from lth_ray.config.base import TEXT, Config, ConfigError, many, mapping, maybe, number, one_of, option, text

PATH = text("give the path of a safetensors, .pt or .pth file")
HUGGING_FACE = "hf:"
GIVEN = {  # what no option of a network may be called
    "num_classes": "the data set gives it",
    "input_shape": "the data set gives it",
    "vocabulary": "the data set gives it",
    "name": "that is Model.name",
    "init": "that is Model.init",
    "seed": "weights are drawn from the study's seeds",
}
INITIALISATIONS = ("default", "glorot", "kaiming", "orthogonal", "sparse")


@dataclass(frozen=True)
class WeightsFile(Config):
    """A file of weights. Nothing is read when it is declared.

    path: where it lies, which is no part of a key.
    content: a digest of its tensors' names, shapes and bytes, which is; None until a plan has read the file.
    """

    path: str = option(check=PATH, means=False)
    _: KW_ONLY
    content: str | None = option(None, check=maybe(TEXT))

    def __str__(self) -> str:
        return os.path.basename(self.path)


def weights_file(value: Any) -> WeightsFile:
    """Return a path, or what one has become, as a file of weights: a check."""
    if isinstance(value, WeightsFile):
        return value
    return WeightsFile(PATH(os.fspath(value) if isinstance(value, os.PathLike) else value))


@dataclass(frozen=True)
class Folder(Config):
    """A network in a Hugging Face folder. Nothing is read when it is declared.

    path: where it lies, which is no part of a key.
    architecture: a digest of its config.json, which is; None until a plan has read it.
    weights: a digest of its tensors, by which the file of a Model counts; None until then.
    """

    path: str = option(check=text("give hf:PATH, the path of a Hugging Face folder"), means=False)
    _: KW_ONLY
    architecture: str | None = option(None, check=maybe(TEXT))
    weights: str | None = option(None, check=maybe(TEXT), means=False)

    def __str__(self) -> str:
        return f"{HUGGING_FACE}{os.path.basename(os.path.normpath(self.path))}"


def _named_or_callable(value: Any) -> Any:
    if callable(value) or isinstance(value, Folder):
        return value
    name = text("give a name or a function")(value)
    return Folder(name.removeprefix(HUGGING_FACE)) if name.startswith(HUGGING_FACE) else name


def _initialisation(value: Any) -> str | float | Callable[..., Any]:
    if callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return str(one_of(*INITIALISATIONS)(value))
    return float(number(0, open_low=True)(value))


@dataclass(frozen=True)
class Model(Config):
    """The network.

    name: one of lth_ray.models.names(); a function that returns an nn.Module (called with those of num_classes,
        input_shape, vocabulary and `options` that it accepts); or "hf:PATH", a folder of Hugging Face's form
        (config.json, *.safetensors), of which `weights` are those in it: encoders such as BERT for `Sentences`, and
        GPT-2 for a `Text` of as many tokens. A relative PATH is one inside --data-root, or the working directory;
        nothing is fetched. What the folder lacks, such as the layer that tells classes apart, is drawn by the lineage's
        seed as Hugging Face does. `options` are fields of its config.json, such as hidden_dropout_prob. What is in
        config.json counts in keys, and the place does not. Needs the extra `text`.
    init: "default" (its paper's), "glorot" (Gaussian Glorot, zero biases), "kaiming", "orthogonal", "sparse" (15 inputs
        of each unit), or a standard deviation: see lth_ray.models.initialise. Or a function of one's own, such as one
        that learns how large weights are to be: it is called with those of `network`, `generator`, num_classes,
        input_shape and vocabulary that it accepts, changes the network's weights in place, and draws from the generator
        alone, which is seeded by the lineage's seed (torch's global one is, too).
    options: keyword arguments of the network, such as dropout=0.5.
    version: of one's own functions, part of the key in their source's place: change it when one changes what it makes.
        None: its source counts, with what it closes over and refers to.
    weights: the path of pretrained weights, which are then what every lineage begins with, its step 0: a safetensors
        file, or one of torch.save (.pt, .pth) that holds a state dict, by itself or as "state_dict" or "model". A
        relative path is one inside --data-root, or the working directory. It must give every tensor of this network
        and no others, of the same shape (a prefix "module." or "_orig_mod." of all names is passed over, and counts of
        batches seen may be missing); floating-point numbers become the network's. What is in it, and not its
        place, is part of the key. Controls that draw new weights, such as RandomReinit and Rewind(method="scratch"),
        draw them as a network without `weights` does. None draws all weights.
    redraw: globs over names of tensors that `weights` is not to give, and that are drawn by `init` and the lineage's
        seed, such as ["fc.*"] for an output layer of another size. What the file holds under these names is left.
    """

    name: str | Callable[..., Any] | Folder = option(check=_named_or_callable)
    _: KW_ONLY
    init: str | float | Callable[..., Any] = option("default", check=_initialisation)
    options: Mapping[str, Any] = option({}, check=mapping())
    version: str | None = option(None, check=maybe(TEXT), none_means="1")
    weights: str | WeightsFile | None = option(None, check=maybe(weights_file), absent_means=None)
    redraw: Sequence[str] = option((), check=many(text("give globs"), "give a list of globs"), absent_means=())

    @property
    def file(self) -> WeightsFile | None:
        """The file, or folder, of its pretrained weights; None where they are newly drawn."""
        if self.weights is None and isinstance(self.name, Folder):
            return WeightsFile(self.name.path, content=self.name.weights)
        return None if self.weights is None else weights_file(self.weights)

    @property
    def drawn(self) -> "Model":
        """The same network with all of its weights newly drawn."""
        return replace(self, weights=None, redraw=()) if self.file is not None else self

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.redraw and self.weights is None and not isinstance(self.name, Folder):
            raise ConfigError(f"Model.redraw = {list(self.redraw)}: without Model.weights all are drawn; leave it out")
        for name in (name for name in GIVEN if name in self.options):
            raise ConfigError(
                f"Model.options[{name!r}]: {GIVEN[name]}; leave it out, or give the parameter another name"
            )
        if isinstance(self.name, str) and self.version == "1":  # as earlier versions recorded that there is none
            object.__setattr__(self, "version", None)

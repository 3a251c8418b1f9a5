"""Transfer: a ticket trained on something else than what it was found on."""

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, TypeVar, cast

from lth_ray.config.base import Config, ConfigError, field_table, mapping, no_field, one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.model import Folder, Model
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.train import Train

KINDS: dict[str, type[Config]] = {"data": TaskConfig, "model": Model, "train": Train}
Part = TypeVar("Part", bound=Config)


@dataclass(frozen=True)
class Transfer(Branch):
    """The ticket trained on something else than what it was found on.

    That is other data (Morcos et al. 2019; Ash & Adams 2019), another task, optimizer or schedule, or another network
    of its family. Where nothing is changed it is the ticket's own training, and is not trained again.

    changes: fields of the study's data, training and network, such as {"data.name": "cifar100"}, {"train.optimizer":
        "adam", "train.lr": 3e-4} or {"model.name": "cifar_vgg19"}; or a whole one, {"data": Data(...)}. Without a dot a
        field is one of Data (or of another task). Layers of another network that lie in a row of equal ones take over
        the masks and weights of the ticket's layers in their order, the j-th of n that of the floor(j m / n)-th of m
        (after Chen et al. 2021, elastic tickets); wider or narrower layers take over masks alone, their units
        likewise. What does not fit is refused with the layer's name. An output layer for other classes is newly drawn
        and dense.
    start: "rewound" weights, or the "trained" ones (warm start); or "random", the control of Morcos et al.: newly
        drawn weights under the mask that would be carried, its entries permuted over all layers.
    length: "whole" trains from step 0 to T; "ticket" from the rewind point on, at its place in schedule and data, as
        the ticket itself is trained. At k = 0 they are the same.
    output: "kept" takes the output layer over where it fits; "redrawn" draws it anew, dense, on all data but the
        ticket's own (Morcos et al. 2019).
    copies: draws of "random".
    """

    of_dense: ClassVar[bool] = True

    changes: Mapping[str, Any] = option(check=mapping())
    _: KW_ONLY
    start: str = option("rewound", check=one_of("rewound", "trained", "random"))
    length: str = option("whole", check=one_of("whole", "ticket"), absent_means="whole")
    output: str = option("kept", check=one_of("kept", "redrawn"), absent_means="kept")
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in (part for part in self.changes if part in KINDS):
            if not isinstance(self.changes[part], KINDS[part]):
                kind = "Data or another task" if part == "data" else KINDS[part].__name__
                raise ConfigError(f"Transfer.changes[{part!r}] = {self.changes[part]!r}: give a {kind}")
        for path, part, field in self._fields():
            if part not in KINDS:
                raise ConfigError(
                    f"Transfer.changes = {path!r}: fields of {', '.join(KINDS)} can be changed, such as train.lr; the "
                    "rest is the ticket's own, whose pruning and rewinding are over"
                )
            if part != "data":
                _check_known(path, field, KINDS[part])
        if self.copies > 1 and self.start != "random":
            raise ConfigError(
                f"Transfer.copies = {self.copies}: start={self.start!r} draws nothing by which they would differ; "
                "leave it out"
            )
        self._check_weights()

    def _check_weights(self) -> None:
        given = self.changes.get("model")
        named = given.name if isinstance(given, Model) else self.changes.get("model.name")
        is_folder = isinstance(named, Folder) or (isinstance(named, str) and named.startswith("hf:"))
        files = [field for field in ("weights", "redraw") if self.changes.get(f"model.{field}")]
        if is_folder or files or (isinstance(given, Model) and given.weights is not None):
            raise ConfigError(
                "Transfer.changes: the network is given pretrained weights, and it has those of the ticket; leave "
                f"{'model.' + files[0] if files else 'them'} out"
            )

    def _fields(self) -> Iterator[tuple[str, str, str]]:
        """Yield (path, part of the study, field) of the single fields that are changed."""
        for path in (path for path in self.changes if path not in KINDS):
            part, dot, field = path.partition(".")
            yield (path, part, field) if dot else (path, "data", path)

    def data(self, given: TaskConfig) -> TaskConfig:
        return self._changed("data", given)

    def model(self, given: Model) -> Model:
        """Return the network that it trains, `given` being the study's."""
        return self._changed("model", given)

    def train(self, given: Train) -> Train:
        """Return the training, `given` being the study's."""
        return self._changed("train", given)

    def _changed(self, part: str, given: Part) -> Part:
        given = cast(Part, self.changes.get(part, given))
        fields: dict[str, Any] = {}
        for path, of, field in self._fields():
            if of == part:
                _check_known(path, field, type(given))
                fields[field] = self.changes[path]
        return replace(given, **fields) if fields else given


def _check_known(path: str, field: str, kind: type[Config]) -> None:
    if field not in field_table(kind):
        raise ConfigError(f"Transfer.changes: {no_field(kind, field)}")

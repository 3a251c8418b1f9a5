"""Transfer: a ticket trained on something else than what it was found on."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from lth_ray.config.base import ConfigError, field_table, mapping, nearest, one_of, option
from lth_ray.config.branches.base import Branch
from lth_ray.config.tasks.base import TaskConfig


@dataclass(frozen=True)
class Transfer(Branch):
    """The ticket trained on other data, a whole training from step 0 (Morcos et al. 2019; Ash & Adams 2019).

    changes: fields of the study's Data (or other task), such as {"name": "fashion_mnist"} or {"train_images":
        None}.
    start: "rewound" weights, or the "trained" ones (warm start). An output layer of another size is newly
        drawn.
    """

    of_dense: ClassVar[bool] = True

    changes: Mapping[str, Any] = option(check=mapping())
    _: KW_ONLY
    start: str = option("rewound", check=one_of("rewound", "trained"))

    def data(self, given: TaskConfig) -> TaskConfig:
        known = field_table(type(given))
        for name in self.changes.keys() - known.keys():
            kind = type(given).__name__
            raise ConfigError(f"Transfer.changes: {kind} has no field {name!r}: {nearest(name, known)}")
        return replace(given, **self.changes)

"""A wrong field's error names the field that people mean by it: at construction, by --set and by --sweep."""

from typing import Any

import pytest

from lth_ray import Data, Launch, Model, Prune, Rewind, Scoring, Study, Train, steps
from lth_ray.config import Config, ConfigError, field_table, launched
from lth_ray.config.suggesting import SYNONYMS, meant

STUDY = Study(
    "asked", model=Model("lenet_8"), data=Data("digits", batch_size=60, validation=0), train=Train(steps(5), lr=0.1),
    prune=Prune(fraction=0.2, rounds=2), rewind=[steps(0)], seeds=[0],
)  # fmt: skip


@pytest.mark.parametrize(
    ("cls", "name", "said"),
    [
        (Train, "learning_rate", "Train has no field 'learning_rate': did you mean lr?"),
        (Train, "Learning-Rate", "did you mean lr?"),
        (Data, "batchsize", "Data has no field 'batchsize': did you mean batch_size?"),
        (Study, "num_seeds", "Study has no field 'num_seeds': did you mean seeds?"),
        (Study, "seed", "did you mean seeds?"),
        (Study, "learning_rate", "did you mean Train.lr?"),
        (Study, "lr", "did you mean Train.lr?"),
        (Study, "weights", "did you mean Model.weights?"),
        (Train, "fraction", "did you mean Prune.fraction?"),
        (Prune, "sparsity", "did you mean remaining?"),
        (Train, "momentun", "did you mean momentum?"),
        (Rewind, "zzz", "Rewind has no field 'zzz': valid: "),
    ],
)
def test_a_constructor_s(cls: type[Config], name: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        cls(**{name: 1})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"set": ["train.learning_rate=0.1"]}, "'train.learning_rate': Train has no field 'learning_rate': did"),
        ({"set": ["lr=0.1"]}, "'lr': Study has no field 'lr': did you mean train.lr?"),
        ({"set": ["learning_rate=0.1"]}, "did you mean train.lr?"),
        ({"set": ["model.lr=0.1"]}, "did you mean train.lr?"),
        ({"set": ["batchsize=6"]}, "did you mean data.batch_size?"),
        ({"set": ["prune.scoring.per_clas=6"]}, "did you mean per_class?"),
        ({"set": ["num_seeds=[1]"]}, "did you mean seeds?"),
    ],
)  # fmt: skip
def test_a_flag_s(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        launched(STUDY, Launch(**flags))
    assert said in str(error.value)


def test_a_sweep_s() -> None:
    from lth_ray.config import variants

    with pytest.raises(ConfigError, match=r"did you mean train\.lr\?"):
        variants(launched(STUDY, Launch(sweep=["learning_rate=0.1,0.2"])))


def test_every_synonym_means_a_field() -> None:
    fields = {name for cls in (Study, Model, Data, Train, Prune, Scoring, Rewind) for name in field_table(cls)}
    assert set(SYNONYMS.values()) - fields == set()


def test_what_is_not_known_gets_the_nearest() -> None:
    assert meant("momentun", ["momentum", "lr"]) == "did you mean momentum?"
    assert meant("zzz", ["momentum", "lr"], ["train.lr"]) == "valid: lr, momentum"

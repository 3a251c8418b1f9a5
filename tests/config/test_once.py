import pickle
from dataclasses import replace

from lth_ray.config import Model, Prune
from lth_ray.config.once import once_each
from lth_ray.lottery.mask_rules import pruning_rule


def test_it_is_done_once_of_each_object() -> None:
    asked = []

    @once_each
    def name_of(model: Model) -> str:
        asked.append(model)
        return str(model.name)

    first, second = Model("lenet_8_8"), Model("lenet_8_8")
    assert [name_of(first), name_of(first), name_of(second)] == ["lenet_8_8"] * 3
    assert len(asked) == 2
    assert first == second  # what is kept is no field
    assert pickle.loads(pickle.dumps(first)) == first
    assert name_of(replace(first, name="lenet_9_9")) == "lenet_9_9"  # nor handed on


def test_lineages_of_one_rule_share_it() -> None:
    prune = Prune(fraction=0.2, rounds=3)
    assert pruning_rule(prune) is pruning_rule(prune)
    assert pruning_rule(replace(prune, fraction=0.3)) == {**pruning_rule(prune), "fraction": 0.3}

"""The assumptions by which a study is sized: published sizes of sets not at hand, and seeds that share nothing."""

from collections.abc import Sequence

from lth_ray.config import ConfigError, CrossedMask, Study, TaskConfig
from lth_ray.data import Identity
from lth_ray.lottery.branch_tree import other_data
from lth_ray.tasks import task_of

NO_DIGEST = "0" * 64
KNOWN = {  # by name; of wikitext103 the number of byte pairs is a guess
    "imagenet": Identity(NO_DIGEST, 1_281_167, 0, 50_000, (3, 224, 224), 1000),
    "parquet:tiny_imagenet": Identity(NO_DIGEST, 100_000, 0, 10_000, (3, 64, 64), 200),
    "tiny_imagenet": Identity(NO_DIGEST, 100_000, 0, 10_000, (3, 64, 64), 200),
    "places365": Identity(NO_DIGEST, 1_803_460, 0, 36_500, (3, 224, 224), 365),
    "svhn": Identity(NO_DIGEST, 73_257, 0, 26_032, (3, 32, 32), 10),
    "cifar100": Identity(NO_DIGEST, 50_000, 0, 10_000, (3, 32, 32), 100),
    "wikitext2": Identity(NO_DIGEST, 2_088_628 // 50, 217_646, 245_569, (50,), 33_278, "int64"),
    "wikitext103": Identity(NO_DIGEST, 120_000_000 // 256, 250_000, 280_000, (256,), 16_000, "int64"),
    "wmt14": Identity(NO_DIGEST, 4_500_000, 3000, 3003, (2, 128), 37_000, "int64", steps_per_epoch=6000),
    "wmt16": Identity(NO_DIGEST, 4_000_000, 3000, 3003, (2, 52), 32_000, "int64", steps_per_epoch=3000),
}


def sizes(study: Study, data_root: str | None) -> tuple[dict[TaskConfig, Identity] | None, list[str]]:
    """Return (what planning is to know of the study's data, the names of the sets of which that is assumed).

    None where all are at hand. Raise ConfigError for a set that is neither there nor known.
    """
    found, assumed = {}, []
    for data in (study.data, *other_data(study.branches, study.data)):
        try:
            found[data] = task_of(data).identify(data_root)
        except ConfigError:
            if data.called not in KNOWN:
                raise
            found[data] = KNOWN[data.called]
            assumed.append(data.called)
    return (found if assumed else None), assumed


def apart(study: Study) -> tuple[Sequence[int], int]:
    """Return the seeds by whose plan a study's cost is known, and how many times that plan is: those of one seed, as
    seeds share nothing, unless they are crossed.
    """
    is_crossed = any(isinstance(branch, CrossedMask) for branch in study.branches)
    return (study.seeds, 1) if is_crossed else (study.seeds[:1], len(study.seeds))

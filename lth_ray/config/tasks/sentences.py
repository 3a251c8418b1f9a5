"""Labelled sentences, declared: classification or regression of one sentence or of two."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace

from lth_ray.config.base import many, maybe, one_of, option, text, whole
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.images import SCORES, check_variance
from lth_ray.config.tasks.metric import Metric

LONGEST = 65_536  # tokens of an example
COLUMN = text("give a column's name")


def _columns(value: object) -> tuple[str, ...]:
    names: tuple[str, ...] = many(COLUMN, "give one column, or two", at_least=1, distinct=True)(value)
    if len(names) > 2:
        raise ValueError("give one column, or two")
    return names


@dataclass(frozen=True)
class Sentences(TaskConfig):
    """Sentences, or pairs of them, and what to predict of each: classification, or regression by least squares.

    The network is called with int32 [B, 2, length]: tokens, and beside each of them 0 for padding, 1 for the first
    sentence, 2 for the second. It is given `input_shape` = (2, length), `num_classes` (1 for a regression) and
    `vocabulary`, the number of the tokenizer's tokens. `Model("hf:PATH")` takes it as it is. The tokens and targets are
    part of the key, and so neither the place of files nor that of the tokenizer is.

    name: "polarity" (Pang & Lee 2005: rt-polarity.neg and rt-polarity.pos, in --data-root or in its folder
        sentence_polarity), csv:PATH, tsv:PATH (GLUE's form, without quotation marks) or parquet:PATH. PATH is a file,
        of which `test` sentences are held out, or a folder with one to train on, train.csv, and one to test on,
        test.csv (of Parquet as many as there are, train*.parquet). A relative PATH is one inside --data-root, or the
        working directory.
    tokenizer: a Hugging Face folder, such as that of Model("hf:PATH"): its tokenizer is taken. Needs the extra `text`.
    length: tokens of an example with the tokenizer's own marks: longer ones are cut, of two sentences the longer one
        first, and shorter ones padded.
    columns: those with the sentence, or with the two sentences.
    target: the column to predict. Classes are its values in rising order.
    test: examples held out to test on where PATH is a file, drawn by `split_seed` as those of `validation` are.
    tested_on: the name of the part to test on where PATH is a folder, such as "validation" where the labels of GLUE's
        test set are not public.
    score: "accuracy", by cross entropy; "r2" or "rmse", by least squares, in the target's own units.
    split_seed: draws the examples that are held out, for all lineages.
    """

    name: str = option(check=text("give a data set's name"))
    _: KW_ONLY
    tokenizer: str = option(check=text("give the path of a Hugging Face folder"), means=False)
    length: int = option(check=whole(3, LONGEST))
    columns: Sequence[str] = option(("sentence",), check=_columns, means=False)
    target: str = option("label", check=COLUMN, means=False)
    test: int | None = option(None, check=maybe(whole(1)))
    tested_on: str = option("test", check=text("give the name of a part"), means=False)
    score: str = option("accuracy", check=one_of(*SCORES))
    split_seed: int = option(0, check=whole(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_variance("Sentences", self.score, validation=self.validation, test=self.test)

    def located(self, find: Callable[[str, str], str]) -> "Sentences":
        return replace(self, tokenizer=find(self.tokenizer, "Sentences.tokenizer"))

    @property
    def metric(self) -> Metric:
        return SCORES[self.score]

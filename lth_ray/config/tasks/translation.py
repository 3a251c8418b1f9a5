"""Translation, declared: sentences in two languages, batches of tokens, and how outputs are searched for and judged."""

from dataclasses import KW_ONLY, dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from lth_ray.config.base import ConfigError, maybe, number, option, text, whole
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.metric import Metric

END, PAD, BEGIN = range(3)  # the numbers of the tokens that no text gives
BLEU = Metric("bleu", "higher", 0.0, 100.0, decimals=2, margin=0.5, words="BLEU", comparative="of higher BLEU")
FEWEST = 256 + 3  # every byte is a token, beside these


def _language(value: object) -> str:
    name: str = text("give the ending of a language's files, such as 'en'")(value)
    if not name or "/" in name or name.startswith("."):
        raise ValueError("give the ending of a language's files, such as 'en'")
    return name


@dataclass(frozen=True)
class Translation(TaskConfig):
    """Pairs of sentences in two languages: translating the one into the other, judged by BLEU.

    Both languages share one byte-pair encoding, made from the sentences to train on. The network is given `input_shape`
    = (2, max_length) and `num_classes` = the tokens that there are, and is called with int64 [B, 2, L]: of each pair
    the source, and the target behind a token that begins it. It returns logits [B, L, tokens] for the target's tokens
    and the one that ends it. The training loss is the mean over the target's tokens of the global batch.

    Sentences of like length are batched together. In the place of an example, which `batch_size` counts, stands a
    *block* of them, of one length in tokens: a global batch is `batch_size` blocks, of which workers take whole ones
    (`Train(batch_norm_group=1)`), and an epoch goes over every pair once.

    name: multi30k, wmt14 or wmt16, folders of that name in --data-root; or text:PATH, a folder of one's own, inside
        --data-root, or the working directory, where PATH is relative. A folder has train.LANGUAGE, test.LANGUAGE and,
        for `validation`, valid.LANGUAGE, one sentence a line, each plain, .txt, .gz or .txt.gz; that of a named set
        calls them as the set does (train, val and test_2016_flickr; train, newstest2013 and newstest2014). What is in
        the files, and not their place, is part of the key.
    source, target: the languages, as the files' names end.
    vocabulary: tokens of the encoding: bytes, merges and the three that begin, end and fill up sentences. A small text
        may have fewer.
    tokens: of a block on each side, places that are filled up included.
    max_length: train on pairs whose sides have at most so many tokens, the ends included; None for all. Of validation
        and test sets none is left out.
    bucket: sides' lengths are rounded up to multiples of this, and pairs of one longer side batched together.
    validation: so many pairs of the set's validation part, its first ones; 0 for none.
    evaluation_pairs: measure only the first so many pairs of the validation and of the test set; None for all.
    beam: hypotheses that the search for a translation keeps; 1 is greedy.
    length_penalty, coverage_penalty: the exponent of a translation's length that its log-probability is divided by, and
        the weight of the attention that its source's tokens lack (Wu et al. 2016, section 7).
    """

    name: str = option(check=text("give a set's name"))
    _: KW_ONLY
    source: str = option("en", check=_language)
    target: str = option("de", check=_language)
    vocabulary: int = option(check=whole(FEWEST, 1_000_000))
    tokens: int = option(check=whole(1))
    max_length: int | None = option(None, check=maybe(whole(2)))
    bucket: int = option(4, check=whole(1))
    evaluation_pairs: int | None = option(None, check=maybe(whole(1)))
    beam: int = option(4, check=whole(1, 1_000))
    length_penalty: float = option(0.6, check=number(0))
    coverage_penalty: float = option(0.0, check=number(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source == self.target:
            raise ConfigError(f"Translation.target = {self.target!r}: that is the source's language; give another")
        if self.max_length is not None and self.tokens < self.max_length:
            raise ConfigError(
                f"Translation.tokens = {self.tokens}: a block holds no sentence of max_length = {self.max_length}; "
                "give at least as many"
            )
        if self.beam == 1 and self.coverage_penalty:
            raise ConfigError(
                f"Translation.coverage_penalty = {self.coverage_penalty}: it ranks hypotheses, of which beam = 1 has "
                "one; leave it out"
            )

    @property
    def metric(self) -> Metric:
        return replace(BLEU, signature=bleu_signature())


def bleu_signature() -> str:
    """Return how sacrebleu says that its BLEU was computed, with its version."""
    try:
        found = version("sacrebleu")
    except PackageNotFoundError:  # which whoever reads the sentences says
        found = "none"
    return f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{found}"

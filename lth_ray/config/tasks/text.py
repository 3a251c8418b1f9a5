"""Text to be read and foretold, declared: language modelling."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace

from lth_ray.config.base import ConfigError, maybe, one_of, option, text, whole
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.metric import PERPLEXITY, Metric

LEVELS = ("word", "byte", "bpe", "hf")
MADE = LEVELS[:3]  # whose tokens are made of the text, or need no making


@dataclass(frozen=True)
class Text(TaskConfig):
    """A text, each of whose tokens is to be foretold from those before it: language modelling.

    The network is given `input_shape` = (window,) and, as `num_classes`, the number of tokens in the vocabulary; it
    makes of tokens int64 [B, window] logits [B, window, num_classes]. Its loss is the log-perplexity, in nats. What is
    in the text, and not its place, is part of the key.

    name: wikitext2, wikitext103; text:PATH, a folder with train.txt, test.txt and perhaps valid.txt (or .txt.gz);
        parquet:PATH, in the Hugging Face layout; or packed:PATH, which `lth-ray data pack` has made of one of them. A
        relative PATH is one inside --data-root, or the working directory.
    batch_size: windows in a global batch, whatever the number of workers.
    window: tokens that a window holds, through which a step's gradients go back.
    level: the tokens: "word", by white space, a line's end being one as well; "byte"; or "bpe", pieces of words by
        byte-pair encoding; or "hf", those of `tokenizer`.
    tokenizer: a Hugging Face folder, such as that of Model("hf:PATH"): its tokenizer is taken, of each line by itself.
        Its numbering is part of the key, and its place is not. Needs the extra `text`.
    vocabulary: the most tokens there are, for "word" and "bpe": words by their number in the text to train on, the
        rest being `<unk>`; merged pieces learned from it. None for all words.
    min_count: words that the text to train on has less often than this are `<unk>`.
    order: "contiguous", the windows of a place in the batch follow each other in the text, around which an epoch goes
        once from a token drawn anew by the order's seed, and what the network carries on passes from one to the next,
        without its gradient (truncated back-propagation through time), also where it is measured; or "shuffled",
        windows in an order that is drawn anew for each epoch, and nothing is carried.
    validation: tokens of the validation part that are measured, from its beginning; None for all there are, 0 for none.
    test: tokens of the test part that are measured; None for all.
    column: of Parquet files, the one that holds the text.
    """

    name: str = option(check=text("give a text's name"))
    _: KW_ONLY
    window: int = option(check=whole(1, 1_000_000))
    level: str = option("word", check=one_of(*LEVELS))
    vocabulary: int | None = option(None, check=maybe(whole(3, 10_000_000)))
    tokenizer: str | None = option(None, check=maybe(text("give the path of a Hugging Face folder")), means=False)
    min_count: int = option(1, check=whole(1))
    order: str = option("contiguous", check=one_of("contiguous", "shuffled"))
    validation: int | None = option(None, check=maybe(whole(0)))  # type: ignore[assignment]
    test: int | None = option(None, check=maybe(whole(1)))
    column: str = option("text", check=text("give a column's name"), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level == "bpe" and self.vocabulary is None:
            raise ConfigError("Text.vocabulary = None: give the number of tokens for byte-pair encoding, such as 8000")
        if (self.level == "hf") != (self.tokenizer is not None):
            raise ConfigError(
                f"Text.level = {self.level!r}, Text.tokenizer = {self.tokenizer!r}: level='hf' takes the tokenizer of "
                "a folder, and no other level does; give both, or neither"
            )
        if self.level == "hf" and self.vocabulary is not None:
            raise ConfigError(f"Text.vocabulary = {self.vocabulary}: the tokenizer has tokens of its own; leave it out")
        if self.level == "byte" and self.vocabulary is not None:
            raise ConfigError(f"Text.vocabulary = {self.vocabulary}: of bytes there are 256; leave it out")
        if self.level != "word" and self.min_count > 1:
            raise ConfigError(
                f"Text.min_count = {self.min_count}: at the level {self.level!r} there are no rare words; leave it out"
            )

    def located(self, find: Callable[[str, str], str]) -> "Text":
        return self if self.tokenizer is None else replace(self, tokenizer=find(self.tokenizer, "Text.tokenizer"))

    @property
    def metric(self) -> Metric:
        return PERPLEXITY

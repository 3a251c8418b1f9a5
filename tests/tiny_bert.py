"""A tiny BERT in a folder as save_pretrained writes it, with a tokenizer of few words, and sentences for both."""

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ["a", "the", "film", "plot", "actor", "is", "was", "not", "very", "and", "but"]
GOOD, BAD = ("good", "great", "fine"), ("bad", "dull", "poor")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *GOOD, *BAD]
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24,
    "max_position_embeddings": 16, "vocab_size": 24,
}  # fmt: skip


def save_bert(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write an encoder without a head, as pretrained ones are published."""
    import transformers

    config = transformers.BertConfig(**{**SIZES, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.BertModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_gpt2(folder: Path, tokens: int) -> Path:
    import transformers

    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 16}
    config = transformers.GPT2Config(**sizes, vocab_size=tokens, bos_token_id=0, eos_token_id=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, words: list[str] = VOCABULARY) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return folder


def save_sentences(file: Path, n: int = 120, separator: str = ",") -> Path:
    """Write n sentences, half of them good and half bad, which one word of each tells."""
    rows = [separator.join(["label", "sentence", "other"])]
    for i in range(n):
        word = (BAD, GOOD)[i % 2][i // 2 % 3]
        words = ["the", WORDS[2 + i % 3], ("is", "was")[i // 3 % 2], *["very"] * (i % 4), word]
        rows.append(separator.join([str(i % 2), " ".join(words), "and" if i % 5 else "but"]))
    file.write_text("\n".join(rows) + "\n")
    return file

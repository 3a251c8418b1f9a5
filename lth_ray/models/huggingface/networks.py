"""Networks of a folder's config.json, as this library calls one: with a tensor of tokens, for a tensor of logits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError, Folder
from lth_ray.config.blame import in_one_line
from lth_ray.models.huggingface.folder import architecture, read_config
from lth_ray.models.huggingface.library import transformers
from lth_ray.models.huggingface.tokens import FIRST

# kinds of encoders that take a mask of four axes as it is: with it they give what they give with one of two
ENCODERS = ("albert", "bert", "camembert", "distilbert", "electra", "ernie", "mpnet", "roberta", "xlm-roberta")
LANGUAGE_MODELS = ("gpt2",)  # that take a mask of four axes as well
BEHIND_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta")  # whose first position is that behind pad_token_id's


def build_from_folder(folder: Folder, offered: Mapping[str, Any], options: Mapping[str, Any]) -> nn.Module:
    """Return the network of a folder's config.json with newly drawn weights, by torch's global generator.

    offered: num_classes, input_shape and vocabulary of the data.
    options: fields of config.json, in the place of its own.
    Raises ConfigError for a kind of network that is not known here, and for data that it cannot take.
    """
    field = f"Model.name = '{folder}'"
    library, path = transformers(field), Path(folder.path)
    said = read_config(path, field)
    if folder.architecture is not None and architecture(said) != folder.architecture:
        raise ConfigError(f"{field}: {path / 'config.json'} is another than when the study was planned; run it again")
    for option in options:
        if option not in said and not hasattr(_config(library, said, {}, field), option):
            raise ConfigError(f"Model.options[{option!r}]: config.json of {folder} has no such field; leave it out")
    config = _config(library, said, {**options, "num_labels": offered["num_classes"]}, field)
    if said["model_type"] in ENCODERS:
        return _encoder(library, config, offered, field)
    if said["model_type"] in LANGUAGE_MODELS:
        return _language_model(library, config, offered, field)
    raise ConfigError(
        f"{field}: its model_type {said['model_type']!r} is not known here; valid: "
        f"{', '.join((*ENCODERS, *LANGUAGE_MODELS))}. Another can be given as a function that returns an nn.Module"
    )


def _config(library: Any, said: Mapping[str, Any], options: Mapping[str, Any], field: str) -> Any:
    try:
        return library.AutoConfig.for_model(**{**said, **options})
    except Exception as error:  # of many kinds
        raise ConfigError(f"{field}: transformers refuses its config.json: {in_one_line(error)}; mend it") from error


def _encoder(library: Any, config: Any, offered: Mapping[str, Any], field: str) -> nn.Module:
    """Return a classifier of sentences, int32 [B, 2, length] -> logits [B, num_classes]."""
    shape = tuple(offered["input_shape"] or ())
    if len(shape) != 2 or shape[0] != 2:
        raise ConfigError(
            f"{field}: encoders are called with tokens, and the data's inputs have shape {shape}; give Sentences(...)"
        )
    before = config.pad_token_id + 1 if config.model_type in BEHIND_PADDING else 0
    longest = config.max_position_embeddings - before
    if shape[1] > longest:
        raise ConfigError(f"Sentences.length = {shape[1]}: {field} takes {longest} tokens at most; give fewer")
    made: nn.Module = library.AutoModelForSequenceClassification.from_config(config)
    _check_vocabulary(made, offered.get("vocabulary"), field)
    made.register_forward_pre_hook(_as_sentences, with_kwargs=True)
    made.register_forward_hook(_logits)
    return made


def _language_model(library: Any, config: Any, offered: Mapping[str, Any], field: str) -> nn.Module:
    """Return what foretells tokens, int64 [B, window] -> logits [B, window, num_classes]."""
    shape, tokens = tuple(offered["input_shape"] or ()), offered["num_classes"]
    if len(shape) != 1:
        raise ConfigError(f"{field}: it foretells text, and the data's inputs have shape {shape}; give Text(...)")
    if shape[0] > config.max_position_embeddings:
        raise ConfigError(
            f"Text.window = {shape[0]}: {field} takes {config.max_position_embeddings} tokens at most; give fewer"
        )
    if tokens != config.vocab_size:
        raise ConfigError(
            f"{field}: it knows {config.vocab_size:,} tokens, and the text has {tokens:,}, which do not fit; "
            "give the text the tokenizer of its folder: Text(level='hf', tokenizer=PATH)"
        )
    made: nn.Module = library.AutoModelForCausalLM.from_config(config)
    made.register_forward_pre_hook(_as_text, with_kwargs=True)
    made.register_forward_hook(_logits)
    return made


def _check_vocabulary(network: Any, vocabulary: int | None, field: str) -> None:
    known = network.get_input_embeddings().num_embeddings
    if vocabulary is not None and vocabulary > known:
        raise ConfigError(
            f"{field}: it knows {known:,} tokens, and the tokenizer of the data has {vocabulary:,}, which do not fit;"
            " give the tokenizer of its own folder"
        )


def _as_sentences(network: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    """Turn this library's tokens into what transformers takes: of masks one of four axes, which it takes as it is."""
    (tokens,) = args
    ids, parts = tokens.long().unbind(1)
    kept = (parts >= FIRST)[:, None, None, :]
    dtype = network.dtype
    mask = torch.zeros_like(kept, dtype=dtype).masked_fill(~kept, torch.finfo(dtype).min)
    given = {"input_ids": ids, "attention_mask": mask}
    if getattr(network.config, "type_vocab_size", 0) > 1:
        given["token_type_ids"] = (parts - FIRST).clamp(min=0)
    return (), given


def _as_text(network: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    """Turn tokens into what transformers takes: with the mask by which each sees those before it alone."""
    (tokens,) = args
    window, dtype = tokens.shape[1], network.dtype
    least = torch.full((window, window), torch.finfo(dtype).min, dtype=dtype, device=tokens.device)
    return (), {"input_ids": tokens.long(), "attention_mask": least.triu(1)[None, None], "use_cache": False}


def _logits(network: nn.Module, args: Any, outputs: Any) -> Tensor:
    found: Tensor = outputs.logits
    return found

"""JSON files that others wrote: every setting is known by its name, or refused.

A setting that is read over may change what the model computes. So each reader has three lists: what
it understands, and of which kind the value is; what it can compute for some values only; and what
changes no output. Anything else is named and refused. Nothing here needs PyTorch.
"""

import json
import math
import reprlib

# --- Kinds of values: in words, and how to tell ---------------------------------------------------


def is_whole_number(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value):
    return is_whole_number(value) or isinstance(value, float) and math.isfinite(value)


def is_id(value):
    return is_whole_number(value) or (
        isinstance(value, list) and all(is_whole_number(item) for item in value)
    )


COUNT = ("a whole number of at least 1", lambda value: is_whole_number(value) and value >= 1)
NUMBER = ("a number", is_number)
POSITIVE = ("a number above 0", lambda value: is_number(value) and value > 0)
SHARE = ("a number from 0 to below 1", lambda value: is_number(value) and 0 <= value < 1)
YES_OR_NO = ("true or false", lambda value: isinstance(value, bool))
IDS = ("the id of a token", lambda value: value is None or is_id(value))
TEXT = ("a text", lambda value: isinstance(value, str))


def or_null(kind):
    words, accepts = kind
    return f"{words}, or null", lambda value: value is None or accepts(value)


# --- What every Hugging Face config.json may say ---------------------------------------------------

# Settings that are read, and of which kind they are.
COMMON_KINDS = {
    "tie_word_embeddings": YES_OR_NO,
    "initializer_range": POSITIVE,
    "embedding_std": or_null(POSITIVE),
    "bos_token_id": IDS,
    "eos_token_id": IDS,
}

# With another value than these the model would compute something else.
COMMON_FIXED = {
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": ({}, None),
    "tie_encoder_decoder": (False,),
    "quantization_config": (None,),
}

# What changes no logits: names, notes, precision on disk (we read all of them as fp32), tokens that
# a tokenizer knows better, heads for other tasks, and how `transformers` runs or generates.
COMMON_HARMLESS = set(
    """
    _name_or_path _commit_hash architectures model_type transformers_version transformers.js_config
    torch_dtype dtype use_bfloat16 torchscript return_dict output_attentions output_hidden_states
    _attn_implementation _attn_implementation_autoset attn_implementation use_cache
    gradient_checkpointing chunk_size_feed_forward keys_to_ignore_at_inference is_decoder
    pad_token_id sep_token_id decoder_start_token_id tokenizer_class prefix
    task_specific_params finetuning_task problem_type num_labels _num_labels id2label label2id
    summary_type summary_use_proj summary_activation summary_first_dropout
    summary_proj_to_labels
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty
    temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores
    return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    """.split()
)


# --- Reading --------------------------------------------------------------------------------------


def load_settings(path):
    """The settings in a JSON file. Raises ValueError in one line unless it holds {name: value},
    each name once."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=no_name_twice)
    except RecursionError:
        raise ValueError(f"{path} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is damaged: it holds no settings")
    return settings


def no_name_twice(pairs):
    """The dict of (name, value) pairs; which of two values counts would be a guess."""
    settings = dict(pairs)
    if len(settings) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it says {shown(twice)} twice")
    return settings


def refuse_other_settings(settings, source, model, kinds, fixed, harmless, required=()):
    """Raise ValueError, naming the first setting that is missing, of the wrong kind, or asks for
    something that `model`, in words, does not compute.

    `kinds`: {name: (words, function that accepts a value)}; `fixed`: {name: values that are
    computed}; `harmless`: names whose values change no output.
    """
    for name in required:
        if name not in settings:
            raise ValueError(f"{source} is damaged: it does not say {name!r}")
    for name, value in settings.items():
        if name in kinds:
            words, accepts = kinds[name]
            if not accepts(value):
                raise ValueError(f"{source} says {name} = {shown(value)}, expected {words}")
        elif name in fixed:
            if not any(is_same(value, allowed) for allowed in fixed[name]):
                raise ValueError(
                    f"{source} says {name} = {shown(value)}; {model} computes {fixed[name][0]!r} only"
                )
        elif name not in harmless:
            raise ValueError(
                f"{source} says {shown(name)} = {shown(value)}, a setting that {model} does not know; "
                "it may change what is computed: take it out only if you know that it does not"
            )


def refuse_other_type(settings, wanted, source):
    """Raise ValueError for the settings of another kind of model."""
    found = settings.get("model_type")
    if found != wanted:
        raise ValueError(
            f"{source} is that of a model of type {shown(found)}; this class reads {wanted!r}"
        )


def build_config(kind, fields, source):
    """A `GPTConfig` or `LlamaConfig` of a file's numbers; one that makes no model is the file's
    fault."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def is_same(value, other):
    """Equal, and true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other


def shown(value):
    """A value of somebody else's file in a message: in one line, and never long."""
    return reprlib.repr(value)


# --- Reading and writing what all of them say ------------------------------------------------------


def common_fields(settings, sizes, tied):
    """The fields of a configuration that every config.json tells. `sizes`: {its name: our field};
    `tied`: whether the head is the embedding where the file does not say.
    """
    return {ours: settings[theirs] for theirs, ours in sizes.items()} | {
        "tie_weights": settings.get("tie_word_embeddings", tied),
        "init_std": settings.get("initializer_range", 0.02),
        "embedding_std": settings.get("embedding_std"),
    }


def common_settings(config, sizes, tokenizer):
    """What every config.json tells of a configuration, the other way round."""
    end_of_text = None if tokenizer is None else tokenizer.end_of_text
    return {theirs: getattr(config, ours) for theirs, ours in sizes.items()} | {
        "tie_word_embeddings": config.tie_weights,
        "initializer_range": config.init_std,
        "embedding_std": config.embedding_std,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
    }

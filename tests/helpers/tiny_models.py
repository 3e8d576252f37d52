"""Models with two layers of random weights and their tokenizers, built in a moment."""

SHAPES: dict[str, dict[str, object]] = {
    "Bert": {},
    "Roberta": {},
    "Electra": {},
    "MPNet": {},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBert": {
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "Llama": {"num_key_value_heads": 1},
    "Mistral": {"num_key_value_heads": 1, "sliding_window": 8},
}
"""By architecture, what its configuration has besides the usual sizes."""

OTHER_SHAPES: dict[str, dict[str, object]] = {
    "DistilBert": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
        "max_position_embeddings": 64,
    },
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "Bart": {  # its head reads the only position of each text that has the token 3
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 64,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "decoder_start_token_id": 3,
    },
}
"""Architectures whose configuration has other names for the sizes."""

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def save_model(name, words, folder):
    """Save a model of the architecture ``name`` and a tokenizer of ``words`` to ``folder``."""
    import torch
    import transformers

    n_tokens = save_word_tokenizer(words, folder)
    if name in OTHER_SHAPES:
        shape = {"vocab_size": n_tokens, **OTHER_SHAPES[name]}
    else:
        shape = {
            "vocab_size": n_tokens,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 66 if name == "Roberta" else 64,
            **SHAPES[name],
        }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(**shape, pad_token_id=0)
        getattr(transformers, f"{name}Model")(config).save_pretrained(folder)


def save_word_tokenizer(words, folder, limit=None):
    """Save a tokenizer of whole words, with [CLS] and [SEP] around a text; returns its size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL_TOKENS, *sorted(set(words))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        **({"model_max_length": limit} if limit else {}),
    ).save_pretrained(folder)
    return len(vocabulary)


def save_llm(words, folder):
    """Save a Llama with a byte-level BPE tokenizer and a context of 1024 tokens to ``folder``."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    labels = " books books clothing electronics household" * 50
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(words), labels], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=600,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            initializer_range=0.5,
        )
        LlamaForCausalLM(config).save_pretrained(folder)


def save_cross_encoder(words, folder, outputs=("LABEL_0",), name="Bert", limit=64):
    """Save a cross-encoder with random weights whose outputs have these names to ``folder``."""
    import torch
    import transformers

    n_tokens = save_word_tokenizer(words, folder, limit=limit)
    shape = OTHER_SHAPES.get(
        name,
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": limit,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(
            **shape,
            vocab_size=n_tokens,
            pad_token_id=0,
            initializer_range=0.2,  # so that texts get different scores
            id2label=dict(enumerate(outputs)),
            label2id={output: index for index, output in enumerate(outputs)},
        )
        getattr(transformers, f"{name}ForSequenceClassification")(config).save_pretrained(folder)

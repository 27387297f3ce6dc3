"""Tiny random configurations of Hugging Face's models; imports transformers when called."""

from typing import Any

from torch import nn


def gpt2(vocabulary: int, length: int, dim: int, heads: int, depth: int, **more: Any) -> nn.Module:
    import transformers

    dropout = more.pop("dropout", 0.0)
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_positions=length,
        n_embd=dim,
        n_layer=depth,
        n_head=heads,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
        use_cache=False,
        **more,
    )
    return transformers.GPT2LMHeadModel(config)


def bert(vocabulary: int, length: int, dim: int, heads: int, depth: int, **more: Any) -> nn.Module:
    import transformers

    dropout = more.pop("dropout", 0.0)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=2 * dim,
        max_position_embeddings=length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,
        **more,
    )
    return transformers.BertForSequenceClassification(config)


def llama(
    vocabulary: int, dim: int, heads: int, kv_heads: int, depth: int, **more: Any
) -> nn.Module:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=2 * dim,
        initializer_range=0.2,
        use_cache=False,
        **more,
    )
    return transformers.LlamaForCausalLM(config)


def vit(
    size: int,
    patch: int,
    dim: int,
    heads: int,
    depth: int,
    classes: int,
    width: int | None = None,
    dropout: float = 0.1,
) -> nn.Module:
    import transformers

    config = transformers.ViTConfig(
        image_size=size,
        patch_size=patch,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=width or 2 * dim,
        num_labels=classes,
        hidden_dropout_prob=dropout,
        initializer_range=0.2,
    )
    return transformers.ViTForImageClassification(config)


def t5(vocabulary: int, dim: int, heads: int) -> nn.Module:
    import transformers

    config = transformers.T5Config(
        vocab_size=vocabulary,
        d_model=dim,
        d_kv=dim // heads,
        d_ff=2 * dim,
        num_layers=1,
        num_heads=heads,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        dropout_rate=0.1,
        initializer_factor=1.0,
        use_cache=False,
    )
    return transformers.T5ForConditionalGeneration(config)

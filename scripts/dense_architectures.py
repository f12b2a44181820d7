"""Tiny models with dense feed-forward layers, for make_architecture_models.py."""

from typing import Any

ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 300.0}
HALF_ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MINISTRAL_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 300.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
EVEN_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 300.0,
    "original_max_position_embeddings": 128,
    "short_factor": [1.0, 1.5, 2.5, 4.0],
    "long_factor": [1.0, 1.5, 2.5, 4.0],
}
"""The same for every length: transformers chooses by the prompt, llama.cpp by the context."""

WINDOWS = ["sliding_attention"] * 3 + ["full_attention"]
GEMMA: dict[str, Any] = {
    "head_dim": 16,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
    "num_hidden_layers": 6,
    "sliding_window": 8,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 64,
    "hidden_size_per_layer_input": 16,
    "final_logit_softcapping": 30.0,
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "apertus": ("Apertus", {"rope_parameters": LLAMA3_ROPE, "head_dim": 8}),
    "arcee": ("Arcee", {"head_dim": 16, "rope_parameters": ROPE}),
    "ernie4_5": ("Ernie4_5", {"head_dim": 16, "rope_parameters": ROPE}),
    "exaone4": (
        "Exaone4",
        {
            "head_dim": 16,
            "sliding_window": 8,
            "sliding_window_pattern": 4,
            "layer_types": WINDOWS,
            "num_hidden_layers": 4,
            "rope_parameters": ROPE,
        },
    ),
    "gemma3n": (
        "Gemma3nText",
        GEMMA
        | {
            "laurel_rank": 8,
            "altup_num_inputs": 4,
            "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0, 0.0, 0.0],
            "intermediate_size": [64] * 6,
        },
    ),
    "gemma4": (
        "Gemma4Text",
        GEMMA
        | {
            "global_head_dim": 32,
            "use_double_wide_mlp": True,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": False,
        },
    ),
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "gptneox": (
        "GPTNeoX",
        {"intermediate_size": 128, "num_key_value_heads": 4, "rope_parameters": HALF_ROPE},
    ),
    "hunyuan-dense": (
        "HunYuanDenseV1",
        {
            "head_dim": 16,
            "max_position_embeddings": 32_768,
            "rope_parameters": {
                "rope_type": "dynamic",
                "rope_theta": 10_000.0,
                "alpha": 50.0,
                "factor": 1.0,
            },
        },
    ),
    "minicpm3": (
        "MiniCPM3",
        {
            "hidden_size": 128,
            "intermediate_size": 32,
            "num_key_value_heads": 4,
            "q_lora_rank": 24,
            "kv_lora_rank": 16,
            "qk_nope_head_dim": 16,
            "qk_rope_head_dim": 8,
            "v_head_dim": 32,
            "scale_emb": 12,
            "scale_depth": 1.4,
            "dim_model_base": 256,
            "rope_parameters": EVEN_ROPE,
            "original_max_position_embeddings": 128,
        },
    ),
    "mistral3": ("Ministral3", {"head_dim": 16, "rope_parameters": MINISTRAL_ROPE}),
    "nemotron": ("Nemotron", {"rope_parameters": HALF_ROPE, "head_dim": 8}),
    "olmo": ("Olmo", {"clip_qkv": 1.5, "rope_parameters": ROPE}),
    "olmo3": (
        "Olmo3",
        {
            "sliding_window": 8,
            "layer_types": WINDOWS,
            "num_hidden_layers": 4,
            "rope_parameters": ROPE,
        },
    ),
    "phi2": (
        "Phi",
        {"num_key_value_heads": 4, "intermediate_size": 128, "rope_parameters": HALF_ROPE},
    ),
    "seed_oss": ("SeedOss", {"head_dim": 16, "attention_bias": True, "rope_parameters": ROPE}),
    "stablelm": ("StableLm", {"use_qkv_bias": True, "rope_parameters": HALF_ROPE}),
    "starcoder": (
        "GPTBigCode",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 64},
    ),
}

"""Tiny models with mixtures of experts, for make_architecture_models.py."""

from typing import Any

EXPERTS: dict[str, Any] = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LOCAL: dict[str, Any] = {
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "intermediate_size": 32,
}
LATENT: dict[str, Any] = {
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
SHARED: dict[str, Any] = {
    "num_hidden_layers": 3,
    "head_dim": 16,
    "n_routed_experts": 5,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.5,
}
DEEPSEEK_YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 0.707,
    "mscale_all_dim": 0.707,
}
GPT_OSS_YARN = {
    "rope_type": "yarn",
    "rope_theta": 150_000.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 300.0}
HALF_ROPE = PLAIN_ROPE | {"partial_rotary_factor": 0.5}
LLAMA4: dict[str, Any] = {
    "head_dim": 16,
    "intermediate_size_mlp": 64,
    "num_experts_per_tok": 1,
    "num_hidden_layers": 4,
    "attention_chunk_size": 8192,
    "use_qk_norm": True,
    "no_rope_layers": [1, 1, 1, 0],
}
GRANITE: dict[str, Any] = {
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.2,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("Mixtral", LOCAL | {"sliding_window": None}),
    "qwen2moe": (
        "Qwen2Moe",
        EXPERTS | {"shared_expert_intermediate_size": 48, "norm_topk_prob": False},
    ),
    "qwen3moe": ("Qwen3Moe", EXPERTS | {"head_dim": 16, "norm_topk_prob": True}),
    "olmoe": (
        "Olmoe",
        {
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "intermediate_size": 32,
            "norm_topk_prob": False,
            "num_key_value_heads": 4,
        },
    ),
    "granitemoe": (
        "GraniteMoe",
        LOCAL | GRANITE,
    ),
    "granitemoe-shared": (
        "GraniteMoeShared",
        LOCAL | GRANITE | {"shared_intermediate_size": 48},
    ),
    "ernie4_5-moe": (
        "Ernie4_5_Moe",
        {
            "moe_num_experts": 4,
            "moe_k": 2,
            "moe_intermediate_size": 32,
            "moe_num_shared_experts": 2,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": 2,
            "moe_layer_interval": 1,
            "num_hidden_layers": 3,
            "rope_parameters": PLAIN_ROPE,
        },
    ),
    "gemma4-moe": (
        "Gemma4Text",
        {
            "head_dim": 16,
            "global_head_dim": 32,
            "hidden_size_per_layer_input": 0,
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 0,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "sliding_window": 8,
            "use_double_wide_mlp": False,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "enable_moe_block": True,
            "num_experts": 4,
            "top_k_experts": 2,
            "moe_intermediate_size": 32,
            "final_logit_softcapping": 30.0,
        },
    ),
    "glm4moelite": (
        "Glm4MoeLite",
        LATENT
        | {"n_group": 1, "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.5},
    ),
    "hunyuan-moe": (
        "HunYuanMoEV1",
        {
            "head_dim": 8,
            "num_experts": 4,
            "moe_topk": [2, 2],
            "num_shared_expert": [1, 1],
            "moe_intermediate_size": [64, 64],
            "tie_word_embeddings": True,
            "rope_parameters": PLAIN_ROPE,
        },
    ),
    "llama4": (
        "Llama4Text",
        LLAMA4
        | {"num_local_experts": 4, "interleave_moe_layer_step": 2, "rope_parameters": PLAIN_ROPE},
    ),
    "llama4-scaled": (
        "Llama4Text",
        LLAMA4
        | {
            "num_local_experts": 16,
            "interleave_moe_layer_step": 1,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10_000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        },
    ),
    "minimax-m2": (
        "MiniMaxM2",
        LOCAL | {"head_dim": 16, "rotary_dim": 8, "rope_parameters": HALF_ROPE},
    ),
    "gpt-oss": (
        "GptOss",
        {
            **LOCAL,
            "head_dim": 16,
            "sliding_window": 8,
            "num_hidden_layers": 3,
            "rope_parameters": GPT_OSS_YARN,
        },
    ),
    "glm4moe": ("Glm4Moe", SHARED | {"use_qk_norm": True, "attention_bias": True}),
    "dots1": ("Dots1", SHARED | {"scoring_func": "sigmoid", "num_key_value_heads": 4}),
    "deepseek2": ("DeepseekV2", LATENT | {"topk_method": "greedy", "routed_scaling_factor": 1.5}),
    "deepseek2-lite-yarn": (
        "DeepseekV2",
        LATENT | {"topk_method": "greedy", "q_lora_rank": None, "rope_parameters": DEEPSEEK_YARN},
    ),
    "deepseek3": (
        "DeepseekV3",
        LATENT
        | {
            "scoring_func": "sigmoid",
            "n_group": 4,
            "topk_group": 2,
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "rope_parameters": DEEPSEEK_YARN,
        },
    ),
}

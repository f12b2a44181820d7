"""Tiny models with other state than keys and values, for make_architecture_models.py."""

from typing import Any

ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 300.0}
QWEN_ROPE = ROPE | {"partial_rotary_factor": 0.5}
IMAGE_ROPE = QWEN_ROPE | {"mrope_section": [2, 1, 1]}
GATED_DELTA: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "layer_types": ["linear_attention", "linear_attention", "full_attention"],
    "num_hidden_layers": 3,
    "full_attention_interval": 3,
    "head_dim": 16,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 48,
}
MAMBA: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_chunk_size": 8,
}
GRANITE_LAYERS = ["mamba", "attention", "mamba"]
GRANITE: dict[str, Any] = MAMBA | {
    "layer_types": GRANITE_LAYERS,
    "num_hidden_layers": 3,
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.2,
    "position_embedding_type": "nope",
}
SHORT_CONVOLUTIONS: dict[str, Any] = {
    "layer_types": ["conv", "full_attention", "conv"],
    "num_hidden_layers": 3,
    "rope_parameters": ROPE,
}
NEMOTRON_H: dict[str, Any] = {
    "num_hidden_layers": 4,
    "head_dim": 16,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "n_groups": 2,
    "ssm_state_size": 16,
    "conv_kernel": 4,
    "chunk_size": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 48,
    "n_shared_experts": 1,
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon-h1": (
        "FalconH1",
        MAMBA
        | {
            "mamba_d_ssm": 64,
            "mamba_n_groups": 2,
            "rope_parameters": ROPE,
            "attention_in_multiplier": 0.8,
            "attention_out_multiplier": 0.9,
            "ssm_in_multiplier": 1.1,
            "ssm_out_multiplier": 0.7,
            "mlp_multipliers": [0.9, 0.8],
            "ssm_multipliers": [0.7, 0.8, 0.9, 1.1, 1.2],
            "key_multiplier": 0.6,
            "lm_head_multiplier": 0.5,
            "embedding_multiplier": 1.5,
            "head_dim": 16,
            "mamba_rms_norm": False,
            "projectors_bias": False,
            "mamba_norm_before_gate": False,
        },
    ),
    "falcon-mamba": (
        "FalconMamba",
        {"state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": 4},
    ),
    "granitehybrid": (
        "GraniteMoeHybrid",
        GRANITE | {"shared_intermediate_size": 64, "num_local_experts": 0},
    ),
    "granitehybrid-moe": (
        "GraniteMoeHybrid",
        GRANITE
        | {
            "shared_intermediate_size": 48,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "intermediate_size": 32,
        },
    ),
    "jamba": (
        "Jamba",
        {
            "num_hidden_layers": 4,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "attn_layer_offset": 1,
            "attn_layer_period": 2,
            "expert_layer_offset": 1,
            "expert_layer_period": 2,
            "mamba_d_state": 16,
            "mamba_d_conv": 4,
            "mamba_expand": 2,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "lfm2": (
        "Lfm2",
        SHORT_CONVOLUTIONS | {"block_auto_adjust_ff_dim": False},
    ),
    "lfm2moe": (
        "Lfm2Moe",
        SHORT_CONVOLUTIONS
        | {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "num_dense_layers": 1,
            "use_expert_bias": True,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
        },
    ),
    "mamba": ("Mamba", {"state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": 4}),
    "mamba2": (
        "Mamba2",
        {
            "state_size": 16,
            "conv_kernel": 4,
            "expand": 2,
            "num_heads": 8,
            "head_dim": 8,
            "n_groups": 2,
            "chunk_size": 8,
        },
    ),
    "nemotron_h": (
        "NemotronH",
        NEMOTRON_H | {"layers_block_type": ["mamba", "attention", "mlp", "mamba"]},
    ),
    "nemotron_h_moe": (
        "NemotronH",
        NEMOTRON_H | {"layers_block_type": ["mamba", "attention", "moe", "mamba"]},
    ),
    "qwen35": ("Qwen3_5Text", GATED_DELTA | {"rope_parameters": IMAGE_ROPE}),
    "qwen35moe": ("Qwen3_5MoeText", GATED_DELTA | EXPERTS | {"rope_parameters": IMAGE_ROPE}),
    "qwen3next": (
        "Qwen3Next",
        GATED_DELTA
        | EXPERTS
        | {
            "rope_parameters": QWEN_ROPE,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": True,
        },
    ),
}

"""Small ops of a layer as single launches: MLX's own kernels, or its compiler's."""

from functools import partial

import mlx.core as mx

from metal_kernels import reference


def rope(
    x: mx.array, positions: mx.array, inv_freq: mx.array, scale: float, interleaved: bool
) -> mx.array:
    """As `metal_kernels.rope.rope`, whose checks have passed."""
    dims = 2 * inv_freq.size
    turned = mx.fast.rope(
        x[:, :, None],
        dims,
        traditional=interleaved,
        base=None,
        scale=1.0,
        offset=positions,
        freqs=1 / inv_freq,
    )[:, :, 0]
    if scale == 1.0:
        return turned
    return mx.concatenate([turned[..., :dims] * scale, turned[..., dims:]], axis=-1)


swiglu = partial(mx.compile, shapeless=True)(reference.swiglu)
geglu = partial(mx.compile, shapeless=True)(reference.geglu)

// Ops on rows of activations; results come back in the first argument's dtype.
#pragma once
#include "mlx/array.h"
#include "mlx/utils.h"

namespace localllm {

namespace mx = mlx::core;

mx::array rms_norm(const mx::array& x, const mx::array& weight, float eps, mx::StreamOrDevice s);
mx::array swiglu(const mx::array& gate, const mx::array& up, mx::StreamOrDevice s);
mx::array geglu(const mx::array& gate, const mx::array& up, mx::StreamOrDevice s);
mx::array rope(const mx::array& x, const mx::array& positions, const mx::array& inv_freq,
               float scale, bool interleaved, mx::StreamOrDevice s);

}  // namespace localllm

// Row kernels that need no packing: one call is one row, or one stretch of values.
#pragma once
#include <cstdint>

namespace localllm {

struct PointwiseKernels {
  void (*rms_norm)(const float* x, const float* weight, float eps, int width, float* y);
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* y);
  void (*geglu)(const float* gate, const float* up, int64_t count, float* y);
  // One head; cos and sin hold `half` values.
  void (*rope)(const float* x, const float* cos, const float* sin, int half, bool interleaved,
               float* y);
  void (*to_half)(const float* x, int64_t count, uint16_t* y);
};

namespace scalar { extern const PointwiseKernels kPointwise; }
namespace avx2 { extern const PointwiseKernels kPointwise; }
namespace avx512 { extern const PointwiseKernels kPointwise; }

}  // namespace localllm

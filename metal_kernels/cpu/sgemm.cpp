// A `cblas_sgemm` that passes calls on. Loaded before MLX and into the global scope, it takes the
// place of the reference BLAS that MLX's Linux wheel is linked with; see metal_kernels/blas.py.
#include <cstdint>

namespace {
// The 64-bit-integer interface of OpenBLAS.
using Sgemm = void (*)(int order, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k,
                       float alpha, const float* a, int64_t lda, const float* b, int64_t ldb,
                       float beta, float* c, int64_t ldc);
Sgemm target = nullptr;
}  // namespace

extern "C" void localllm_set_sgemm(Sgemm sgemm) { target = sgemm; }

extern "C" void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c,
                            int ldc) {
  target(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

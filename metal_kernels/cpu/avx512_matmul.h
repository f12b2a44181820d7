// Parts of the AVX-512 kernels.
#pragma once
#include "kernels.h"

namespace localllm::avx512 {

void quantize_rows(const float* x, const Panel& panel, int begin, int end);
void dense_matmul(const MatmulJob& job, int begin, int end);

}  // namespace localllm::avx512

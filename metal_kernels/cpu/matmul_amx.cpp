// Matmul with AMX for three inputs or more.
//
// Quantized formats give the same bits as matmul_scalar.cpp. F16 and BF16 weights meet activations
// split into two bfloat16 parts (16 bits); these formats run here for any number of inputs, so that
// a row's result does not depend on it.
#include "amx_few_rows.h"
#include "amx_many_rows.h"
#include "avx512_matmul.h"

namespace localllm::amx {
namespace {

template <typename Impl>
void run_super(const MatmulJob& job, int begin, int end) {
  if (job.num_inputs <= 8) few_times_super<Impl, true>(job, begin, end);
  else if (job.num_inputs <= 16) few_times_super<Impl, false>(job, begin, end);
  else many_times_super<Impl>(job, begin, end);
}

template <typename Impl>
void run_grouped(const MatmulJob& job, int begin, int end) {
  if (job.num_inputs <= 4) few_times_grouped<Impl, 4, true>(job, begin, end);
  else if (job.num_inputs <= 8) few_times_grouped<Impl, 8, true>(job, begin, end);
  else if (job.num_inputs <= 16) few_times_grouped<Impl, 16, false>(job, begin, end);
  else many_times_grouped<Impl>(job, begin, end);
}

using Run = void (*)(const MatmulJob&, int, int);

template <int Bits>
Run affine() {
  return run_grouped<Grouped<Bits, 0, true, false>>;
}

Run grouped(const Format& f) {
  if (f.codebook) return run_grouped<Grouped<4, 128, false, true>>;
  if (f.mins) {
    switch (f.bits) {
      case 2: return affine<2>();
      case 3: return affine<3>();
      case 4: return affine<4>();
      case 5: return affine<5>();
      case 6: return affine<6>();
      default: return affine<8>();
    }
  }
  switch (f.bits) {
    case 4: return run_grouped<Grouped<4, 8, false, false>>;
    case 5: return run_grouped<Grouped<5, 16, false, false>>;
    default: return run_grouped<Grouped<8, 128, false, false>>;
  }
}

Run pick(const Format& f) {
  switch (f.kind) {
    case Kind::Super32:
      if (f.codebook) return run_super<Super<Kind::Super32, 4, 128, false, true>>;
      return f.bits == 4 ? run_super<Super<Kind::Super32, 4, 0, true, false>>
                         : run_super<Super<Kind::Super32, 5, 0, true, false>>;
    case Kind::Super16:
      if (f.bits == 6) return run_super<Super<Kind::Super16, 6, 32, false, false>>;
      return f.bits == 3 ? run_super<Super<Kind::Super16, 3, 4, false, false>>
                         : run_super<Super<Kind::Super16, 2, 0, true, false>>;
    default: return grouped(f);
  }
}

void matmul(const MatmulJob& job, int begin, int end) {
  if (job.format.kind == Kind::Dense) {
    if (job.x_split) return dense_matmul(job, begin, end);
    return avx512::kMatmul.matmul(job, begin, end);
  }
  if (job.num_inputs < 3) return avx512::kMatmul.matmul(job, begin, end);
  pick(job.format)(job, begin, end);
}

}  // namespace

extern const MatmulKernels kMatmul = {avx512::quantize_rows, matmul, split_rows};

}  // namespace localllm::amx

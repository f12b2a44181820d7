// Keys and values as scaled bytes; the layout of metal_kernels/int8_rows.py.
#pragma once
#include <cstdint>

#include "attention.h"

namespace localllm {

// size_k + size_v signed bytes, then a float16 scale for each group of them.
struct Int8Row {
  int size_k, size_v;
  int width() const { return size_k + size_v; }
  int group() const { return size_k % 32 == 0 && size_v % 32 == 0 ? 32 : 16; }
  int num_groups() const { return width() / group(); }
  int num_bytes() const { return width() + 2 * num_groups(); }
  bool fits() const { return size_k % 16 == 0 && size_v % 16 == 0; }
};

struct Int8Kernels {
  // Depends on nothing but the row.
  void (*pack_row)(const Int8Row& row, const float* k, const float* v, uint8_t* out);
  AttentionKernels attention;
};

namespace scalar { extern const Int8Kernels kInt8; }
namespace avx2 { extern const Int8Kernels kInt8; }
namespace avx512 { extern const Int8Kernels kInt8; }

}  // namespace localllm

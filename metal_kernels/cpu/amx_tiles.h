// AMX tile registers, and the dense kernels' entry points.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace localllm::amx {

// Tiles 0-3 hold products (`rows` x 16), 4 and 5 inputs (`rows` x `columns` bytes), 6 and 7 weights
// (columns / 4 x 64 bytes). Released at the end, which keeps context switches cheap.
class TileConfig {
 public:
  TileConfig(int rows, int columns) {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t column_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.column_bytes[i] = uint16_t(i == 4 || i == 5 ? columns : 64);
      config.rows[i] = uint8_t(i < 6 ? rows : columns / 4);
    }
    // Not the intrinsic: GCC 12 declares too small an operand for it and drops stores to `config`.
    asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }
  ~TileConfig() { asm volatile("tilerelease" : : : "memory"); }
  TileConfig(const TileConfig&) = delete;
  TileConfig& operator=(const TileConfig&) = delete;
};

// Written out, because GCC's intrinsics are macros that want literal tile numbers and do not say
// that they touch memory.
template <int Tile>
inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(Tile));
}
template <int Tile>
inline void tile_load(const void* p, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
inline void tile_store(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(Tile) : "memory");
}

// Out += signed bytes of tile A x bytes of tile B.
template <bool UnsignedWeights, int Out, int A, int B>
inline void tile_dot() {
  if constexpr (UnsignedWeights)
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Out), "i"(A), "i"(B));
  else asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Out), "i"(A), "i"(B));
}
// Out += bfloat16 pairs of tile A x those of tile B.
template <int Out, int A, int B>
inline void tile_dot_bfloat() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Out), "i"(A), "i"(B));
}

// Rows of x as two bfloat16 parts, [input tile][32 columns][part 2][16 rows][32].
void split_rows(const float* x, int num_columns, uint16_t* out, int begin, int end);

// F16 and BF16 weights times split inputs.
void dense_matmul(const MatmulJob& job, int begin, int end);

}  // namespace localllm::amx

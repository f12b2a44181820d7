// Sums of products while they are made, and their way into y.
#pragma once
#include <algorithm>
#include <cstring>

#include "avx512_codes.h"
#include "kernels.h"
#include "scratch.h"

namespace localllm::amx {

using namespace localllm::avx512;

constexpr int kPairTiles = 2;     // weight tiles expanded at a time: 16 KB, stays in the L1 cache
constexpr int kBlockTiles = 16;   // weight tiles that meet a slice of inputs while it is in L2
constexpr int kChunkInputs = 512;  // inputs whose sums are kept at a time

// Sums lie as [pair of weight tiles][input tile][kPairTiles][16 inputs][16]: where those of a weight
// tile and an input tile begin.
inline int64_t sums_at(int tile, int input_tile, int num_input_tiles) {
  int64_t pair = tile / kPairTiles;
  return ((pair * num_input_tiles + input_tile) * kPairTiles + tile % kPairTiles) * 256;
}

inline void store_sums(const MatmulJob& job, int first_tile, int num_tiles, int first_input_tile,
                       int num_input_tiles, const float* sums) {
  for (int i = 0; i < num_input_tiles; ++i) {
    int64_t input = int64_t(first_input_tile + i) * kTileRows;
    int rows = std::min<int64_t>(kTileRows, job.num_inputs - input);
    for (int m = 0; m < rows; ++m)
      for (int t = 0; t < num_tiles; ++t) {
        int column = (first_tile + t) * kTileRows;
        __m512 sum = _mm512_load_ps(sums + sums_at(t, i, num_input_tiles) + m * 16);
        _mm512_mask_storeu_ps(job.y + (input + m) * job.num_rows + column,
                              row_mask(job.num_rows - column), sum);
      }
  }
}

inline __m512i codebook_of(const Format& f) {
  return f.codebook ? load_codebook(f.codebook) : _mm512_setzero_si512();
}

// Calls body(first_tile, num_tiles, first_input_tile, num_input_tiles, sums) for blocks that fit
// the caches; sums start as zero and become columns of y.
template <typename F>
void for_each_block(const MatmulJob& job, int begin, int end, F body) {
  static thread_local Scratch scratch;
  constexpr int kChunkTiles = kChunkInputs / kTileRows;
  int input_tiles = num_tiles(job.num_inputs);
  float* sums = scratch.get<float>(std::min(input_tiles, kChunkTiles) * kBlockTiles * 256);
  for (int t = begin; t < end; t += kBlockTiles) {
    int tiles = std::min(kBlockTiles, end - t);
    for (int i = 0; i < input_tiles; i += kChunkTiles) {
      int inputs = std::min(kChunkTiles, input_tiles - i);
      std::memset(sums, 0, size_t(inputs) * kBlockTiles * 256 * sizeof(float));
      body(t, tiles, i, inputs, sums);
      store_sums(job, t, tiles, i, inputs, sums);
    }
  }
}

}  // namespace localllm::amx

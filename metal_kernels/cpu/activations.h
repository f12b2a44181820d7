// Activations as 16-bit integers in two int8 planes, so that every dot product with weight codes is
// exact and a row's result depends on nothing but the row.
//
// x = scale * (256 * high + low) per 256 columns, rounded to nearest: about 16 bits of the block's
// largest magnitude. Rows come in tiles of 16 (the last may have fewer): AMX reads whole tiles.
#pragma once
#include <cstdint>

#include "formats.h"

namespace localllm {

struct alignas(64) BlockInfo {
  float scale;
  int16_t sums32[2][8];   // per plane and 32 columns
  int16_t sums16[2][16];  // per plane and 16 columns
};
static_assert(sizeof(BlockInfo) == 128);

struct Panel {
  int num_rows = 0, num_columns = 0, num_supers = 0;
  int8_t* planes = nullptr;
  BlockInfo* info = nullptr;

  int rows_in_tile(int tile) const {
    int left = num_rows - tile * kTileRows;
    return left < kTileRows ? left : kTileRows;
  }
  // [plane 2][column / 64 : 4][rows_in_tile][64]
  const int8_t* block(int tile, int super) const {
    return planes + (int64_t(tile) * kTileRows * num_supers + super * rows_in_tile(tile)) * 512;
  }
  // [rows_in_tile]
  const BlockInfo* block_info(int tile, int super) const {
    return info + int64_t(tile) * kTileRows * num_supers + super * rows_in_tile(tile);
  }
};

constexpr float kQuantMax = 32639.0f;  // 127 * 256 + 127

}  // namespace localllm

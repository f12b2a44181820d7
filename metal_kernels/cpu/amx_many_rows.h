// More than 16 inputs: weights are expanded once for a block of inputs that fits the caches.
#pragma once
#include "amx_blocks.h"
#include "amx_grouped.h"
#include "amx_super.h"

namespace localllm::amx {

// One superblock of some weight tiles times all inputs of a chunk. The vector work of one product
// is done between the tile instructions of the next.
template <typename Impl>
void multiply_super(const MatmulJob& job, const typename Impl::Tile* tiles, int num_tiles,
                    int super, int first_input_tile, int num_input_tiles, float* sums) {
  alignas(64) static thread_local int32_t products[2][1024];
  typename Impl::Pending pending;
  int turn = 0;
  for (int i = 0; i < num_input_tiles; ++i) {
    int input_tile = first_input_tile + i, rows = job.panel.rows_in_tile(input_tile);
    const int8_t* x = job.panel.block(input_tile, super);
    for (int t = 0; t < num_tiles; ++t) {
      Impl::begin_products();
      for (int step = 0; step < 4; ++step) {
        Impl::template multiply_step<false>(x, rows, tiles[t], step);
        if (pending.products) Impl::add_quarter(pending, step);
      }
      pending = Impl::template end_products<false>(products[turn], rows);
      pending.take_scales(tiles[t]);
      pending.info = job.panel.block_info(input_tile, super);
      pending.sums = sums + sums_at(t, i, num_input_tiles);
      turn ^= 1;
    }
  }
  for (int quarter = 0; quarter < 4; ++quarter) Impl::add_quarter(pending, quarter);
}

template <typename Impl>
void many_times_super(const MatmulJob& job, int begin, int end) {
  alignas(64) static thread_local typename Impl::Tile tiles[kPairTiles];
  const __m512i table = codebook_of(job.format);
  int64_t bytes = tile_bytes(job.format, job.num_columns);
  TileConfig config(kTileRows, 64);
  for_each_block(job, begin, end, [&](int t, int count, int i, int inputs, float* sums) {
    for (int s = 0; s < num_supers(job.num_columns); ++s) {
      const uint8_t* weights = job.weights + t * bytes + int64_t(s) * super_bytes(job.format, 8);
      for (int pair = 0; pair < count; pair += kPairTiles) {
        int size = std::min(kPairTiles, count - pair);
        for (int k = 0; k < size; ++k)
          Impl::expand(weights + (pair + k) * bytes, table, tiles[k]);
        multiply_super<Impl>(job, tiles, size, s, i, inputs, sums + sums_at(pair, 0, inputs));
      }
    }
  });
}

template <typename Impl>
void many_times_grouped(const MatmulJob& job, int begin, int end) {
  alignas(64) static thread_local typename Impl::Tile tiles[kPairTiles];
  const Format& f = job.format;
  const __m512i table = codebook_of(f);
  int columns = dot_columns(f);
  int64_t bytes = tile_bytes(f, job.num_columns);
  TileConfig config(kTileRows, columns);
  for_each_block(job, begin, end, [&](int t, int count, int i, int inputs, float* sums) {
    for (int s = 0; s < num_supers(job.num_columns); ++s) {
      int num_groups = groups_in_super(job.num_columns, s);
      const uint8_t* weights = job.weights + t * bytes + int64_t(s) * super_bytes(f, 8);
      for (int pair = 0; pair < count; pair += kPairTiles) {
        int size = std::min(kPairTiles, count - pair);
        for (int k = 0; k < size; ++k)
          Impl::expand(f, weights + (pair + k) * bytes, num_groups, table, tiles[k]);
        for (int n = 0; n < inputs; ++n)
          for (int k = 0; k < size; ++k)
            Impl::template multiply_tile<kTileRows, false>(
                job.panel.block(i + n, s), job.panel.block_info(i + n, s),
                job.panel.rows_in_tile(i + n), tiles[k], columns,
                sums + sums_at(pair + k, n, inputs), [](int) {});
      }
    }
  });
}

}  // namespace localllm::amx

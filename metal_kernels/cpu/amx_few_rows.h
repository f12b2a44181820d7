// Up to 16 inputs: weights stream through, tile after tile, and are read once.
#pragma once
#include "amx_blocks.h"
#include "amx_grouped.h"
#include "amx_super.h"

namespace localllm::amx {

// While the tile instructions of one superblock run, the next one is expanded and the products of
// the last one are added.
template <typename Impl, bool Joint>
void few_times_super(const MatmulJob& job, int begin, int end) {
  alignas(64) static thread_local typename Impl::Tile tiles[2];
  alignas(64) static thread_local int32_t products[2][1024];
  alignas(64) static thread_local float sums[2][256];
  int rows = job.num_inputs, supers = num_supers(job.num_columns);
  int num_units = (end - begin) * supers;
  const __m512i table = codebook_of(job.format);
  const uint8_t* weights = job.weights + begin * tile_bytes(job.format, job.num_columns);
  TileConfig config(Joint ? 2 * rows : rows, 64);
  typename Impl::Pending pending;
  Impl::expand(weights, table, tiles[0]);
  for (int unit = 0, super = 0, t = begin; unit < num_units; ++unit) {
    const auto& tile = tiles[unit % 2];
    auto& next = tiles[1 - unit % 2];
    if (unit + 1 < num_units) weights += super_bytes(Impl::kFormat, 8);
    float* tile_sums = sums[t % 2];
    if (super == 0) std::memset(tile_sums, 0, rows * 64);
    Impl::begin_products();
    for (int step = 0; step < 4; ++step) {
      Impl::template multiply_step<Joint>(job.panel.block(0, super), rows, tile, step);
      Impl::expand_group(weights, table, 2 * step, next);
      Impl::expand_group(weights, table, 2 * step + 1, next);
      if (pending.products) Impl::add_quarter(pending, step);
    }
    Impl::expand_scales(weights, next);
    if (super == 0 && unit > 0) store_sums(job, t - 1, 1, 0, 1, pending.sums);
    pending = Impl::template end_products<Joint>(products[unit % 2], rows);
    pending.take_scales(tile);
    pending.info = job.panel.block_info(0, super);
    pending.sums = tile_sums;
    if (++super == supers) super = 0, ++t;
  }
  for (int quarter = 0; quarter < 4; ++quarter) Impl::add_quarter(pending, quarter);
  store_sums(job, end - 1, 1, 0, 1, pending.sums);
}

template <typename Impl, int Rows, bool Joint>
void few_times_grouped(const MatmulJob& job, int begin, int end) {
  alignas(64) static thread_local typename Impl::Tile tiles[2];
  alignas(64) float sums[256];
  const Format& f = job.format;
  int rows = job.num_inputs, supers = num_supers(job.num_columns), columns = dot_columns(f);
  int num_units = (end - begin) * supers;
  const __m512i table = codebook_of(f);
  const uint8_t* weights = job.weights + begin * tile_bytes(f, job.num_columns);
  TileConfig config(Joint ? 2 * rows : rows, columns);
  Impl::expand(f, weights, groups_in_super(job.num_columns, 0), table, tiles[0]);
  for (int unit = 0, super = 0, t = begin; unit < num_units; ++unit) {
    const auto& tile = tiles[unit % 2];
    auto& next = tiles[1 - unit % 2];
    int next_super = super + 1 < supers ? super + 1 : 0;
    int next_groups = unit + 1 < num_units ? groups_in_super(job.num_columns, next_super) : 0;
    weights += super_bytes(f, tile.num_groups);
    if (super == 0) std::memset(sums, 0, rows * 64);
    Impl::template multiply_tile<Rows, Joint>(
        job.panel.block(0, super), job.panel.block_info(0, super), rows, tile, columns, sums,
        [&](int step) {
          int last = next_groups * (step + 1) / tile.num_steps;
          for (int g = next_groups * step / tile.num_steps; g < last; ++g)
            Impl::expand_group(f, weights, next_groups, table, g, next);
        });
    if (next_groups) Impl::expand_scales(f, weights, next_groups, next);
    if (super = next_super; super == 0) store_sums(job, t++, 1, 0, 1, sums);
  }
}

}  // namespace localllm::amx

// Attention over a pool of scaled bytes, and the write into it. Compiled once per instruction set.
//
// Queries are rounded to 16 bits of their head's largest, so that dots with a group of stored bytes
// are integers and exact. What is not is a fixed sequence over a lane's own keys: groups in order,
// 64 keys to a softmax step, values one key after another. See also attention.cpp.
#include <cmath>

#include "attention_lanes.h"
#include "int8_rows.h"
#include "simd_pairs.h"

namespace localllm::LOCALLLM_ISA {
namespace {

constexpr int kLaneBlock = 6;  // as in attention.cpp
constexpr int kVecsPerTile = kKeyTile / 16;
constexpr int kQuad = 4;             // bytes in a dword
constexpr float kQueryMax = 32639;   // 127 * 256 + 127: fits two signed bytes as well
constexpr int kExpandedLanes = 2 * kLaneBlock;  // beyond them what is stored is widened only once

struct Tile {
  const AttentionShape& shape;
  Int8Row row;
  // Of each lane, 16-bit integers in the order 0, 2, 1, 3 of each four; and what one stands for.
  int16_t* queries = nullptr;
  float* query_scales = nullptr;
  int32_t* keys = nullptr;   // [size_k / 4, kKeyTile]
  float* scales = nullptr;   // [num_groups, kKeyTile]: of keys, then of values
  float* scores = nullptr;   // [lanes, kKeyTile]
  float* weights = nullptr;  // [kLaneBlock, groups of the value, kKeyTile]: softmax weights times scales
  // Null, or keys and values as the sums take them: 16-bit pairs [size_k / 2, kKeyTile], and floats
  // [kKeyTile, size_v] without their scales.
  int32_t* pairs = nullptr;
  float* values = nullptr;
  const uint8_t* no_row = nullptr;  // zeros
  const uint8_t* rows[kKeyTile] = {};
  int num_keys = 0;

  int key_groups() const { return row.size_k / row.group(); }
  int value_groups() const { return row.size_v / row.group(); }
};

int64_t align(int64_t num_floats) { return (num_floats + 15) / 16 * 16; }

int64_t scratch_floats(const AttentionShape& shape, int num_lanes) {
  Int8Row row{shape.head_size_k, shape.head_size_v};
  int64_t expanded = num_lanes > kExpandedLanes ? row.size_k / 2 + row.size_v : 0;
  return align(num_lanes * row.size_k / 2) + align(num_lanes) +
         (row.size_k / kQuad + row.num_groups() + num_lanes + expanded) * kKeyTile +
         kLaneBlock * (row.size_v / row.group()) * kKeyTile + align(row.num_bytes() / kQuad + 4);
}

Tile lay_out(const AttentionShape& shape, int num_lanes, float* memory) {
  auto take = [&](int64_t count) {
    float* taken = memory;
    memory += align(count);
    return taken;
  };
  Tile tile{.shape = shape, .row = {shape.head_size_k, shape.head_size_v}};
  tile.queries = reinterpret_cast<int16_t*>(take(num_lanes * tile.row.size_k / 2));
  tile.query_scales = take(num_lanes);
  tile.keys = reinterpret_cast<int32_t*>(take(tile.row.size_k / kQuad * kKeyTile));
  tile.scales = take(tile.row.num_groups() * kKeyTile);
  tile.scores = take(num_lanes * kKeyTile);
  tile.weights = take(kLaneBlock * tile.value_groups() * kKeyTile);
  if (num_lanes > kExpandedLanes) {
    tile.pairs = reinterpret_cast<int32_t*>(take(tile.row.size_k / 2 * kKeyTile));
    tile.values = take(tile.row.size_v * kKeyTile);
  }
  float* zeros = take(tile.row.num_bytes() / kQuad + 4);
  std::memset(zeros, 0, tile.row.num_bytes());
  tile.no_row = reinterpret_cast<const uint8_t*>(zeros);
  return tile;
}

void round_query(const Tile& tile, const float* q, int index) {
  int size = tile.row.size_k;
  int16_t* out = tile.queries + int64_t(index) * size;
  Vec top = set1(0);
  for (int d = 0; d < size; d += 16) top = max(top, magnitudes(load(q + d)));
  float amount = largest(top);
  Vec inverse = set1(amount > 0 ? kQueryMax / amount : 0);
  for (int d = 0; d < size; d += 16) {
    store_rounded(out + d, load(q + d) * inverse);
    for (int i = d + 1; i < d + 16; i += kQuad) std::swap(out[i], out[i + 1]);
  }
  tile.query_scales[index] = amount / kQueryMax * tile.shape.scale;
}

void load_tile(Tile& tile, const AttentionTask& task, int first_key) {
  tile.num_keys = std::min(kKeyTile, task.key_end - first_key);
  const auto* pool = static_cast<const uint8_t*>(task.pool);
  const Int8Row& row = tile.row;
  for (int k = 0; k < kKeyTile; ++k)
    tile.rows[k] = k < tile.num_keys
        ? pool + pool_row(tile.shape, task, first_key + k) * row.num_bytes() : tile.no_row;
  for (int d = 0; d < row.size_k; d += 16)
    for (int k = 0; k < kKeyTile; k += 16)
      transpose_dwords(tile.rows + k, d, tile.keys + d / kQuad * kKeyTile + k, kKeyTile);
}

// The last sixteen bytes of rows are eight groups' scales, or end with those there are.
void load_scales(const Tile& tile) {
  int32_t pairs[4 * 16];
  int num_groups = tile.row.num_groups();
  for (int end = num_groups; end > 0; end -= 8)
    for (int k = 0; k < kKeyTile; k += 16) {
      transpose_dwords(tile.rows + k, tile.row.width() + 2 * (end - 8), pairs, 16);
      for (int j = 0; j < 4; ++j) {
        int group = end - 8 + 2 * j;
        Dwords both = load_dwords(pairs + 16 * j);
        if (group >= 0) store(tile.scales + group * kKeyTile + k, low_halves(both));
        if (group >= -1) store(tile.scales + (group + 1) * kKeyTile + k, high_halves(both));
      }
    }
}

// Even bytes of four dimensions, then odd ones; `d` is even.
Dwords load_pairs(const Tile& tile, int d, int k) {
  Dwords quads = load_dwords(tile.keys + d / kQuad * kKeyTile + k);
  return d % kQuad ? odd_bytes(quads) : even_bytes(quads);
}

const int8_t* stored_value(const Tile& tile, int k) {
  return reinterpret_cast<const int8_t*>(tile.rows[k]) + tile.row.size_k;
}

template <bool Expanded>
Vec load_value(const Tile& tile, int k, int d) {
  if constexpr (Expanded) return load(tile.values + k * tile.row.size_v + d);
  else return load(stored_value(tile, k) + d);
}

void expand(const Tile& tile) {
  for (int d = 0; d < tile.row.size_k; d += 2)
    for (int k = 0; k < kKeyTile; k += 16)
      store_dwords(tile.pairs + d / 2 * kKeyTile + k, load_pairs(tile, d, k));
  for (int k = 0; k < tile.num_keys; ++k)
    for (int d = 0; d < tile.row.size_v; d += 16)
      store(tile.values + k * tile.row.size_v + d, load(stored_value(tile, k) + d));
}

// Dots of one group of the keys with `Lanes` queries, times its scales, on top of `scores`.
template <int Lanes, bool Expanded>
void add_group(const Tile& tile, int lane, int group, Vec scores[Lanes][kVecsPerTile]) {
  int size = tile.row.group(), first = group * size;
  const int16_t* q = tile.queries + int64_t(lane) * tile.row.size_k + first;
  Dwords sums[Lanes][kVecsPerTile];
  for (auto& row : sums)
    for (auto& s : row) s = zero_dwords();
  for (int d = 0; d < size; d += 2) {
    Dwords pairs[kVecsPerTile];
    for (int j = 0; j < kVecsPerTile; ++j)
      pairs[j] = Expanded ? load_dwords(tile.pairs + (first + d) / 2 * kKeyTile + 16 * j)
                          : load_pairs(tile, first + d, 16 * j);
    for (int i = 0; i < Lanes; ++i) {
      int32_t two;
      std::memcpy(&two, q + i * tile.row.size_k + d, sizeof two);
      Dwords x = set1_dword(two);
      for (int j = 0; j < kVecsPerTile; ++j) sums[i][j] = add_products(sums[i][j], pairs[j], x);
    }
  }
  for (int j = 0; j < kVecsPerTile; ++j) {
    Vec scale = load(tile.scales + group * kKeyTile + 16 * j);
    for (int i = 0; i < Lanes; ++i)
      scores[i][j] = fma(as_floats(sums[i][j]), scale, scores[i][j]);
  }
}

template <int Lanes, bool Expanded>
void score_lanes(const Tile& tile, int lane) {
  Vec scores[Lanes][kVecsPerTile];
  for (auto& row : scores)
    for (auto& s : row) s = set1(0);
  for (int group = 0; group < tile.key_groups(); ++group)
    add_group<Lanes, Expanded>(tile, lane, group, scores);
  for (int i = 0; i < Lanes; ++i)
    for (int j = 0; j < kVecsPerTile; ++j)
      store(tile.scores + (lane + i) * kKeyTile + 16 * j,
            scores[i][j] * set1(tile.query_scales[lane + i]));
}

void weigh_scales(const Tile& tile, const float* weights, float* out) {
  const float* scales = tile.scales + tile.key_groups() * kKeyTile;
  for (int group = 0; group < tile.value_groups(); ++group)
    for (int k = group * kKeyTile; k < (group + 1) * kKeyTile; k += 16)
      store(out + k, load(weights + k % kKeyTile) * load(scales + k));
}

// values[lane] += weights[lane] x stored bytes for `Vecs` vectors of the head from `d` on.
template <int Lanes, bool Expanded, int Vecs, int Group>
void add_values(const Tile& tile, int d, LaneState* states) {
  int stride = tile.value_groups() * kKeyTile;
  const float* weights = tile.weights + d / Group * kKeyTile;
  Vec acc[Lanes][Vecs];
  for (int i = 0; i < Lanes; ++i)
    for (int j = 0; j < Vecs; ++j) acc[i][j] = load(states[i].values + d + j * 16);
  for (int k = 0; k < tile.num_keys; ++k) {
    Vec value[Vecs];
    for (int j = 0; j < Vecs; ++j) value[j] = load_value<Expanded>(tile, k, d + j * 16);
    for (int i = 0; i < Lanes; ++i)
      for (int j = 0; j < Vecs; ++j) {
        Vec w = set1(weights[i * stride + j * 16 / Group * kKeyTile + k]);
        acc[i][j] = fma(w, value[j], acc[i][j]);
      }
  }
  for (int i = 0; i < Lanes; ++i)
    for (int j = 0; j < Vecs; ++j) store(states[i].values + d + j * 16, acc[i][j]);
}

template <int Lanes, bool Expanded>
void add_all_values(const Tile& tile, LaneState* states) {
  int d = 0, size = tile.row.size_v;
  if (tile.row.group() == 32) {
    for (; d + 64 <= size; d += 64) add_values<Lanes, Expanded, 4, 32>(tile, d, states);
    if (d < size) add_values<Lanes, Expanded, 2, 32>(tile, d, states);
    return;
  }
  for (; d + 64 <= size; d += 64) add_values<Lanes, Expanded, 4, 16>(tile, d, states);
  for (; d < size; d += 16) add_values<Lanes, Expanded, 1, 16>(tile, d, states);
}

template <int Lanes, bool Expanded>
void step_lanes(const Tile& tile, const AttentionTask& task, int first_key, int lane,
                LaneState* states) {
  score_lanes<Lanes, Expanded>(tile, lane);
  for (int i = 0; i < Lanes; ++i) {
    float* scores = tile.scores + (lane + i) * kKeyTile;
    int position = lane_position(tile.shape, task, lane + i);
    softmax_step(tile.shape, position, first_key, scores, states[lane + i]);
    weigh_scales(tile, scores, tile.weights + i * tile.value_groups() * kKeyTile);
  }
  add_all_values<Lanes, Expanded>(tile, states + lane);
}

template <bool Expanded>
void step(const Tile& tile, const AttentionTask& task, int first_key, LaneState* states) {
  int lane = 0, n = task.num_lanes;
  for (; lane + kLaneBlock <= n; lane += kLaneBlock)
    step_lanes<kLaneBlock, Expanded>(tile, task, first_key, lane, states);
  switch (n - lane) {
    case 5: return step_lanes<5, Expanded>(tile, task, first_key, lane, states);
    case 4: return step_lanes<4, Expanded>(tile, task, first_key, lane, states);
    case 3: return step_lanes<3, Expanded>(tile, task, first_key, lane, states);
    case 2: return step_lanes<2, Expanded>(tile, task, first_key, lane, states);
    case 1: return step_lanes<1, Expanded>(tile, task, first_key, lane, states);
  }
}

void attend(const AttentionShape& shape, const AttentionTask& task, float* scratch,
            LaneState* states) {
  Tile tile = lay_out(shape, task.num_lanes, scratch);
  for (int i = 0; i < task.num_lanes; ++i) {
    round_query(tile, query(shape, task, i), i);
    clear(shape, states[i]);
  }
  KeyRange seen = seen_keys(shape, task);
  for (int key = seen.begin; key < seen.end; key += kKeyTile) {
    load_tile(tile, task, key);
    load_scales(tile);
    if (tile.pairs) {
      expand(tile);
      step<true>(tile, task, key, states);
    } else step<false>(tile, task, key, states);
  }
}

// `group` values as bytes, and what a step of them is.
uint16_t pack_group(const float* x, int group, uint8_t* out) {
  Vec top = magnitudes(load(x));
  if (group == 32) top = max(top, magnitudes(load(x + 16)));
  uint16_t scale = float_to_half(largest(top) / 127.0f);
  float wide = half_to_float(scale);
  Vec inverse = set1(wide > 0 ? 1.0f / wide : 0.0f);
  for (int d = 0; d < group; d += 16) {
    Vec codes = min(max(load(x + d) * inverse, set1(-127.0f)), set1(127.0f));
    store_rounded(reinterpret_cast<int8_t*>(out + d), codes);
  }
  return scale;
}

void pack_row(const Int8Row& row, const float* k, const float* v, uint8_t* out) {
  uint8_t* scales = out + row.width();
  for (int d = 0; d < row.width(); d += row.group(), scales += 2) {
    const float* x = d < row.size_k ? k + d : v + d - row.size_k;
    uint16_t scale = pack_group(x, row.group(), out + d);
    std::memcpy(scales, &scale, 2);
  }
}

}  // namespace

extern const Int8Kernels kInt8 = {pack_row, {scratch_floats, attend, merge_states}};

}  // namespace localllm::LOCALLLM_ISA

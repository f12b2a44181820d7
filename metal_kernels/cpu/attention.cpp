// Attention of a tile of lanes over one split of keys. Compiled once per instruction set.
//
// Every lane's arithmetic is a fixed sequence over its own keys: scores sum over the head size in
// order, 64 keys make one softmax step, and a step that a lane does not see changes no bit of it.
// So a row comes out the same alone, in a batch, or as part of a prefill chunk.
#include "attention.h"

#include <algorithm>

#include "attention_lanes.h"

namespace localllm::LOCALLLM_ISA {
namespace {

constexpr int kLaneBlock = 6;  // 6 lanes x 4 vectors of accumulators fill the registers

struct Tile {
  const AttentionShape& shape;
  float* queries;  // [lanes, head_size_k], scaled
  float* keys;     // [padded_k, kKeyTile]
  float* values;   // [kKeyTile, padded_v]
  float* scores;   // [lanes, kKeyTile]
};

template <typename T>
const T* token(const AttentionShape& shape, const AttentionTask& task, int position) {
  int row_size = shape.head_size_k + shape.head_size_v;
  return static_cast<const T*>(task.pool) + pool_row(shape, task, position) * row_size;
}

float as_float(float x) { return x; }
float as_float(uint16_t x) { return half_to_float(x); }

#if defined(__AVX512F__)
// 16 vectors of 16, transposed in place.
inline void transpose(__m512 r[16]) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + 2 + j]);
      r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
#endif

template <typename T>
void load_keys(const Tile& tile, const T* const* tokens) {
  int size = tile.shape.head_size_k, d = 0;
#if defined(__AVX512F__)
  for (; d + 16 <= size; d += 16)
    for (int k = 0; k < kKeyTile; k += 16) {
      __m512 rows[16];
      for (int i = 0; i < 16; ++i)
        rows[i] = tokens[k + i] ? load(tokens[k + i] + d).v : _mm512_setzero_ps();
      transpose(rows);
      for (int i = 0; i < 16; ++i) _mm512_storeu_ps(tile.keys + (d + i) * kKeyTile + k, rows[i]);
    }
#endif
  for (; d < size; ++d)
    for (int k = 0; k < kKeyTile; ++k)
      tile.keys[d * kKeyTile + k] = tokens[k] ? as_float(tokens[k][d]) : 0;
}

template <typename T>
void load_values(const Tile& tile, const T* const* tokens) {
  int size = tile.shape.head_size_v, padded = tile.shape.padded_v();
  for (int k = 0; k < kKeyTile; ++k) {
    float* row = tile.values + k * padded;
    if (!tokens[k]) {
      std::fill(row, row + padded, 0.0f);
      continue;
    }
    const T* value = tokens[k] + tile.shape.head_size_k;
    int d = 0;
    for (; d + 16 <= size; d += 16) store(row + d, load(value + d));
    for (; d < padded; ++d) row[d] = d < size ? as_float(value[d]) : 0;
  }
}

template <typename T>
void load_tile(const Tile& tile, const AttentionTask& task, int first_key) {
  const T* tokens[kKeyTile];
  for (int k = 0; k < kKeyTile; ++k) {
    int position = first_key + k;
    tokens[k] = position < task.key_end ? token<T>(tile.shape, task, position) : nullptr;
  }
  load_keys(tile, tokens);
  load_values(tile, tokens);
}

template <int Lanes>
void score_lanes(const Tile& tile, int lane) {
  int size = tile.shape.head_size_k;
  const float* q = tile.queries + int64_t(lane) * size;
  Vec acc[Lanes][4];
  for (auto& row : acc)
    for (auto& a : row) a = set1(0);
  for (int d = 0; d < size; ++d) {
    const float* k = tile.keys + d * kKeyTile;
    Vec keys[4] = {load(k), load(k + 16), load(k + 32), load(k + 48)};
    for (int i = 0; i < Lanes; ++i) {
      Vec x = set1(q[i * size + d]);
      for (int j = 0; j < 4; ++j) acc[i][j] = fma(x, keys[j], acc[i][j]);
    }
  }
  for (int i = 0; i < Lanes; ++i)
    for (int j = 0; j < 4; ++j) store(tile.scores + (lane + i) * kKeyTile + j * 16, acc[i][j]);
}

// values[lane] += weights[lane] x tile.values for `Vecs` vectors of the head from `d` on.
template <int Lanes, int Vecs>
void add_values(const Tile& tile, int lane, int d, LaneState* states) {
  int padded = tile.shape.padded_v();
  const float* weights = tile.scores + lane * kKeyTile;
  Vec acc[Lanes][Vecs];
  for (int i = 0; i < Lanes; ++i)
    for (int j = 0; j < Vecs; ++j) acc[i][j] = load(states[i].values + d + j * 16);
  for (int k = 0; k < kKeyTile; ++k) {
    Vec value[Vecs];
    for (int j = 0; j < Vecs; ++j) value[j] = load(tile.values + k * padded + d + j * 16);
    for (int i = 0; i < Lanes; ++i) {
      Vec w = set1(weights[i * kKeyTile + k]);
      for (int j = 0; j < Vecs; ++j) acc[i][j] = fma(w, value[j], acc[i][j]);
    }
  }
  for (int i = 0; i < Lanes; ++i)
    for (int j = 0; j < Vecs; ++j) store(states[i].values + d + j * 16, acc[i][j]);
}

template <int Lanes>
void add_all_values(const Tile& tile, int lane, LaneState* states) {
  int d = 0, padded = tile.shape.padded_v();
  for (; d + 64 <= padded; d += 64) add_values<Lanes, 4>(tile, lane, d, states);
  for (; d < padded; d += 16) add_values<Lanes, 1>(tile, lane, d, states);
}

template <int Lanes>
void step_lanes(const Tile& tile, const AttentionTask& task, int first_key, int lane,
                LaneState* states) {
  score_lanes<Lanes>(tile, lane);
  for (int i = lane; i < lane + Lanes; ++i)
    softmax_step(tile.shape, lane_position(tile.shape, task, i), first_key,
                 tile.scores + i * kKeyTile, states[i]);
  add_all_values<Lanes>(tile, lane, states + lane);
}

void step(const Tile& tile, const AttentionTask& task, int first_key, LaneState* states) {
  int lane = 0, n = task.num_lanes;
  for (; lane + kLaneBlock <= n; lane += kLaneBlock)
    step_lanes<kLaneBlock>(tile, task, first_key, lane, states);
  switch (n - lane) {
    case 5: return step_lanes<5>(tile, task, first_key, lane, states);
    case 4: return step_lanes<4>(tile, task, first_key, lane, states);
    case 3: return step_lanes<3>(tile, task, first_key, lane, states);
    case 2: return step_lanes<2>(tile, task, first_key, lane, states);
    case 1: return step_lanes<1>(tile, task, first_key, lane, states);
  }
}

int64_t scratch_floats(const AttentionShape& shape, int num_lanes) {
  return int64_t(num_lanes) * shape.head_size_k + shape.padded_k() * kKeyTile +
         shape.padded_v() * kKeyTile + num_lanes * kKeyTile;
}

void attend(const AttentionShape& shape, const AttentionTask& task, float* scratch,
            LaneState* states) {
  Tile tile{shape, scratch, nullptr, nullptr, nullptr};
  tile.keys = tile.queries + int64_t(task.num_lanes) * shape.head_size_k;
  tile.values = tile.keys + shape.padded_k() * kKeyTile;
  tile.scores = tile.values + shape.padded_v() * kKeyTile;
  for (int i = 0; i < task.num_lanes; ++i) {
    const float* q = query(shape, task, i);
    for (int d = 0; d < shape.head_size_k; ++d)
      tile.queries[i * shape.head_size_k + d] = q[d] * shape.scale;
    clear(shape, states[i]);
  }
  KeyRange seen = seen_keys(shape, task);
  for (int key = seen.begin; key < seen.end; key += kKeyTile) {
    if (shape.half_pool) load_tile<uint16_t>(tile, task, key);
    else load_tile<float>(tile, task, key);
    step(tile, task, key, states);
  }
}

}  // namespace

extern const AttentionKernels kAttention = {scratch_floats, attend, merge_states};

}  // namespace localllm::LOCALLLM_ISA

// What the kernels of attention share: where a lane's query lies, which keys it sees, its softmax.
// Included by sources that are built once per instruction set.
#pragma once
#include <algorithm>
#include <limits>

#include "attention.h"
#include "simd.h"

namespace localllm::LOCALLLM_ISA {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline const float* query(const AttentionShape& shape, const AttentionTask& task, int index) {
  int lane = task.first_lane + index, group = shape.group();
  int64_t head = int64_t(lane / group) * shape.num_heads + task.kv_head * group + lane % group;
  return task.q + head * shape.head_size_k;
}

inline int lane_position(const AttentionShape& shape, const AttentionTask& task, int index) {
  return task.first_position + (task.first_lane + index) / shape.group();
}

// Index of the token's row of the task's key head in the pool.
inline int64_t pool_row(const AttentionShape& shape, const AttentionTask& task, int position) {
  int64_t block = task.block_table[position / shape.block_size];
  return (block * shape.num_kv_heads + task.kv_head) * shape.block_size +
         position % shape.block_size;
}

struct KeyRange {
  int begin, end;
};

// Steps that no lane sees are left out.
inline KeyRange seen_keys(const AttentionShape& shape, const AttentionTask& task) {
  int first = lane_position(shape, task, 0), last = lane_position(shape, task, task.num_lanes - 1);
  int begin = task.key_begin;
  if (shape.window) begin = std::max(begin, (first - shape.window + 1) / kKeyTile * kKeyTile);
  return {begin, std::min(task.key_end, last + 1)};
}

inline void clear(const AttentionShape& shape, LaneState& state) {
  state.largest = -kInfinity;
  state.weights = 0;
  std::fill(state.values, state.values + shape.padded_v(), 0.0f);
}

// One softmax step: scores become weights, and the state makes room for them.
inline void softmax_step(const AttentionShape& shape, int position, int first_key, float* scores,
                         LaneState& state) {
  int begin = shape.window ? std::max(0, position - shape.window + 1 - first_key) : 0;
  int end = std::min(kKeyTile, position + 1 - first_key);
  if (shape.soft_cap > 0)
    for (int j = 0; j < kKeyTile; j += 16) {
      Vec capped = tanh(load(scores + j) / set1(shape.soft_cap)) * set1(shape.soft_cap);
      store(scores + j, capped);
    }
  for (int k = 0; k < std::min(begin, kKeyTile); ++k) scores[k] = -kInfinity;
  for (int k = std::max(0, end); k < kKeyTile; ++k) scores[k] = -kInfinity;
  Vec top = load(scores);
  for (int j = 16; j < kKeyTile; j += 16) top = max(top, load(scores + j));
  float largest_score = std::max(state.largest, largest(top));
  if (largest_score == -kInfinity) {
    std::fill(scores, scores + kKeyTile, 0.0f);
    return;
  }
  Vec sums = set1(0);
  for (int j = 0; j < kKeyTile; j += 16) {
    Vec w = exp(load(scores + j) - set1(largest_score));
    sums = sums + w;
    store(scores + j, w);
  }
  float total = sum(sums);
  if (largest_score > state.largest) {
    float shrink[16];
    store(shrink, exp(set1(state.largest - largest_score)));
    state.weights *= shrink[0];
    for (int d = 0; d < shape.padded_v(); d += 16)
      store(state.values + d, load(state.values + d) * set1(shrink[0]));
    state.largest = largest_score;
  }
  state.weights += total;
}

inline void merge_states(const AttentionShape& shape, LaneState& into, const LaneState& from) {
  if (from.largest == -kInfinity) return;
  float top = std::max(into.largest, from.largest);
  float factors[16] = {into.largest - top, from.largest - top};
  store(factors, exp(load(factors)));
  Vec a = set1(factors[0]), b = set1(factors[1]);
  for (int d = 0; d < shape.padded_v(); d += 16)
    store(into.values + d, fma(load(into.values + d), a, load(from.values + d) * b));
  into.weights = into.weights * factors[0] + from.weights * factors[1];
  into.largest = top;
}

}  // namespace localllm::LOCALLLM_ISA

// Paged attention: what one task computes. See attention.cpp for the arithmetic and its order.
#pragma once
#include <cstdint>

namespace localllm {

constexpr int kKeyTile = 64;     // keys per softmax step, at absolute positions 0, 64, ...
constexpr int kSplitKeys = 512;  // keys between two merges; fixed, so that results are

struct AttentionShape {
  int num_heads, num_kv_heads, head_size_k, head_size_v;
  int block_size;
  bool half_pool;   // float16, else float32; for scaled bytes see int8_rows.h
  float scale;
  int window;       // 0: none
  float soft_cap;   // 0: none
  int padded_k() const { return (head_size_k + 15) / 16 * 16; }
  int padded_v() const { return (head_size_v + 15) / 16 * 16; }
  int group() const { return num_heads / num_kv_heads; }
};

// Lanes are (row, query head) pairs that share a key head: lane = row * group + head.
struct AttentionTask {
  const float* q;        // first row of the sequence, [rows, num_heads, head_size_k]
  const void* pool;
  const int32_t* block_table;
  int kv_head;
  int first_lane, num_lanes;
  int first_position;    // of the sequence's row 0
  int key_begin, key_end;  // within one split
};

// A lane's running softmax over some keys: `weights` holds the sum, `largest` the maximum, and
// `values` [padded_v] the sum of weighted values.
struct LaneState {
  float* values;
  float largest, weights;
};

struct AttentionKernels {
  // Floats of scratch a task of `num_lanes` needs.
  int64_t (*scratch_floats)(const AttentionShape& shape, int num_lanes);
  // Sets the states of the task's lanes to the softmax over its keys alone.
  void (*attend)(const AttentionShape& shape, const AttentionTask& task, float* scratch,
                 LaneState* states);
  // Adds a later split's state to an earlier one.
  void (*merge)(const AttentionShape& shape, LaneState& into, const LaneState& from);
};

namespace scalar { extern const AttentionKernels kAttention; }
namespace avx2 { extern const AttentionKernels kAttention; }
namespace avx512 { extern const AttentionKernels kAttention; }

}  // namespace localllm

// Weights to GGUF blocks: the layouts that can be written, and what one instruction set computes.
#pragma once
#include <cstdint>
#include <string>

#include "formats.h"

namespace localllm {

constexpr int kBlocksPerBatch = 16;  // one for each lane of a vector

// One block spelled out: what the search decides and the layout packs.
struct BlockParts {
  uint8_t codes[kSuper];           // unsigned: the layout's lowest code is 0
  uint8_t scales[16], mins[16];    // two-level layouts: integers (scales in two's complement)
  uint16_t d, dmin;                // float16; for one-level layouts the scale and the offset
};

struct BlockLayout {
  const char* name;
  int columns;      // of a block
  int group;        // columns under one scale
  bool mins;        // value = scale * code - min, else scale * code
  bool search;      // else the largest magnitude gets the largest code (Q8_0)
  int low, high;    // the codes
  int scale_low, scale_high;  // the integer scales; both 0: one level
  int num_bytes;    // of a block
  void (*pack)(const BlockParts& parts, uint8_t* out);
};

const BlockLayout* find_block_layout(const std::string& name);  // null: not one we write

struct QuantizeJob {
  const BlockLayout& layout;
  const uint8_t* source;    // rows of F32, F16 or BF16, one after the other
  Number source_type;
  const float* importance;  // of each column, or null
  int num_columns;
  int64_t num_blocks;
  uint8_t* out;
};

struct QuantizeKernels {
  // Fills the blocks of batches [begin, end); false when a weight is not finite.
  bool (*quantize)(const QuantizeJob& job, int64_t begin, int64_t end);
};

namespace scalar { extern const QuantizeKernels kQuantize; }
namespace avx2 { extern const QuantizeKernels kQuantize; }
namespace avx512 { extern const QuantizeKernels kQuantize; }

// All of it on the thread pool. Throws std::invalid_argument when a weight is not finite.
void quantize_all(const QuantizeJob& job);

}  // namespace localllm

// How the parts of a block lie in a GGUF file: the inverse of the readers in pack.cpp.
#include <atomic>

#include "kernels.h"
#include "quantize.h"
#include "thread_pool.h"

namespace localllm {
namespace {

void write_u16(uint8_t* p, uint16_t value) { std::memcpy(p, &value, 2); }

// Four bits of 32 codes: the first 16 below, the others above.
void write_nibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = uint8_t((codes[i] & 15) | (codes[16 + i] << 4));
}

void write_fifth_bits(const uint8_t* codes, uint8_t* out) {
  std::memset(out, 0, 4);
  for (int i = 0; i < 32; ++i) out[i / 8] |= uint8_t(((codes[i] >> 4) & 1) << (i % 8));
}

// Two bits of 256 codes, four quarters of 32 in each byte.
void write_pairs(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 64; ++i) {
    const uint8_t* c = codes + i / 32 * 128 + i % 32;
    out[i] = uint8_t((c[0] & 3) | ((c[32] & 3) << 2) | ((c[64] & 3) << 4) | ((c[96] & 3) << 6));
  }
}

void pack_q4_0(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  write_nibbles(b.codes, out + 2);
}
void pack_q4_1(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  write_u16(out + 2, b.dmin);
  write_nibbles(b.codes, out + 4);
}
void pack_q5_0(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  write_fifth_bits(b.codes, out + 2);
  write_nibbles(b.codes, out + 6);
}
void pack_q5_1(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  write_u16(out + 2, b.dmin);
  write_fifth_bits(b.codes, out + 4);
  write_nibbles(b.codes, out + 8);
}
void pack_q8_0(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  for (int i = 0; i < 32; ++i) out[2 + i] = uint8_t(b.codes[i] - 127);
}

void pack_q2_k(const BlockParts& b, uint8_t* out) {
  for (int j = 0; j < 16; ++j) out[j] = uint8_t(b.scales[j] | (b.mins[j] << 4));
  write_pairs(b.codes, out + 16);
  write_u16(out + 80, b.d);
  write_u16(out + 82, b.dmin);
}

void pack_q3_k(const BlockParts& b, uint8_t* out) {
  std::memset(out, 0, 32);
  for (int i = 0; i < kSuper; ++i) out[i % 32] |= uint8_t((b.codes[i] >> 2) << (i / 32));
  write_pairs(b.codes, out + 32);
  uint8_t* s = out + 96;
  std::memset(s, 0, 12);
  for (int j = 0; j < 16; ++j) {
    int scale = int8_t(b.scales[j]) + 32;
    s[j % 8] |= uint8_t((scale & 15) << (j < 8 ? 0 : 4));
    s[8 + j % 4] |= uint8_t((scale >> 4) << (2 * (j / 4)));
  }
  write_u16(out + 108, b.d);
}

void write_k_scales(const BlockParts& b, uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    s[j] = uint8_t(b.scales[j] | ((b.scales[j + 4] >> 4) << 6));
    s[j + 4] = uint8_t(b.mins[j] | ((b.mins[j + 4] >> 4) << 6));
    s[j + 8] = uint8_t((b.scales[j + 4] & 15) | ((b.mins[j + 4] & 15) << 4));
  }
}

// Four bits of 256 codes: each 32 bytes hold 64 of them.
void write_k_nibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 128; ++i) {
    const uint8_t* c = codes + i / 32 * 64 + i % 32;
    out[i] = uint8_t((c[0] & 15) | (c[32] << 4));
  }
}

void pack_q4_k(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  write_u16(out + 2, b.dmin);
  write_k_scales(b, out + 4);
  write_k_nibbles(b.codes, out + 16);
}

void pack_q5_k(const BlockParts& b, uint8_t* out) {
  write_u16(out, b.d);
  write_u16(out + 2, b.dmin);
  write_k_scales(b, out + 4);
  std::memset(out + 16, 0, 32);
  for (int i = 0; i < kSuper; ++i) out[16 + i % 32] |= uint8_t((b.codes[i] >> 4) << (i / 32));
  write_k_nibbles(b.codes, out + 48);
}

void pack_q6_k(const BlockParts& b, uint8_t* out) {
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const uint8_t* c = b.codes + half * 128 + i;
      uint8_t *low = out + half * 64 + i, *high = out + 128 + half * 32 + i;
      low[0] = uint8_t((c[0] & 15) | (c[64] << 4));
      low[32] = uint8_t((c[32] & 15) | (c[96] << 4));
      *high = uint8_t((c[0] >> 4) | ((c[32] >> 4) << 2) | ((c[64] >> 4) << 4) | ((c[96] >> 4) << 6));
    }
  std::memcpy(out + 192, b.scales, 16);
  write_u16(out + 208, b.d);
}

const BlockLayout kLayouts[] = {
    {"Q4_0", 32, 32, false, true, -8, 7, 0, 0, 18, pack_q4_0},
    {"Q4_1", 32, 32, true, true, 0, 15, 0, 0, 20, pack_q4_1},
    {"Q5_0", 32, 32, false, true, -16, 15, 0, 0, 22, pack_q5_0},
    {"Q5_1", 32, 32, true, true, 0, 31, 0, 0, 24, pack_q5_1},
    {"Q8_0", 32, 32, false, false, -127, 127, 0, 0, 34, pack_q8_0},
    {"Q2_K", 256, 16, true, true, 0, 3, 0, 15, 84, pack_q2_k},
    {"Q3_K", 256, 16, false, true, -4, 3, -32, 31, 110, pack_q3_k},
    {"Q4_K", 256, 32, true, true, 0, 15, 0, 63, 144, pack_q4_k},
    {"Q5_K", 256, 32, true, true, 0, 31, 0, 63, 176, pack_q5_k},
    {"Q6_K", 256, 16, false, true, -32, 31, -128, 127, 210, pack_q6_k},
};

}  // namespace

const BlockLayout* find_block_layout(const std::string& name) {
  for (const BlockLayout& layout : kLayouts)
    if (name == layout.name) return &layout;
  return nullptr;
}

void quantize_all(const QuantizeJob& job) {
  const QuantizeKernels& k = kernels().quantize;
  int64_t batches = (job.num_blocks + kBlocksPerBatch - 1) / kBlocksPerBatch;
  std::atomic<bool> finite{true};
  parallel_ranges(batches, 4, [&](int64_t begin, int64_t end) {
    if (!k.quantize(job, begin, end)) finite = false;
  });
  if (!finite) throw std::invalid_argument("a weight is not a finite number");
}

}  // namespace localllm

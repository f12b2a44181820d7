// Software prefetch of weights that are streamed: the processor's own prefetcher stops at every
// page and loads too late between bursts of arithmetic (measured: 15 of 30 GB/s).
#pragma once
#include <cstdint>

namespace localllm {

// Into the first-level cache, and earlier into the second.
constexpr int kSoonBytes = 2048, kLaterBytes = 6144;

// Asks for what lies ahead of part `index` of a superblock, in parts of `part_bytes`; may run past
// the end of the weights. Assembler, because GCC drops calls of functions that only prefetch.
[[gnu::always_inline]] static inline void prefetch_ahead(const uint8_t* super, int part_bytes,
                                                         int64_t index) {
  const uint8_t* p = super + index * part_bytes;
  for (int i = 0; i < part_bytes; i += 64) {
    asm volatile("prefetcht0 (%0)" : : "r"(p + kSoonBytes + i));
    asm volatile("prefetcht1 (%0)" : : "r"(p + kLaterBytes + i));
  }
}

}  // namespace localllm

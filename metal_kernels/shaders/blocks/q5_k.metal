// Q5_K: as Q4_K, with the fifth bits of sub-block j at bit j of 32 bytes before the nibbles.
struct Q5_K {
  enum : uint {
    values = 256, bytes = 176, slices = 8, runs = 2, run_length = 16,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) {
    return slice / 2 * 64 + run * 32 + slice % 2 * 16;
  }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const device uint4* words = (const device uint4*)block;
    const uint pair = slice / 2;
    read_k_scales(words[0], pair, scales, offsets);
    const uint4 fifth = words[1 + slice % 2], quants = words[3 + slice];
    UNROLL for (int i = 0; i < 4; ++i) {
      const uint bits = fifth[i] >> (2 * pair);
      unpack_bytes<5>((quants[i] & 0x0F0F0F0Fu) | (bits & 0x01010101u) << 4, codes + 4 * i);
      unpack_bytes<5>((quants[i] >> 4 & 0x0F0F0F0Fu) | (bits & 0x02020202u) << 3, codes + 16 + 4 * i);
    }
    UNROLL for (int run = 0; run < 2; ++run) scales[run] *= 32.0f;
  }
};

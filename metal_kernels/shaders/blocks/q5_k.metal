// Q5_K: as Q4_K, with the fifth bits of sub-block j at bit j of 32 bytes before the nibbles.
struct Q5_K {
  enum : uint { values = 256, bytes = 176, slices = 8, runs = 2, run_length = 16, has_offset = 1 };

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
      const uchar4 low = as_type<uchar4>((quants[i] & 0x0F0F0F0Fu) | (bits & 0x01010101u) << 4);
      const uchar4 high = as_type<uchar4>(((quants[i] >> 4) & 0x0F0F0F0Fu) | (bits & 0x02020202u) << 3);
      UNROLL for (int k = 0; k < 4; ++k) {
        codes[4 * i + k] = float(low[k]);
        codes[16 + 4 * i + k] = float(high[k]);
      }
    }
  }
};

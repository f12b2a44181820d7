// Q4_K: d, dmin, 12 bytes of scales, then four chunks of 32 bytes: low nibbles, high nibbles.
struct Q4_K {
  enum : uint {
    values = 256, bytes = 144, slices = 8, runs = 2, run_length = 16,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) {
    return slice / 2 * 64 + run * 32 + slice % 2 * 16;
  }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const device uint4* words = (const device uint4*)block;
    read_k_scales(words[0], slice / 2, scales, offsets);
    const uint4 quants = words[1 + slice];
    UNROLL for (int i = 0; i < 4; ++i) unpack_nibbles(quants[i], codes + 4 * i, codes + 16 + 4 * i);
    UNROLL for (int run = 0; run < 2; ++run) scales[run] *= 16.0f;
  }
};

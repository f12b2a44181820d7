// Q4_0: d, then 16 bytes; byte j holds values j and j + 16, each 8 too high.
struct Q4_0 {
  enum : uint {
    values = 32, bytes = 18, slices = 2, runs = 2, run_length = 8,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return run * 16 + slice * 8; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    UNROLL for (int i = 0; i < 2; ++i)
      unpack_nibbles(load_word(block + 2 + slice * 8 + 4 * i), codes + 4 * i, codes + 8 + 4 * i);
    scales[0] = scales[1] = 16.0f * load_half(block);
    offsets[0] = offsets[1] = -0.5f * scales[0];
  }
};

// IQ4_NL: d, then 16 bytes; byte j holds values j and j + 16.
struct IQ4_NL {
  enum : uint {
    values = 32, bytes = 18, slices = 2, runs = 2, run_length = 8,
    has_offset = 0, bias = 0,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return run * 16 + slice * 8; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    UNROLL for (int i = 0; i < 2; ++i)
      look_up_nibbles(load_word(block + 2 + slice * 8 + 4 * i), codes + 4 * i, codes + 8 + 4 * i);
    scales[0] = scales[1] = load_half(block);
    offsets[0] = offsets[1] = 0.0f;
  }
};

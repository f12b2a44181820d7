// Q8_0: d and 32 signed bytes.
struct Q8_0 {
  enum : uint {
    values = 32, bytes = 34, slices = 2, runs = 1, run_length = 16,
    has_offset = 0, bias = 0,
  };

  static METAL_FUNC uint run_start(uint slice, uint) { return slice * 16; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    UNROLL for (int i = 0; i < 4; ++i) {
      const char4 q = as_type<char4>(load_word(block + 2 + slice * 16 + 4 * i));
      UNROLL for (int k = 0; k < 4; ++k) codes[4 * i + k] = float(q[k]);
    }
    scales[0] = load_half(block);
    offsets[0] = 0.0f;
  }
};

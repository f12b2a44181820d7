// Q5_0: d, the fifth bits, then 16 bytes of nibbles; each value is 16 too high.
struct Q5_0 {
  enum : uint {
    values = 32, bytes = 22, slices = 2, runs = 2, run_length = 8,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return run * 16 + slice * 8; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    unpack_five_bits(block + 6, load_word(block + 2), slice, codes);
    scales[0] = scales[1] = 32.0f * load_half(block);
    offsets[0] = offsets[1] = -0.5f * scales[0];
  }
};

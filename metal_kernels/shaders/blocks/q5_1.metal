// Q5_1: d, m, the fifth bits, then 16 bytes of nibbles.
struct Q5_1 {
  enum : uint {
    values = 32, bytes = 24, slices = 2, runs = 2, run_length = 8,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return run * 16 + slice * 8; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    unpack_five_bits(block + 8, load_word(block + 4), slice, codes);
    scales[0] = scales[1] = 32.0f * load_half(block);
    offsets[0] = offsets[1] = load_half(block + 2);
  }
};

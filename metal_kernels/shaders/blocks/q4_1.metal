// Q4_1: d, m, then 16 bytes; byte j holds values j and j + 16.
struct Q4_1 {
  enum : uint {
    values = 32, bytes = 20, slices = 2, runs = 2, run_length = 8,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return run * 16 + slice * 8; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const device uint* words = (const device uint*)block;
    UNROLL for (int i = 0; i < 2; ++i)
      unpack_nibbles(words[1 + slice * 2 + i], codes + 4 * i, codes + 8 + 4 * i);
    const half2 head = as_type<half2>(words[0]);
    scales[0] = scales[1] = 16.0f * float(head.x);
    offsets[0] = offsets[1] = float(head.y);
  }
};

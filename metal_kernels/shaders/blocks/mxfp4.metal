// MXFP4: an exponent byte, then 16 bytes of 4-bit floats; byte j holds values j and j + 16.
// The codes are twice the floats' values, and the scale half of two to the exponent.
constant float fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct MXFP4 {
  enum : uint {
    values = 32, bytes = 17, slices = 2, runs = 2, run_length = 8,
    has_offset = 0, bias = 0,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return run * 16 + slice * 8; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    UNROLL for (int i = 0; i < 8; ++i) {
      const uint pair = block[1 + slice * 8 + i];
      codes[i] = fp4_values[pair & 15];
      codes[8 + i] = fp4_values[pair >> 4];
    }
    const uint exponent = block[0];
    const uint bits = exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23;
    scales[0] = scales[1] = as_type<float>(bits);
    offsets[0] = offsets[1] = 0.0f;
  }
};

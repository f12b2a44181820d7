// A lane reads one slice of a block at a time: `runs` runs of `run_length` codes. The values of a run
// are neighbours in the row and share a scale, so that value = scale * code + offset.
//
// Each format is a struct of this shape, `Blocks` where a kernel does not care which:
// Blocks::values, ::bytes        weights in a block, and its size in the file
// Blocks::slices                 slices of a block; neighbouring lanes read neighbouring bytes
// Blocks::run_start(slice, run)  where in the block a run begins
// Blocks::read(...)              codes, scales and offsets of one slice

// Four bits of a word, `at` and up, as 1 + code / 16: the upper mantissa of a float near one takes
// them as they are, which spares a conversion.
constant uint bits_of_one = 0x3F800000u;

METAL_FUNC float nibble_fraction(uint word, int at) {
  const uint moved = at < 19 ? word << (19 - at) : word >> (at - 19);
  return as_type<float>((moved & 0x00780000u) | bits_of_one);
}

// Low and high nibbles of the four bytes, as fractions.
METAL_FUNC void unpack_nibbles(uint word, thread float* low, thread float* high) {
  UNROLL for (int i = 0; i < 4; ++i) {
    low[i] = nibble_fraction(word, 8 * i);
    high[i] = nibble_fraction(word, 8 * i + 4);
  }
}

// Makes scale * (1 + code / 16) + offset of what was scale * code + offset.
METAL_FUNC void scale_fractions(thread float* scale, thread float* offset) {
  *scale *= 16.0f;
  *offset -= *scale;
}

// Blocks of 18, 34 or 210 bytes are aligned to two.
METAL_FUNC uint load_word(const device uchar* at) {
  const device ushort* halves = (const device ushort*)at;
  return uint(halves[0]) | uint(halves[1]) << 16;
}

METAL_FUNC float load_half(const device uchar* at) {
  return float(*(const device half*)at);
}

// A lane reads one slice of a block at a time: `runs` runs of `run_length` codes. The values of a run
// are neighbours in the row and share a scale, so that value = scale * (code - bias) + offset.
//
// Each format is a struct of this shape, `Blocks` where a kernel does not care which:
// Blocks::values, ::bytes        weights in a block, and its size in the file
// Blocks::slices                 slices of a block; neighbouring lanes read neighbouring bytes
// Blocks::run_start(slice, run)  where in the block a run begins
// Blocks::bias                   what codes begin at; code - bias is exact, and so is its scaled value
// Blocks::read(...)              codes, scales and offsets of one slice

// 1 + code / 2^BITS, twice: the upper mantissa of a half near one takes a code as it is. That spares
// a conversion, two codes are done at once, and a half is an operand of float sums at no cost.
constant uint two_ones = 0x3C003C00u;

METAL_FUNC half2 fractions(uint mantissas) { return as_type<half2>(mantissas | two_ones); }

// Low and high nibbles of the four bytes; BITS is 4.
METAL_FUNC void unpack_nibbles(uint word, thread float* low, thread float* high) {
  const half2 low0 = fractions(word << 6 & 0x03C003C0u), high0 = fractions(word << 2 & 0x03C003C0u);
  const half2 low1 = fractions(word >> 2 & 0x03C003C0u), high1 = fractions(word >> 6 & 0x03C003C0u);
  low[0] = float(low0.x), low[1] = float(low1.x), low[2] = float(low0.y), low[3] = float(low1.y);
  high[0] = float(high0.x), high[1] = float(high1.x), high[2] = float(high0.y), high[3] = float(high1.y);
}

// The four bytes, each less than 2^BITS; BITS is 2 to 6.
template <int BITS>
METAL_FUNC void unpack_bytes(uint word, thread float* codes) {
  constexpr uint field = ((1u << BITS) - 1u) << (10 - BITS), fields = field | field << 16;
  const half2 even = fractions(word << (10 - BITS) & fields);
  const half2 odd = fractions(word >> (BITS - 2) & fields);
  codes[0] = float(even.x), codes[1] = float(odd.x), codes[2] = float(even.y), codes[3] = float(odd.y);
}

// Blocks of 18, 34 or 210 bytes are aligned to two.
METAL_FUNC uint load_word(const device uchar* at) {
  const device ushort* halves = (const device ushort*)at;
  return uint(halves[0]) | uint(halves[1]) << 16;
}

METAL_FUNC float load_half(const device uchar* at) {
  return float(*(const device half*)at);
}

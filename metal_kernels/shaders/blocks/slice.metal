// A lane reads one slice of a block at a time: `runs` runs of `run_length` codes. The values of a run
// are neighbours in the row and share a scale, so that value = scale * code + offset.
//
// Each format is a struct of this shape, `Blocks` where a kernel does not care which:
// Blocks::values, ::bytes        weights in a block, and its size in the file
// Blocks::slices                 slices of a block; neighbouring lanes read neighbouring bytes
// Blocks::run_start(slice, run)  where in the block a run begins
// Blocks::read(...)              codes, scales and offsets of one slice
METAL_FUNC void unpack_nibbles(uint word, thread float* low, thread float* high) {
  const uchar4 l = as_type<uchar4>(word & 0x0F0F0F0Fu);
  const uchar4 h = as_type<uchar4>((word >> 4) & 0x0F0F0F0Fu);
  UNROLL for (int i = 0; i < 4; ++i) {
    low[i] = float(l[i]);
    high[i] = float(h[i]);
  }
}

// Blocks of 18, 34 or 210 bytes are aligned to two.
METAL_FUNC uint load_word(const device uchar* at) {
  const device ushort* halves = (const device ushort*)at;
  return uint(halves[0]) | uint(halves[1]) << 16;
}

METAL_FUNC float load_half(const device uchar* at) {
  return float(*(const device half*)at);
}

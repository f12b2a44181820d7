// y[i][K] = row ids[i] of W; one thread per slice.
const uint K = sizes[0];
const uint num_blocks = K / Blocks::values;
const uint s = thread_position_in_grid.x, i = thread_position_in_grid.y;
const uint block = s / Blocks::slices, slice = s % Blocks::slices;
constexpr uint runs = Blocks::runs, run_length = Blocks::run_length;

float codes[runs * run_length], scales[runs], offsets[runs];
const device uchar* at = w + (ulong(ids[i]) * num_blocks + block) * Blocks::bytes;
Blocks::read(at, slice, codes, scales, offsets);
UNROLL for (uint run = 0; run < runs; ++run) {
  device T* out = y + ulong(i) * K + block * Blocks::values + Blocks::run_start(slice, run);
  UNROLL for (uint k = 0; k < run_length; ++k)
    out[k] = T(scales[run] * (codes[run * run_length + k] - float(Blocks::bias)) + offsets[run]);
}

// A token's row of one kv head in the pool: D elements of its key, then DV of its value.
template <typename P, int D, int DV>
METAL_FUNC vec<float, 4> load_key(const device P* pool, uint slot, int part) {
  const vec<P, 4> stored = ((const device vec<P, 4>*)(pool + ulong(slot) * (D + DV)))[part];
  vec<float, 4> key;
  UNROLL for (int i = 0; i < 4; ++i) key[i] = float(stored[i]);
  return key;
}

template <int WIDTH, typename P, int D, int DV>
METAL_FUNC vec<float, WIDTH> load_value(const device P* pool, uint slot, int part) {
  const vec<P, WIDTH> stored = ((const device vec<P, WIDTH>*)(pool + ulong(slot) * (D + DV) + D))[part];
  vec<float, WIDTH> value;
  UNROLL for (int i = 0; i < WIDTH; ++i) value[i] = float(stored[i]);
  return value;
}

template <typename P, int D, int DV>
METAL_FUNC const device P* find_row(const device P* pool, uint slot) {
  return pool + ulong(slot) * (D + DV);
}

// Elements 4 * part and on of the row, key and value counted as one.
template <typename F, typename P, int D, int DV>
METAL_FUNC vec<F, 4> load_part(const device P* row, int part) {
  const vec<P, 4> stored = ((const device vec<P, 4>*)row)[part];
  vec<F, 4> values;
  UNROLL for (int i = 0; i < 4; ++i) values[i] = F(stored[i]);
  return values;
}

// K [Hkv, L, D] and V [Hkv, L, DV] of one sequence; four elements per thread.
const uint part = thread_position_in_grid.x, token = thread_position_in_grid.y;
const uint head = thread_position_in_grid.z;
const uint num_tokens = sizes[1], num_heads = threads_per_grid.z;
const uint slot = (uint(block_tables[sizes[0] + token / BS]) * num_heads + head) * BS + token % BS;
const vec<float, 4> stored = part < D / 4 ? load_key<P, D, DV>(pool, slot, part)
                                          : load_value<4, P, D, DV>(pool, slot, part - D / 4);
vec<T, 4> value;
UNROLL for (int i = 0; i < 4; ++i) value[i] = T(stored[i]);
const ulong row = ulong(head) * num_tokens + token;
if (part < D / 4)
  ((device vec<T, 4>*)k)[row * (D / 4) + part] = value;
else
  ((device vec<T, 4>*)v)[row * (DV / 4) + part - D / 4] = value;

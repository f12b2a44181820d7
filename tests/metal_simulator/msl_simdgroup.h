// Barriers, simd operations and 8x8 matrices: every lane of the simdgroup (of the threadgroup, for its
// barrier) must arrive at the same one. Included by msl.h.
#pragma once

enum class mem_flags { mem_none, mem_threadgroup, mem_device };
inline void threadgroup_barrier(mem_flags, int line = __builtin_LINE()) { sim::threadgroup_barrier(line); }
inline void simdgroup_barrier(mem_flags, int line = __builtin_LINE()) { sim::simdgroup_barrier(line); }

namespace sim {
template <class T>
T& operand(Slots& slots, uint32_t lane) { return *reinterpret_cast<T*>(slots.data[lane]); }

template <class T, auto op>
void reduce(Slots& slots, uint32_t) {
  T result = operand<T>(slots, 0);
  for (uint32_t i = 1; i < simd_width; ++i) result = op(result, operand<T>(slots, i));
  for (uint32_t i = 0; i < simd_width; ++i) operand<T>(slots, i) = result;
}

template <class T>
struct Routed {
  T value;
  uint32_t from;
};

template <class T>
void route(Slots& slots, uint32_t) {
  T values[simd_width];
  for (uint32_t i = 0; i < simd_width; ++i) values[i] = operand<Routed<T>>(slots, i).value;
  for (uint32_t i = 0; i < simd_width; ++i) {
    Routed<T>& r = operand<Routed<T>>(slots, i);
    r.value = values[r.from % simd_width];
  }
}

template <class T>
T fetch_from(T value, uint32_t lane, const char* op, int line) {
  Routed<T> r{value, lane};
  static_assert(sizeof(r) <= slot_bytes);
  collective(op, line, &r, sizeof(r), route<T>, 0);
  return r.value;
}

template <class T> T add(T a, T b) { return a + b; }
}  // namespace sim

#define SIM_REDUCTION(name, op)                                                 \
  template <class T>                                                            \
  inline T name(T value, int line = __builtin_LINE()) {                         \
    sim::collective(#name, line, &value, sizeof(T), sim::reduce<T, op<T>>, 0);  \
    return value;                                                               \
  }
SIM_REDUCTION(simd_sum, sim::add)
SIM_REDUCTION(simd_max, metal::max)
SIM_REDUCTION(simd_min, metal::min)
#undef SIM_REDUCTION

template <class T>
inline T simd_shuffle(T value, ushort lane, int line = __builtin_LINE()) {
  return sim::fetch_from(value, lane, "simd_shuffle", line);
}
template <class T>
inline T simd_broadcast(T value, ushort lane, int line = __builtin_LINE()) {
  return sim::fetch_from(value, lane, "simd_broadcast", line);
}
template <class T>
inline T simd_shuffle_xor(T value, ushort mask, int line = __builtin_LINE()) {
  return sim::fetch_from(value, sim::current().lane ^ mask, "simd_shuffle_xor", line);
}
template <class T>
inline T simd_shuffle_down(T value, ushort delta, int line = __builtin_LINE()) {
  const uint32_t lane = sim::current().lane;
  return sim::fetch_from(value, lane + delta < sim::simd_width ? lane + delta : lane, "simd_shuffle_down", line);
}

// 8x8 matrices spread over a simdgroup.

namespace sim {
// Apple's layout: a lane holds two neighbouring columns of one row.
inline uint32_t matrix_row(uint32_t lane) { return (lane / 4 & 4) + lane / 2 % 4; }
inline uint32_t matrix_column(uint32_t lane) { return (lane / 4 & 2) * 2 + lane % 2 * 2; }

struct MultiplyAccumulate {
  float a[2], b[2], c[2];
};

inline void multiply_accumulate(Slots& slots, uint32_t) {
  float a[8][8], b[8][8];
  for (uint32_t lane = 0; lane < simd_width; ++lane) {
    const auto& m = operand<MultiplyAccumulate>(slots, lane);
    for (int i = 0; i < 2; ++i) {
      a[matrix_row(lane)][matrix_column(lane) + i] = m.a[i];
      b[matrix_row(lane)][matrix_column(lane) + i] = m.b[i];
    }
  }
  for (uint32_t lane = 0; lane < simd_width; ++lane) {
    auto& m = operand<MultiplyAccumulate>(slots, lane);
    for (int i = 0; i < 2; ++i)
      for (int k = 0; k < 8; ++k) m.c[i] += a[matrix_row(lane)][k] * b[k][matrix_column(lane) + i];
  }
}
}  // namespace sim

template <class T, int Columns, int Rows>
struct simdgroup_matrix {
  static_assert(Columns == 8 && Rows == 8);
  vec<T, 2> elements;
  simdgroup_matrix() = default;
  explicit simdgroup_matrix(T value) : elements(value) {}
  vec<T, 2>& thread_elements() { return elements; }
  const vec<T, 2>& thread_elements() const { return elements; }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;

template <class T, int Columns, int Rows>
inline simdgroup_matrix<T, Columns, Rows> make_filled_simdgroup_matrix(T value) {
  return simdgroup_matrix<T, Columns, Rows>(value);
}

template <class A, class B, class C, class D>
inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a,
                                          const simdgroup_matrix<B, 8, 8>& b,
                                          const simdgroup_matrix<C, 8, 8>& c, int line = __builtin_LINE()) {
  sim::MultiplyAccumulate m{{float(a.elements[0]), float(a.elements[1])},
                            {float(b.elements[0]), float(b.elements[1])},
                            {float(c.elements[0]), float(c.elements[1])}};
  sim::collective("simdgroup_multiply_accumulate", line, &m, sizeof(m), sim::multiply_accumulate, 0);
  d.elements = vec<D, 2>(D(m.c[0]), D(m.c[1]));
}

template <class T, Space S, class P>
inline void simdgroup_load(simdgroup_matrix<T, 8, 8>& m, const Pointer<S, P>& from, ulong stride = 8,
                           ulong2 origin = 0, bool transposed = false, int line = __builtin_LINE()) {
  static_assert(__is_same(mutable_t<P>, T));
  sim::collective("simdgroup_load", line, &m, 0, nullptr, 0);
  const uint row = sim::matrix_row(sim::current().lane), column = sim::matrix_column(sim::current().lane);
  for (int i = 0; i < 2; ++i) {
    const ulong r = (transposed ? column + i : row) + origin.y, c = (transposed ? row : column + i) + origin.x;
    m.elements[i] = from[r * stride + c];
  }
}

template <class T, Space S>
inline void simdgroup_store(const simdgroup_matrix<T, 8, 8>& m, const Pointer<S, T>& to, ulong stride = 8,
                            ulong2 origin = 0, bool transposed = false, int line = __builtin_LINE()) {
  sim::collective("simdgroup_store", line, nullptr, 0, nullptr, 0);
  const uint row = sim::matrix_row(sim::current().lane), column = sim::matrix_column(sim::current().lane);
  for (int i = 0; i < 2; ++i) {
    const ulong r = (transposed ? column + i : row) + origin.y, c = (transposed ? row : column + i) + origin.x;
    to[r * stride + c] = m.elements[i];
  }
}

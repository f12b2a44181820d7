// Barriers, simd operations and 8x8 matrices of the dialect on CUDA: a simdgroup is a warp.

enum class mem_flags { mem_none, mem_threadgroup, mem_device };
inline void threadgroup_barrier(mem_flags) { __syncthreads(); }
inline void simdgroup_barrier(mem_flags) { __syncwarp(); }

// A lane of Apple's 8x8 layout, bits (r2 c2 r1 r0 c1) of row and column, is the warp's lane with bits
// (r2 r1 r0 c2 c1) where LANES_AS_MATRIX is set: a matrix is then one operand of `mma` as it stands.
constexpr uint warp_lane(uint lane) {
  return LANES_AS_MATRIX ? (lane & 17) | (lane & 6) << 1 | (lane & 8) >> 2 : lane;
}
constexpr uint simd_lane(uint lane) {
  return LANES_AS_MATRIX ? (lane & 17) | (lane & 12) >> 1 | (lane & 2) << 2 : lane;
}
constexpr bool lanes_fit() {
  for (uint lane = 0; lane < 32; ++lane) {
    const uint simd = simd_lane(lane);
    const uint row = (simd / 4 & 4) + simd / 2 % 4, column = (simd / 4 & 2) * 2 + simd % 2 * 2;
    if (warp_lane(simd) != lane) return false;
    if (LANES_AS_MATRIX && (row != lane / 4 || column != lane % 4 * 2)) return false;
  }
  return true;
}
static_assert(lanes_fit());

constexpr uint all_lanes = 0xffffffffu;

inline uint own_lane() {
  uint lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

inline float carried(float value) { return value; }
inline int carried(int value) { return value; }
inline uint carried(uint value) { return value; }
inline uint carried(half value) { return value.bits; }

template <class T>
inline T simd_shuffle(T value, ushort lane) {
  return T(__shfl_sync(all_lanes, carried(value), warp_lane(lane)));
}
template <class T>
inline T simd_broadcast(T value, ushort lane) { return simd_shuffle(value, lane); }
template <class T>
inline T simd_shuffle_xor(T value, ushort mask) {
  return T(__shfl_xor_sync(all_lanes, carried(value), warp_lane(mask)));
}
template <class T>
inline T simd_shuffle_down(T value, ushort delta) {
  const uint lane = simd_lane(own_lane());
  return simd_shuffle(value, lane + delta < 32 ? lane + delta : lane);
}

#define MSL_REDUCTION(name, op)                                                       \
  template <class T>                                                                  \
  inline T name(T value) {                                                            \
    for (uint step = 16; step; step /= 2) value = op(value, simd_shuffle_xor(value, step)); \
    return value;                                                                     \
  }
template <class T> inline T add(T a, T b) { return a + b; }
MSL_REDUCTION(simd_sum, add)
MSL_REDUCTION(simd_max, metal::max)
MSL_REDUCTION(simd_min, metal::min)
#undef MSL_REDUCTION

// 8x8 matrices: a lane holds two neighbouring columns of one row.

template <class T, int Columns, int Rows>
struct simdgroup_matrix {
  vec<T, 2> elements;
  float idle[2] = {0.0f, 0.0f};  // the lower half of what `mma` sums: zero, and kept in place
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

// The lane that holds column c of row r, as the warp counts.
inline uint matrix_owner(uint r, uint c) { return r << 2 | c >> 1; }

// Any types: each element is summed by its owner, in float. Slow, and rolled up to compile in time.
template <class A, class B>
inline void multiply(simdgroup_matrix<float, 8, 8>& sum, const simdgroup_matrix<A, 8, 8>& a,
                     const simdgroup_matrix<B, 8, 8>& b) {
  const uint lane = own_lane(), row = lane / 4, column = lane % 4 * 2;
#pragma unroll 1
  for (uint k = 0; k < 8; ++k) {
    const float left = __shfl_sync(all_lanes, float(a.elements.x), matrix_owner(row, k));
    const float right = __shfl_sync(all_lanes, float(a.elements.y), matrix_owner(row, k));
    const float factor = k % 2 ? right : left;
    for (uint i = 0; i < 2; ++i)
      sum.elements[i] += factor * __shfl_sync(all_lanes, float(b.elements[i]), matrix_owner(k, column));
  }
}

// Halves: the upper half of a 16x8 left operand, and the right one turned, as `mma` wants it.
inline void multiply(simdgroup_matrix<float, 8, 8>& sum, const simdgroup_half8x8& a,
                     const simdgroup_half8x8& b) {
  uint turned;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(as_type<uint>(b.elements)));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum.elements.x), "+f"(sum.elements.y), "+f"(sum.idle[0]), "+f"(sum.idle[1])
      : "r"(as_type<uint>(a.elements)), "r"(0), "r"(turned));
}

template <class A, class B>
inline void simdgroup_multiply_accumulate(simdgroup_matrix<float, 8, 8>& d,
                                          const simdgroup_matrix<A, 8, 8>& a,
                                          const simdgroup_matrix<B, 8, 8>& b,
                                          const simdgroup_matrix<float, 8, 8>& c) {
  static_assert(LANES_AS_MATRIX);
  d = c;
  multiply(d, a, b);
}

template <class T, class P>
inline void simdgroup_load(simdgroup_matrix<T, 8, 8>& m, const P* from, ulong stride = 8,
                           ulong2 origin = 0, bool transposed = false) {
  const uint lane = own_lane(), row = lane / 4, column = lane % 4 * 2;
  for (uint i = 0; i < 2; ++i) {
    const ulong r = (transposed ? column + i : row) + origin.y, c = (transposed ? row : column + i) + origin.x;
    m.elements[i] = from[r * stride + c];
  }
}

template <class T>
inline void simdgroup_store(const simdgroup_matrix<T, 8, 8>& m, T* to, ulong stride = 8, ulong2 origin = 0,
                            bool transposed = false) {
  const uint lane = own_lane(), row = lane / 4, column = lane % 4 * 2;
  for (uint i = 0; i < 2; ++i) {
    const ulong r = (transposed ? column + i : row) + origin.y, c = (transposed ? row : column + i) + origin.x;
    to[r * stride + c] = m.elements[i];
  }
}

// Scalars, vectors and mathematics of the dialect, for any C++20 compiler, a GPU's included.
// The includer has defined `half` with float's conversions, and the C library's mathematics.
#pragma once

typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef unsigned long ulong;
#define M_LOG2E_F 1.44269504088896340736f
#define M_PI_F 3.14159265358979323846f

struct bfloat {
  ushort bits;
  bfloat() = default;
  bfloat(float f) {
    const uint u = __builtin_bit_cast(uint, f);
    bits = f != f ? 0x7fc0 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
  }
  operator float() const { return __builtin_bit_cast(float, uint(bits) << 16); }
};
typedef bfloat bfloat16_t;

template <class To, class From>
inline To as_type(From value) { return __builtin_bit_cast(To, value); }

// Vectors: components by name or index, no swizzles.

template <class T, int N>
struct components;
template <class T>
struct components<T, 2> { union { T e[2]; struct { T x, y; }; }; };
template <class T>
struct components<T, 3> { union { T e[3]; struct { T x, y, z; }; }; };
template <class T>
struct components<T, 4> { union { T e[4]; struct { T x, y, z, w; }; }; };

template <class T, int N>
struct alignas(sizeof(T) * (N == 3 ? 4 : N)) vec : components<T, N> {
  using components<T, N>::e;
  vec() = default;
  vec(T value) { for (int i = 0; i < N; ++i) e[i] = value; }
  template <class... A>
    requires(sizeof...(A) == N && N > 1)
  vec(A... values) {
    int i = 0;
    ((e[i++] = T(values)), ...);
  }
  template <class U>
  explicit vec(const vec<U, N>& other) { for (int i = 0; i < N; ++i) e[i] = T(other.e[i]); }
  T& operator[](int i) { return e[i]; }
  const T& operator[](int i) const { return e[i]; }
};

// Lets the vector alone decide T.
template <class T>
struct identity { typedef T type; };
template <class T>
using scalar_of = typename identity<T>::type;

#define MSL_VECTOR_OPERATOR(op)                                                               \
  template <class T, int N>                                                                   \
  inline vec<T, N> operator op(vec<T, N> a, const vec<T, N>& b) {                             \
    for (int i = 0; i < N; ++i) a.e[i] = T(a.e[i] op b.e[i]);                                 \
    return a;                                                                                 \
  }                                                                                           \
  template <class T, int N>                                                                   \
  inline vec<T, N> operator op(vec<T, N> a, scalar_of<T> b) { return a op vec<T, N>(b); } \
  template <class T, int N>                                                                   \
  inline vec<T, N> operator op(scalar_of<T> a, vec<T, N> b) { return vec<T, N>(a) op b; } \
  template <class T, int N, class B>                                                          \
  inline vec<T, N>& operator op##=(vec<T, N>& a, const B& b) { return a = a op b; }
MSL_VECTOR_OPERATOR(+)
MSL_VECTOR_OPERATOR(-)
MSL_VECTOR_OPERATOR(*)
MSL_VECTOR_OPERATOR(/)
MSL_VECTOR_OPERATOR(&)
MSL_VECTOR_OPERATOR(|)
MSL_VECTOR_OPERATOR(>>)
MSL_VECTOR_OPERATOR(<<)
#undef MSL_VECTOR_OPERATOR

#define MSL_VECTOR_NAMES(T) \
  typedef vec<T, 2> T##2;   \
  typedef vec<T, 3> T##3;   \
  typedef vec<T, 4> T##4;
MSL_VECTOR_NAMES(float)
MSL_VECTOR_NAMES(half)
MSL_VECTOR_NAMES(bfloat)
MSL_VECTOR_NAMES(int)
MSL_VECTOR_NAMES(uint)
MSL_VECTOR_NAMES(short)
MSL_VECTOR_NAMES(ushort)
MSL_VECTOR_NAMES(char)
MSL_VECTOR_NAMES(uchar)
MSL_VECTOR_NAMES(ulong)
#undef MSL_VECTOR_NAMES

template <class T, int N>
inline T dot(const vec<T, N>& a, const vec<T, N>& b) {
  T sum = T(0);
  for (int i = 0; i < N; ++i) sum += a.e[i] * b.e[i];
  return sum;
}

// Functions.

namespace metal {
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }
template <class T> inline T clamp(T x, T low, T high) { return min(max(x, low), high); }
template <class T> inline T select(T a, T b, bool c) { return c ? b : a; }
inline float exp(float x) { return ::expf(x); }
inline float exp2(float x) { return ::exp2f(x); }
inline float log(float x) { return ::logf(x); }
inline float log2(float x) { return ::log2f(x); }
inline float tanh(float x) { return ::tanhf(x); }
inline float sqrt(float x) { return ::sqrtf(x); }
inline float rsqrt(float x) { return 1.0f / ::sqrtf(x); }
inline float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
inline float rint(float x) { return ::rintf(x); }
inline float floor(float x) { return ::floorf(x); }
inline float abs(float x) { return ::fabsf(x); }
inline float cos(float x) { return ::cosf(x); }
inline float sin(float x) { return ::sinf(x); }
inline float pow(float x, float y) { return ::powf(x, y); }
namespace precise {
using metal::cos;
using metal::exp;
using metal::sin;
using metal::tanh;
}  // namespace precise
}  // namespace metal
using namespace metal;

// The subset of the Metal Shading Language that our kernels use, for a C++20 host compiler.
// dialect.py has turned `device T*` into Pointer<Space::device, T>, `threadgroup T x[N]` into a call.
#pragma once
#include <type_traits>

#include "runtime.h"

typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef unsigned long ulong;
typedef _Float16 half;
typedef half float16_t;

#define METAL_FUNC inline
#undef INFINITY
#define INFINITY __builtin_inff()
#define M_LOG2E_F 1.44269504088896340736f
#define M_PI_F 3.14159265358979323846f

struct bfloat {
  uint16_t bits;
  bfloat() = default;
  template <class A>
    requires std::is_arithmetic_v<A>
  bfloat(A value) {
    const float f = float(value);
    const uint32_t u = __builtin_bit_cast(uint32_t, f);
    bits = f != f ? 0x7fc0 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
  }
  operator float() const { return __builtin_bit_cast(float, uint32_t(bits) << 16); }
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

#define SIM_VECTOR_OPERATOR(op)                                                               \
  template <class T, int N>                                                                   \
  inline vec<T, N> operator op(vec<T, N> a, const vec<T, N>& b) {                             \
    for (int i = 0; i < N; ++i) a.e[i] = T(a.e[i] op b.e[i]);                                 \
    return a;                                                                                 \
  }                                                                                           \
  template <class T, int N>                                                                   \
  inline vec<T, N> operator op(vec<T, N> a, std::type_identity_t<T> b) { return a op vec<T, N>(b); } \
  template <class T, int N>                                                                   \
  inline vec<T, N> operator op(std::type_identity_t<T> a, vec<T, N> b) { return vec<T, N>(a) op b; } \
  template <class T, int N, class B>                                                          \
  inline vec<T, N>& operator op##=(vec<T, N>& a, const B& b) { return a = a op b; }
SIM_VECTOR_OPERATOR(+)
SIM_VECTOR_OPERATOR(-)
SIM_VECTOR_OPERATOR(*)
SIM_VECTOR_OPERATOR(/)
SIM_VECTOR_OPERATOR(&)
SIM_VECTOR_OPERATOR(|)
SIM_VECTOR_OPERATOR(>>)
SIM_VECTOR_OPERATOR(<<)
#undef SIM_VECTOR_OPERATOR

#define SIM_VECTOR_NAMES(T) \
  typedef vec<T, 2> T##2;   \
  typedef vec<T, 3> T##3;   \
  typedef vec<T, 4> T##4;
SIM_VECTOR_NAMES(float)
SIM_VECTOR_NAMES(half)
SIM_VECTOR_NAMES(bfloat)
SIM_VECTOR_NAMES(int)
SIM_VECTOR_NAMES(uint)
SIM_VECTOR_NAMES(short)
SIM_VECTOR_NAMES(ushort)
SIM_VECTOR_NAMES(char)
SIM_VECTOR_NAMES(uchar)
SIM_VECTOR_NAMES(ulong)
#undef SIM_VECTOR_NAMES

template <class T, int N>
inline T dot(const vec<T, N>& a, const vec<T, N>& b) {
  T sum = T(0);
  for (int i = 0; i < N; ++i) sum += a.e[i] * b.e[i];
  return sum;
}

// Pointers into device, constant and threadgroup memory.

template <class T>
struct Reference {
  const sim::Region* region;
  int64_t offset;
  operator T() const {
    sim::read(region, offset, sizeof(T), alignof(T));
    T value;
    __builtin_memcpy(&value, region->data + offset, sizeof(T));
    return value;
  }
  template <class U>
  explicit operator U() const { return U(T(*this)); }
  Reference(const sim::Region* r, int64_t o) : region(r), offset(o) {}
  Reference(const Reference&) = default;
  T operator=(T value) const {
    sim::write(region, offset, sizeof(T), alignof(T));
    __builtin_memcpy(region->data + offset, &value, sizeof(T));
    return value;
  }
  T operator=(const Reference& other) const { return *this = T(other); }
  T operator+=(T value) const { return *this = T(T(*this) + value); }
  T operator*=(T value) const { return *this = T(T(*this) * value); }
};

// Address spaces are part of the type: mixing them is an error to Metal's compiler, hence to ours.
enum class Space { device, constant, threadgroup };

template <Space S, class T>
struct Pointer {
  const sim::Region* region = nullptr;
  int64_t offset = 0;
  Pointer() = default;
  Pointer(const sim::Region* r, int64_t o = 0) : region(r), offset(o) {}
  Pointer(const Pointer<S, std::remove_const_t<T>>& p)
    requires std::is_const_v<T>
      : region(p.region), offset(p.offset) {}
  Pointer(const Pointer&) = default;
  Pointer& operator=(const Pointer&) = default;
  template <class U>
    requires(std::is_const_v<T> || !std::is_const_v<U>)
  explicit Pointer(const Pointer<S, U>& p) : region(p.region), offset(p.offset) {}

  template <class I>
    requires std::is_integral_v<I>
  auto operator[](I i) const { return *(*this + i); }
  auto operator*() const {
    if constexpr (std::is_const_v<T>) {
      return std::remove_const_t<T>(Reference<std::remove_const_t<T>>(region, offset));
    } else {
      return Reference<T>(region, offset);
    }
  }
  template <class I>
    requires std::is_integral_v<I>
  Pointer operator+(I i) const { return {region, offset + int64_t(i) * int64_t(sizeof(T))}; }
  template <class I>
    requires std::is_integral_v<I>
  Pointer operator-(I i) const { return {region, offset - int64_t(i) * int64_t(sizeof(T))}; }
  template <class I>
  Pointer& operator+=(I i) { return *this = *this + i; }
  Pointer& operator++() { return *this += 1; }
};

template <class To, Space S, class T>
inline To address_cast(const Pointer<S, T>& p) {
  return [&]<class U>(Pointer<S, U>*) { return Pointer<S, U>(p.region, p.offset); }(static_cast<To*>(nullptr));
}

template <class T, uint32_t N>
inline Pointer<Space::threadgroup, T> threadgroup_array(const char* name) {
  static_assert(sizeof(T) > 1, "races are tracked in units of two bytes");
  return {sim::threadgroup_array(name, sizeof(T) * N)};
}

// Functions.

namespace metal {
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }
template <class T> inline T clamp(T x, T low, T high) { return min(max(x, low), high); }
template <class T> inline T select(T a, T b, bool c) { return c ? b : a; }
inline float exp(float x) { return __builtin_expf(x); }
inline float exp2(float x) { return __builtin_exp2f(x); }
inline float log(float x) { return __builtin_logf(x); }
inline float log2(float x) { return __builtin_log2f(x); }
inline float tanh(float x) { return __builtin_tanhf(x); }
inline float sqrt(float x) { return __builtin_sqrtf(x); }
inline float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float rint(float x) { return __builtin_rintf(x); }
inline float floor(float x) { return __builtin_floorf(x); }
inline float abs(float x) { return __builtin_fabsf(x); }
inline float cos(float x) { return __builtin_cosf(x); }
inline float sin(float x) { return __builtin_sinf(x); }
inline float pow(float x, float y) { return __builtin_powf(x, y); }
namespace precise {
using metal::cos;
using metal::exp;
using metal::sin;
using metal::tanh;
}  // namespace precise
}  // namespace metal
using namespace metal;

#include "msl_simdgroup.h"

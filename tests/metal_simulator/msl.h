// The subset of the Metal Shading Language that our kernels use, for a C++20 host compiler.
// dialect.py has turned `device T*` into Pointer<Space::device, T>, `threadgroup T x[N]` into a call.
#pragma once
#include "runtime.h"

typedef _Float16 half;
typedef half float16_t;

#define METAL_FUNC inline
#define INFINITY __builtin_inff()

// No header of the library's: reading <math.h> takes longer than compiling most kernels.
extern "C" {
float expf(float), exp2f(float), logf(float), log2f(float), tanhf(float), sqrtf(float);
float rintf(float), floorf(float), fabsf(float), cosf(float), sinf(float);
float fmaf(float, float, float), powf(float, float);
}

template <class T> constexpr bool is_const = false;
template <class T> constexpr bool is_const<const T> = true;
template <class T> struct without_const { using type = T; };
template <class T> struct without_const<const T> { using type = T; };
template <class T> using mutable_t = typename without_const<T>::type;
template <class T>
concept integer = requires(T i) { i % 2; };

#include "msl_types.h"

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
  Pointer(const Pointer<S, mutable_t<T>>& p)
    requires is_const<T>
      : region(p.region), offset(p.offset) {}
  Pointer(const Pointer&) = default;
  Pointer& operator=(const Pointer&) = default;
  template <class U>
    requires(is_const<T> || !is_const<U>)
  explicit Pointer(const Pointer<S, U>& p) : region(p.region), offset(p.offset) {}

  template <integer I>
  auto operator[](I i) const { return *(*this + i); }
  auto operator*() const {
    if constexpr (is_const<T>) {
      return mutable_t<T>(Reference<mutable_t<T>>(region, offset));
    } else {
      return Reference<T>(region, offset);
    }
  }
  template <integer I>
  Pointer operator+(I i) const { return {region, offset + int64_t(i) * int64_t(sizeof(T))}; }
  template <integer I>
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

#include "msl_simdgroup.h"

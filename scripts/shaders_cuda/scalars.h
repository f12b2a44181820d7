// What msl_types.h, the simulator's header of vectors and mathematics, expects of its includer.
// NVRTC knows the C library's mathematics by itself; `half` is here to need no header of CUDA's.

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;

struct half {
  uint16_t bits;
  half() = default;
  half(float value) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value)); }
  operator float() const {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
  }
};
typedef half float16_t;

#define METAL_FUNC __forceinline__
#undef INFINITY
#define INFINITY __int_as_float(0x7f800000)

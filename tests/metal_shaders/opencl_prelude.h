// Metal's names for OpenCL C++, which has the same address spaces and checks them. Only types matter:
// nothing is linked or run.
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define device __global
#define threadgroup __local
#define constant __constant
#define thread __private
#define METAL_FUNC inline

typedef half float16_t;
typedef half bfloat16_t;  // a stand-in of the same size
typedef uchar uint8_t;
typedef int int32_t;

template <class T, int N>
using vec = T __attribute__((ext_vector_type(N)));

template <class To, class From>
inline To as_type(From value) { return __builtin_bit_cast(To, value); }

enum class mem_flags { mem_none, mem_threadgroup, mem_device };
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
float simd_sum(float);
float simd_max(float);
template <class T> T simd_shuffle(T, ushort);
template <class T> T simd_broadcast(T, ushort);
template <class T> T simd_shuffle_xor(T, ushort);

template <class T, int Columns, int Rows>
struct simdgroup_matrix {
  vec<T, 2> elements;
  thread vec<T, 2>& thread_elements() thread { return elements; }
};
template <class T, int Columns, int Rows>
simdgroup_matrix<T, Columns, Rows> make_filled_simdgroup_matrix(T);
template <class D, class A, class B, class C>
void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8>&, thread const simdgroup_matrix<A, 8, 8>&,
                                   thread const simdgroup_matrix<B, 8, 8>&,
                                   thread const simdgroup_matrix<C, 8, 8>&);

namespace metal {
inline float abs(float x) { return ::fabs(x); }
using ::clamp;
using ::exp2;
using ::log2;
using ::rint;
using ::tanh;
namespace precise {
using ::cos;
using ::sin;
}  // namespace precise
}  // namespace metal

// What NVRTC knows by itself, for clang without CUDA's headers: only declared, nothing runs.
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

struct Three { unsigned x, y, z; };
extern __device__ const Three threadIdx, blockIdx, blockDim, gridDim;
__device__ void __syncthreads();
__device__ void __syncwarp();
__device__ float __int_as_float(int);
template <class T> __device__ T __shfl_sync(unsigned mask, T value, unsigned lane);
template <class T> __device__ T __shfl_xor_sync(unsigned mask, T value, unsigned lanes);
extern "C" {
__device__ float expf(float), exp2f(float), logf(float), log2f(float), tanhf(float), sqrtf(float);
__device__ float fmaf(float, float, float), rintf(float), floorf(float), fabsf(float);
__device__ float cosf(float), sinf(float), powf(float, float);
}
#pragma clang force_cuda_host_device begin

// Picks the kernels for this processor.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "kernels.h"

namespace localllm {
namespace {

const Kernels kScalarKernels = {"scalar",      scalar::kMatmul,    scalar::kAttention,
                                scalar::kInt8, scalar::kPointwise, scalar::kQuantize};
const Kernels kAvx2Kernels = {"avx2",      avx2::kMatmul,    avx2::kAttention,
                              avx2::kInt8, avx2::kPointwise, avx2::kQuantize};
const Kernels kAvx512Kernels = {"avx512",      avx512::kMatmul,    avx512::kAttention,
                                avx512::kInt8, avx512::kPointwise, avx512::kQuantize};
const Kernels kAmxKernels = {"amx",         amx::kMatmul,       avx512::kAttention,
                             avx512::kInt8, avx512::kPointwise, avx512::kQuantize};

const Kernels* chosen = nullptr;

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

// The kernel hands out the tile registers' state only to processes that ask for it.
bool has_amx() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  bool bf16 = edx & (1u << 22), tile = edx & (1u << 24), int8 = edx & (1u << 25);
  return bf16 && tile && int8 && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::vector<const Kernels*> available() {  // best last
  std::vector<const Kernels*> all = {&kScalarKernels};
  if (has_avx2()) all.push_back(&kAvx2Kernels);
  if (has_avx512()) all.push_back(&kAvx512Kernels);
  if (has_amx()) all.push_back(&kAmxKernels);
  return all;
}

}  // namespace

const char* choose_isa(const char* name) {
  chosen = nullptr;
  for (const Kernels* k : available())
    if (!*name || std::strcmp(k->name, name) == 0) chosen = k;
  return chosen ? chosen->name : "";
}

const Kernels& kernels() {
  if (!chosen) choose_isa("");
  return *chosen;
}

}  // namespace localllm

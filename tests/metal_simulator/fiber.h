// A stack that can be left and resumed: one for every lane.
#pragma once
#include <cstddef>

#if !defined(__x86_64__) || !defined(__linux__)
#define SIM_UCONTEXT 1
#include <ucontext.h>
#endif

namespace sim {
namespace {

constexpr size_t stack_bytes = 256 * 1024;

#ifdef SIM_UCONTEXT
struct Fiber {
  ucontext_t context;
};
void fiber_switch(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
void fiber_start(Fiber& fiber, char* stack, void (*entry)()) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
}
#else
struct Fiber {
  void* stack_pointer;
};
extern "C" void sim_switch(void** from, void* to);
asm(R"(
.text
.globl sim_switch
.hidden sim_switch
sim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
void fiber_switch(Fiber& from, Fiber& to) { sim_switch(&from.stack_pointer, to.stack_pointer); }
void fiber_start(Fiber& fiber, char* stack, void (*entry)()) {
  auto top = reinterpret_cast<void**>(stack + stack_bytes);
  *--top = nullptr;  // keeps the stack 16-byte aligned at entry, as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber.stack_pointer = top;
}
#endif

}  // namespace
}  // namespace sim

// For loops whose index picks a register: left rolled, the array would live in memory.
#define UNROLL _Pragma("clang loop unroll(full)")

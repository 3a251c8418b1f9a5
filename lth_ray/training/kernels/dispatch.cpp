// What the machine can run, and what this library was built from. Compiled for any processor.
#include <cstdint>

#include "exported.h"

// 2 for avx512, 1 for avx2, 0 for neither.
EXPORTED int32_t instruction_set() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide ? 2 : 1;
#else
    return 0;
#endif
}

EXPORTED const char* source() { return TEXT(SOURCE); }

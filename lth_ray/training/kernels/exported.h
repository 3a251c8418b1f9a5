// The names that lth_ray/training/kernels/library.py finds functions by: NAMED(train, float, avx2) is train_float_avx2.
#pragma once

#define EXPORTED extern "C" __attribute__((visibility("default")))
#define NAMED(name, kind, isa) JOINED(name, kind, isa)
#define JOINED(a, b, c) a##_##b##_##c
#define TEXT(value) TEXT_OF(value)
#define TEXT_OF(value) #value

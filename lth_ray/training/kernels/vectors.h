// Vectors of the widest kind the instruction set has, in the compilers' own vector types: no intrinsics, any processor.
//
// Everything here and in the other headers is `static` or in an unnamed namespace, and uses no template of the standard
// library: the same source is compiled once for each instruction set, and a linker that merged one copy's functions with
// another's would leave instructions behind that a processor may not have.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

namespace {

template <class T>
struct Of {
    typedef T Vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
};
template <>
struct Of<float> {
    typedef float Vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef int32_t Lanes __attribute__((vector_size(VECTOR_BYTES)));
};
template <>
struct Of<double> {
    typedef double Vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef int64_t Lanes __attribute__((vector_size(VECTOR_BYTES)));
};

template <class T>
using Vector = typename Of<T>::Vector;

template <class T>
constexpr int LANES = VECTOR_BYTES / sizeof(T);
constexpr int WIDE = 4;  // vectors of a tile
// Vectors of a row that are worked on together: six rows of them, with what they are made of, fit into the registers,
// which are 32 of AVX-512 and 16 of the others.
constexpr int ABREAST = VECTOR_BYTES == 64 ? 4 : 2;
// Images that go through the network side by side: the last, contiguous dimension of activations.
template <class T>
constexpr int TILE = WIDE * LANES<T>;

template <class T>
inline Vector<T> all(T value) {
    return value - Vector<T>{};
}

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
template <class T>
inline Vector<T> roots(Vector<T> x) {
    Vector<T> found;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES<T>; lane++) found[lane] = root(x[lane]);
    return found;
}
inline float exponential(float x) { return ::expf(x); }
inline double exponential(double x) { return ::exp(x); }
inline double logarithm(double x) { return ::log(x); }

// For each run of 2 x HALF lanes the first HALF of the result are a's and the others b's: its first halves (HIGH = 0)
// or its second ones.
template <class T, int HALF, int HIGH>
inline Vector<T> halves(Vector<T> a, Vector<T> b) {
    typename Of<T>::Lanes from{};
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES<T>; lane++) {
        const int place = lane % (2 * HALF), run = lane - place;
        from[lane] = place < HALF ? run + place + HIGH * HALF : LANES<T> + run + place - HALF + HIGH * HALF;
    }
#if defined(__clang__)
    Vector<T> found;
    for (int lane = 0; lane < LANES<T>; lane++)
        found[lane] = from[lane] < LANES<T> ? a[from[lane]] : b[from[lane] - LANES<T>];
    return found;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

// Lane i of the result is the sum over the lanes of vectors[i]; `vectors` is used up.
template <class T, int HALF = LANES<T> / 2>
inline Vector<T> sums(Vector<T>* vectors) {
    if constexpr (HALF == 0) {
        return vectors[0];
    } else {
#pragma GCC unroll 8
        for (int i = 0; i < HALF; i++)
            vectors[i] = halves<T, HALF, 0>(vectors[i], vectors[i + HALF]) +
                         halves<T, HALF, 1>(vectors[i], vectors[i + HALF]);
        return sums<T, HALF / 2>(vectors);
    }
}

// Turns LANES vectors of LANES into their transposes.
template <class T, int HALF = LANES<T> / 2>
inline void transpose_square(Vector<T>* vectors) {
    if constexpr (HALF > 0) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES<T>; i++)
            if (!(i & HALF)) {
                const Vector<T> a = vectors[i], b = vectors[i + HALF];
                vectors[i] = halves<T, HALF, 0>(a, b);
                vectors[i + HALF] = halves<T, HALF, 1>(a, b);
            }
        transpose_square<T, HALF / 2>(vectors);
    }
}

template <class T>
inline T sum(Vector<T> vector) {
    T total = 0;
    for (int lane = 0; lane < LANES<T>; lane++) total += vector[lane];
    return total;
}

// Memory that starts at a cache line and is kept for the next call of this thread.
struct Memory {
    char* start = nullptr;
    size_t size = 0, used = 0;

    void* take(size_t bytes) {
        void* found = start + used;
        used += (bytes + 63) / 64 * 64;
        return found;
    }
    bool reserve(size_t bytes) {
        used = 0;
        if (bytes <= size) return true;
        free(start);
        start = static_cast<char*>(aligned_alloc(64, (bytes + 63) / 64 * 64));
        size = start ? bytes : 0;
        return start != nullptr;
    }
};

}  // namespace

// How a number of an image lies in memory: as what is computed with it, or as bf16, the first half of a float32.
#pragma once

#include "lines.h"

namespace {

struct bf16 {
    uint16_t bits;
};

template <class S>
struct Computed {  // what numbers stored as S are computed in
    typedef S Type;
};
template <>
struct Computed<bf16> {
    typedef float Type;
};

typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2), may_alias));
typedef uint32_t Wholes __attribute__((vector_size(VECTOR_BYTES), may_alias));

template <class T>
inline Tile<T> read(const T* from) {
    return Tile<T>::at(from);
}
inline Tile<float> read(const bf16* from) {
    Tile<float> found;
    for (int k = 0; k < WIDE; k++) {
        Halves halves;
        memcpy(&halves, from + k * LANES<float>, sizeof(halves));
        found.part[k] = (Vector<float>)(__builtin_convertvector(halves, Wholes) << 16);
    }
    return found;
}

template <class T>
inline void write(const Tile<T>& tile, T* to) {
    tile.put(to);
}
// Rounds to the nearest, to the even one of two as near, as torch does; NaN stays NaN.
inline void write(const Tile<float>& tile, bf16* to) {
    for (int k = 0; k < WIDE; k++) {
        const Wholes bits = (Wholes)tile.part[k], rounded = bits + (0x7fff + ((bits >> 16) & 1));
        const Wholes found = tile.part[k] == tile.part[k] ? rounded : bits | 0x400000;
        const Halves halves = __builtin_convertvector(found >> 16, Halves);
        memcpy(to + k * LANES<float>, &halves, sizeof(halves));
    }
}

template <class T>
inline T value(T stored) {
    return stored;
}
inline float value(bf16 stored) {
    const uint32_t bits = uint32_t(stored.bits) << 16;
    float found;
    memcpy(&found, &bits, sizeof(found));
    return found;
}

template <class T>
inline void write_one(T number, T* to) {
    *to = number;
}
inline void write_one(float number, bf16* to) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof(bits));
    to->bits = uint16_t((number == number ? bits + (0x7fff + ((bits >> 16) & 1)) : bits | 0x400000) >> 16);
}

}  // namespace

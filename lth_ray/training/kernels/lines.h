// Images whose channels are the last dimension, as lines of whole vectors.
#pragma once

#include "vectors.h"

namespace {

constexpr int RUN = 64;  // lines whose sums are taken in T before they are added up in double precision

// Memory as lines of `side` rows each, the fewest that fill whole tiles: a place in a line is always the same channel.
template <class T>
struct Lines {
    int64_t channels, side, width, number, rest;  // rest: rows after the last whole line

    Lines(int64_t rows, int64_t channels_) : channels(channels_), side(TILE<T>) {
        while (side > 1 && side / 2 * channels % TILE<T> == 0) side /= 2;
        width = side * channels;
        number = rows / side;
        rest = rows % side;
    }
    // Calls body(first element, lines, place in the line) for a tile's width of RUN lines at a time.
    template <class Body>
    void walk(Body body) const {
        for (int64_t from = 0; from < number; from += RUN)
            for (int64_t place = 0; place < width; place += TILE<T>)
                body(from * width + place, number - from < RUN ? int(number - from) : RUN, place);
    }
    // Calls body(element, place in the line) for those after the last whole line.
    template <class Body>
    void walk_rest(Body body) const {
        for (int64_t place = 0; place < rest * channels; place++) {
            body(number * width + place, place);
            asm volatile("");  // at most one line: not worth the vectors that compilers would make of it
        }
    }
    void repeat(const double* values, T* line) const {
        for (int64_t place = 0; place < width; place++) line[place] = T(values[place % channels]);
    }
};

template <class T>
struct Tile {
    Vector<T> part[WIDE];

    static Tile at(const T* from) {
        Tile found;
        for (int k = 0; k < WIDE; k++) memcpy(&found.part[k], from + k * LANES<T>, VECTOR_BYTES);
        return found;
    }
    void put(T* to) const {
        for (int k = 0; k < WIDE; k++) memcpy(to + k * LANES<T>, &part[k], VECTOR_BYTES);
    }
};

template <class V>
inline V positive(V value) {  // NaN stays NaN
    return V{} > value ? V{} : value;
}
inline float positive(float value) { return 0 > value ? 0 : value; }
inline double positive(double value) { return 0 > value ? 0 : value; }

}  // namespace

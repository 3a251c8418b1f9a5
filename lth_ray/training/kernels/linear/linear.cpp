// One sparse linear layer by itself, forward and backward, on rows of inputs: what autograd calls in the place of a
// product with all of its weights.
//
// The functions at the end are what lth_ray/training/kernels/library.py calls; ISA is the instruction set's name, and
// LINEAR_SOURCE the digest of what this file is built from (sources.py).
#include "../exported.h"
#include "../layers.h"

namespace {

thread_local Memory memory;

// A tile from n rows of `features` numbers, `features` apart; zeros where there is no row.
template <class T>
void into_tile(const T* rows, int64_t features, int n, T* x) {
    for (int64_t f = 0; f < features; f += LANES<T>) {
        const int width = features - f < LANES<T> ? int(features - f) : LANES<T>;
        for (int first = 0; first < TILE<T>; first += LANES<T>) {
            Vector<T> square[LANES<T>] = {};
            if (width == LANES<T>)
                for (int i = 0; i < LANES<T> && first + i < n; i++)
                    memcpy(&square[i], rows + (first + i) * features + f, sizeof square[i]);
            else
                for (int i = 0; i < LANES<T> && first + i < n; i++)
                    memcpy(&square[i], rows + (first + i) * features + f, sizeof(T) * width);
            transpose_square<T>(square);
            for (int i = 0; i < width; i++) tile(x, f + i)[first / LANES<T>] = square[i];
        }
    }
}

// n rows of `features` numbers from a tile.
template <class T>
void from_tile(const T* x, int64_t features, int n, T* rows) {
    for (int64_t f = 0; f < features; f += LANES<T>) {
        const int width = features - f < LANES<T> ? int(features - f) : LANES<T>;
        for (int first = 0; first < n; first += LANES<T>) {
            Vector<T> square[LANES<T>] = {};
            for (int i = 0; i < width; i++) square[i] = tile(x, f + i)[first / LANES<T>];
            transpose_square<T>(square);
            if (width == LANES<T>)
                for (int i = 0; i < LANES<T> && first + i < n; i++)
                    memcpy(rows + (first + i) * features + f, &square[i], sizeof square[i]);
            else
                for (int i = 0; i < LANES<T> && first + i < n; i++)
                    memcpy(rows + (first + i) * features + f, &square[i], sizeof(T) * width);
        }
    }
}

template <class T>
int32_t linear_forward(const Layer& l, const T* x, int64_t rows, T* y) {
    const size_t wide = sizeof(T) * TILE<T>;
    if (!memory.reserve((l.inputs + l.outputs) * wide + 128)) return 0;
    T *in = static_cast<T*>(memory.take(l.inputs * wide)), *out = static_cast<T*>(memory.take(l.outputs * wide));
    for (int64_t at = 0; at < rows; at += TILE<T>) {
        const int n = rows - at < TILE<T> ? int(rows - at) : TILE<T>;
        into_tile<T>(x + at * l.inputs, l.inputs, n, in);
        forward<T>(l, in, out);
        from_tile<T>(out, l.outputs, n, y + at * l.outputs);
    }
    return 1;
}

// dx: null where it is not asked for. dw: of each survivor.
template <class T>
int32_t linear_backward(const Layer& l, const T* x, const T* dy, int64_t rows, T* dx, T* dw) {
    const size_t wide = sizeof(T) * TILE<T>;
    if (!memory.reserve((2 * l.inputs + l.outputs) * wide + 192)) return 0;
    T *in = static_cast<T*>(memory.take(l.inputs * wide)), *out = static_cast<T*>(memory.take(l.outputs * wide));
    T* back = static_cast<T*>(memory.take(l.inputs * wide));
    for (int64_t at = 0; at < rows; at += TILE<T>) {
        const int n = rows - at < TILE<T> ? int(rows - at) : TILE<T>;
        into_tile<T>(dy + at * l.outputs, l.outputs, n, out);
        if (dx) {
            backward<T>(l, out, back);
            from_tile<T>(back, l.inputs, n, dx + at * l.inputs);
        }
        if (!dw) continue;
        into_tile<T>(x + at * l.inputs, l.inputs, n, in);
        for (int b = 0; b < l.blocks; b++) {
            const int32_t* begins = l.begins + int64_t(b) * l.outputs;
            if (at)
                gradients_of_block<T, false>(l, begins, in, out, dw + begins[0]);
            else
                gradients_of_block<T, true>(l, begins, in, out, dw + begins[0]);
        }
    }
    return 1;
}

}  // namespace

EXPORTED const char* NAMED(linear, source, ISA)() { return TEXT(LINEAR_SOURCE); }

#define FUNCTIONS(T)                                                                                                   \
    EXPORTED int32_t NAMED(linear_forward, T, ISA)(const Layer* layer, const T* x, int64_t rows, T* y) {               \
        return linear_forward<T>(*layer, x, rows, y);                                                                  \
    }                                                                                                                  \
    EXPORTED int32_t NAMED(linear_backward, T, ISA)(const Layer* layer, const T* x, const T* dy, int64_t rows, T* dx,  \
                                                    T* dw) {                                                           \
        return linear_backward<T>(*layer, x, dy, rows, dx, dw);                                                        \
    }

FUNCTIONS(float)
FUNCTIONS(double)
